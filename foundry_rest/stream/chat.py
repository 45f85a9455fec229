"""ChatStream: one chat answer in chunks."""

from __future__ import annotations

import msgspec

from foundry_rest import clock
from foundry_rest.schema import ChatChunk, ChatReply, FunctionCall, ToolCall
from foundry_rest.stream.answer import AnswerStream


class ChatStream(AnswerStream[ChatChunk]):
    """The chunks of one chat answer, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in
    ``for chunk in client.chat.stream(...)``) gives the connection back and makes the service stop working
    on the answer. A stream that was left early never looks whole: reading on raises again. ``text``,
    ``usage`` and ``finish_reason`` hold what has come so far. One thread reads; any may close.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's time ran out; the error holds the text so far.
        Cancelled: It was closed, here or in another thread; the error holds the text so far.
    """

    def _begin(self) -> None:
        self.finish_reason: str | None = None
        self._reasonings: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._head = ChatChunk()

    def gather(self) -> ChatReply:
        """Read the rest and return the whole answer, what was read before included.

        ``bodies`` of the reply holds only the events that were read here.

        Raises:
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        self._kept = self._kept or []
        for _ in self:
            pass
        return ChatReply(
            content=self.text,
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self._head.model or "",
            id=self._head.id or "",
            created=self._head.created,
            tool_calls=tuple(self._tool_calls),
            reasoning="".join(self._reasonings),
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            headers=self.headers,
            bodies=tuple(self._kept),
        )

    def _add(self, item: ChatChunk) -> bool:
        if not self._count:
            self._head = item
        if item.usage is not None:
            self.usage = item.usage
        choice = item.choice
        part = choice.part
        if part.content:
            self._texts.append(part.content)
        if part.reasoning_content:
            self._reasonings.append(part.reasoning_content)
        for call in part.tool_calls or ():
            _add_call(self._tool_calls, call)
        if choice.finish_reason is not None and self.finish_reason is None:
            self.finish_reason = choice.finish_reason
        return choice.finish_reason is not None

    @property
    def _has_content(self) -> bool:
        return bool(self._texts or self._reasonings or self._tool_calls)


def _add_call(calls: list[ToolCall], part: ToolCall) -> None:
    """Add a tool call or the next fragment of the last one; Foundry Local sends them whole."""
    last = calls[-1] if calls else None
    if last is None or part.index is None or part.index != last.index or part.id not in (None, "", last.id):
        calls.append(part)
        return
    old, new = last.function or FunctionCall(), part.function or FunctionCall()
    arguments = (old.arguments or "") + (new.arguments or "")
    calls[-1] = msgspec.structs.replace(last, function=FunctionCall(old.name or new.name, arguments))
