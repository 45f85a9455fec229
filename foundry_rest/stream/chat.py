"""ChatStream: one chat completion in chunks."""

from __future__ import annotations

from foundry_rest import clock
from foundry_rest.schema import ChatChunk, ChatReply, ToolCall
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.stream.tool_calls import ToolCallBuilder


class ChatStream(AnswerStream[ChatChunk]):
    """The chunks of one chat completion, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in
    ``for chunk in client.chat.stream(...)``) releases the connection and makes the service stop generating.
    A stream that was closed early never looks complete: reading on raises again. ``text``, ``usage`` and
    ``finish_reason`` hold what has arrived so far. One thread reads; any thread may close.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's deadline passed; the error holds the text so far.
        Cancelled: The stream was closed, here or in another thread; the error holds the text so far.
    """

    def _initialise(self) -> None:
        self.finish_reason: str | None = None
        self._reasonings: list[str] = []
        self._tool_calls: ToolCallBuilder | None = None
        self._head = ChatChunk()
        self._index: int | None = None
        self._reason_at = 0

    def gather(self) -> ChatReply:
        """Read the rest of the stream and return the whole completion, including what was read before.

        ``bodies`` of the reply holds only the events that this method read.

        Raises:
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        self._kept_events = self._kept_events or []
        for _ in self:
            pass
        return ChatReply(
            content=self.text,
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self._head.model or "",
            id=self._head.id or "",
            created=self._head.created,
            tool_calls=() if self._tool_calls is None else self._tool_calls.build(),
            reasoning="".join(self._reasonings),
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
            bodies=tuple(self._kept_events),
        )

    def _add(self, item: ChatChunk) -> bool:
        if not self._count:
            self._head = item
        if item.usage is not None:
            self.usage = item.usage
        choices = item.choices
        if choices:
            if self._index is None:
                self._index = choices[0].index
            if len(choices) > 1 or choices[0].index != self._index:  # others are in ``raw``
                item.choices = [choice for choice in choices if choice.index == self._index]
        choice = item.choice
        part = choice.part
        if part.content:
            self._texts.append(part.content)
        if part.reasoning_content:
            self._reasonings.append(part.reasoning_content)
        if part.tool_calls:
            self._add_calls(part.tool_calls)
        return choice.finish_reason is not None and self._keep_reason(choice.reason)

    def _add_calls(self, fragments: list[ToolCall]) -> None:
        if self._tool_calls is None:
            self._tool_calls = ToolCallBuilder()
        for fragment in fragments:
            self._tool_calls.add(fragment)

    def _keep_reason(self, reason: str | None) -> bool:
        """Keep a finish reason, also a later one after more content; return whether one came."""
        if reason is not None and (self.finish_reason is None or self._size > self._reason_at):
            self.finish_reason, self._reason_at = reason, self._size
        return reason is not None

    @property
    def _size(self) -> int:
        pieces = 0 if self._tool_calls is None else self._tool_calls.pieces
        return len(self._texts) + len(self._reasonings) + pieces

    @property
    def _has_content(self) -> bool:
        return self._size > 0
