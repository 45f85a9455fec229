"""ResponseStream: one response in events."""

from __future__ import annotations

from typing import cast

import msgspec

from foundry_rest import clock
from foundry_rest.errors import StreamInterrupted
from foundry_rest.schema.responses import OutputItem, Response, ResponseEvent
from foundry_rest.stream.answer import AnswerStream

_ENDS = ("response.completed", "response.incomplete")


class ResponseStream(AnswerStream[ResponseEvent]):
    """The events of one response, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream gives the connection back
    and makes the service stop working on the response, which is then not stored. ``text``, ``reasoning``
    and ``usage`` hold what has come so far; ``response`` is the whole one once its last event has come.
    It is whole only then: ``[DONE]`` alone is no end. One thread reads; any may close.

    Raises:
        ServiceError: The response failed before it said anything.
        StreamInterrupted: The stream broke, ended early, or the response failed midway; the error holds
            the text so far.
        DeadlineExceeded: The call's time ran out; the error holds the text so far.
        Cancelled: It was closed, here or in another thread; the error holds the text so far.
    """

    def _begin(self) -> None:
        self.response: Response | None = None
        self._reasonings: list[str] = []
        self._items: list[OutputItem] = []
        self._has_begun = False

    @property
    def reasoning(self) -> str:
        """Return the model's thinking so far."""
        return "".join(self._reasonings)

    def gather(self) -> Response:
        """Read the rest and return the whole response, what was read before included.

        Raises:
            ServiceError: The response failed before it said anything.
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        for _ in self:
            pass
        return cast("Response", self.response)  # a stream without it is no whole one

    def _add(self, item: ResponseEvent) -> bool:
        if item.delta and not self._has_begun:
            # The events before it come at once, whatever the model does.
            self._has_begun, self.first_token = True, clock.monotonic() - self._started
        if item.content:
            self._texts.append(item.content)
        if item.reasoning:
            self._reasonings.append(item.reasoning)
        if item.item is not None and item.type == "response.output_item.done":
            self._items.append(item.item)
        if item.response is None or item.type not in _ENDS:
            return False
        self.usage = item.response.usage
        self.response = self._completed(item.response)
        return True

    def _completed(self, response: Response) -> Response:
        """Return the last event's response with this call's figures, and with all items that came."""
        return msgspec.structs.replace(
            response,
            output=response.output or tuple(self._items),
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
        )

    @property
    def _has_content(self) -> bool:
        return self._has_begun

    def _judge_end(self, *, done: bool) -> None:
        del done  # [DONE] says nothing here
        if self.response is None:
            raise StreamInterrupted("the stream ended without response.completed or response.incomplete")
