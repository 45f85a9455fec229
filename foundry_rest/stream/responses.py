"""ResponseStream: one response in events."""

from __future__ import annotations

from typing import cast

import msgspec

from foundry_rest import clock
from foundry_rest.errors import StreamInterrupted
from foundry_rest.raw_json import HalfJoiner
from foundry_rest.schema.responses import REASONING_DELTAS, TEXT_DELTAS, OutputItem, Response, ResponseEvent
from foundry_rest.schema.thoughts import ThoughtSplitter
from foundry_rest.stream.answer import AnswerStream

_FINAL_EVENTS = ("response.completed", "response.incomplete")


class ResponseStream(AnswerStream[ResponseEvent]):
    """The events of one response, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream releases the connection and
    makes the service stop generating the response, which is then not stored. ``text``, ``reasoning`` and
    ``usage`` hold what has arrived so far; ``response`` is set by the last event. Only that event completes
    the stream: ``[DONE]`` alone does not. One thread reads; any thread may close.

    Raises:
        ServiceError: The response failed before it had any content.
        StreamInterrupted: The stream broke, ended early, or the response failed midway; the error holds
            the text so far.
        DeadlineExceeded: The call's deadline passed; the error holds the text so far.
        Cancelled: The stream was closed, here or in another thread; the error holds the text so far.
    """

    def _initialise(self) -> None:
        self.response: Response | None = None
        self._reasonings: list[str] = []
        self._items: list[OutputItem] = []
        self._has_begun = False
        self._thoughts: ThoughtSplitter | None = ThoughtSplitter()
        self._halves: dict[str, HalfJoiner] = {}

    @property
    def reasoning(self) -> str:
        """Return the model's reasoning so far."""
        return "".join(self._reasonings)

    def gather(self) -> Response:
        """Read the rest of the stream and return the whole response, including what was read before.

        Raises:
            ServiceError: The response failed before it had any content.
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        for _ in self:
            pass
        return cast("Response", self.response)  # set, else reading would have raised

    def _add(self, item: ResponseEvent) -> bool:
        if item.delta and not self._has_begun:
            # The events before it are sent at once, before the model has written anything.
            self._has_begun, self.first_token = True, clock.monotonic() - self._started
        if self._halves or not item.delta.isascii():
            self._join_halves(item)
        if self._thoughts is not None and item.content:
            self._take_thoughts(self._thoughts, item)
        if item.content:
            self._texts.append(item.content)
        if item.reasoning:
            self._reasonings.append(item.reasoning)
        if item.item is not None and item.type == "response.output_item.done":
            self._items.append(item.item)
        if item.response is None or item.type not in _FINAL_EVENTS:
            return False
        if self._thoughts is not None:
            thoughts, content = self._thoughts.flush()
            self._reasonings.append(thoughts)
            self._texts.append(content)
        self.usage = item.response.usage
        self.response = self._completed(item.response)
        return True

    def _join_halves(self, item: ResponseEvent) -> None:
        """Join characters that were split over two deltas; what is left when a text ends is U+FFFD."""
        if item.delta:
            joined = self._halves.setdefault(item.type, HalfJoiner()).join(item.delta)
            msgspec.structs.force_setattr(item, "delta", joined)
        elif item.type in _FINAL_EVENTS:
            for kind, halves in self._halves.items():
                if kind in TEXT_DELTAS:
                    self._texts.append(halves.flush())
                elif kind in REASONING_DELTAS:
                    self._reasonings.append(halves.flush())

    def _take_thoughts(self, splitter: ThoughtSplitter, item: ResponseEvent) -> None:
        """Move the thoughts in the text of an event to its reasoning."""
        thoughts, content = splitter.feed(item.content)
        msgspec.structs.force_setattr(item, "delta", content)
        msgspec.structs.force_setattr(item, "thoughts", thoughts)
        if splitter.is_done:
            self._thoughts = None

    def _completed(self, response: Response) -> Response:
        """Return the response of the last event, with this call's timings and all items that arrived."""
        return msgspec.structs.replace(
            response,
            output=response.output or tuple(self._items),
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
            cached=self.cached,
            stale_for=self.stale_for,
        )

    @property
    def _has_content(self) -> bool:
        return self._has_begun

    def _check_end(self, *, done: bool) -> None:
        del done  # [DONE] does not complete a response
        if self.response is None:
            raise StreamInterrupted("the stream ended without response.completed or response.incomplete")
