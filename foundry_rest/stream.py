"""ChatStream: one open answer; iterate, close, gather.

One state machine owns the stream's end, because every other client takes a cut for a finish. A stream is
whole when ``[DONE]`` came, or when a chunk has said why the answer ended (some services close right
after it). Everything else, clean or not, is an error that carries what had arrived. Nothing is repeated
here: the caller has seen tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import NoReturn

import msgspec

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError, ServiceError, StreamInterrupted
from foundry_rest.errors.reading import error_in
from foundry_rest.events import CallFinished, Event
from foundry_rest.schema import ChatChunk, ChatReply, FunctionCall, ToolCall, Usage
from foundry_rest.transport.call import Call, OpenReply
from foundry_rest.transport.sse import DONE

#: Seconds granted for usage and ``[DONE]`` after the answer is complete: 0.8.117 never sends them
#: (issue 383), and the text is whole without them.
GRACE = 2.0


class ChatStream:
    """Iterate over the chunks of one answer as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in
    ``for chunk in client.chat.stream(...)``) gives the connection back and makes the service stop working
    on the answer. A stream that was left early never looks whole: reading on raises again. ``text``,
    ``usage`` and ``finish_reason`` hold what has come so far. One thread reads; any may close.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's time ran out; the error holds the text so far.
        Cancelled: It was closed, here or in another thread; the error holds the text so far.
    """

    def __init__(
        self,
        opened: OpenReply,
        parse: Callable[[bytes], ChatChunk],
        call: Call,
        started: float,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.usage = Usage()
        self.finish_reason: str | None = None
        self.first_token = clock.monotonic() - started
        self.headers: Mapping[str, str] = opened.headers
        self._opened, self._parse, self._call = opened, parse, call
        self._started, self._emit = started, emit
        # No generator of our own: one that holds self is a cycle, and a dropped stream would stay open
        # until the garbage collector came by.
        self._events = iter(opened)
        self._texts: list[str] = []
        self._reasonings: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._head = ChatChunk()
        self._count = 0
        self._last = b""
        self._kept: list[bytes] | None = None
        self._lock = threading.Lock()
        self._over = self._whole = False
        self._error: FoundryError | None = None

    @property
    def text(self) -> str:
        """Return the answer so far."""
        return "".join(self._texts)

    def __iter__(self) -> Iterator[ChatChunk]:
        return self

    def __next__(self) -> ChatChunk:
        if self._over:
            self._repeat_end()
        try:
            event = next(self._events, None)
            if event is not None and event != DONE:
                return self._take(event)
            self._judge_end(done=event is not None)
        except FoundryError as error:
            # What breaks after the answer said why it ended takes nothing from it.
            if self.finish_reason is None or isinstance(error, Cancelled):
                self._break(error)
        except BaseException:  # Ctrl-C, or a parse= of the caller's own
            self.close()
            raise
        self._finish()
        raise StopIteration

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_error"):
            self.close()

    def close(self) -> None:
        """Stop the answer; from any thread, idempotent. A stream that has ended stays as it is."""
        if self._claim_end():
            self._opened.close()
            self._tell(None)

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

    def _take(self, event: bytes) -> ChatChunk:
        self._last = event
        chunk = self._parse(event)
        if self._kept is not None:
            self._kept.append(event)
        if not self._count:
            self._head = chunk
        self._count += 1
        if chunk.usage is not None:
            self.usage = chunk.usage
        choice = chunk.choice
        part = choice.part
        if part.content:
            self._texts.append(part.content)
        if part.reasoning_content:
            self._reasonings.append(part.reasoning_content)
        for call in part.tool_calls or ():
            _add_call(self._tool_calls, call)
        if choice.finish_reason is not None and self.finish_reason is None:
            self.finish_reason = choice.finish_reason
            self._opened.set_idle(min(GRACE, self._call.timeouts.idle))
        return chunk

    def _judge_end(self, *, done: bool) -> None:
        """Raise when the stream ended before its answer did."""
        if not self._count:
            raise StreamInterrupted("the stream ended before its first chunk")
        if not done and self.finish_reason is None:
            # A parse= of the caller's own may have passed over the service's last word.
            raise error_in(self._last) or StreamInterrupted(
                "the stream ended without [DONE] or a finish_reason"
            )

    def _claim_end(self) -> bool:
        """Return True to the first who ends the stream: that one closes it and tells."""
        with self._lock:
            first, self._over = not self._over, True
        return first

    def _finish(self) -> None:
        self._whole = True
        if self._claim_end():
            self._opened.finish()
            self._tell(None)

    def _repeat_end(self) -> NoReturn:
        if self._whole:
            raise StopIteration
        self._break(self._error or Cancelled("the stream was closed before its end"))

    def _break(self, error: FoundryError) -> NoReturn:
        """Raise ``error``: as it is when nothing had come or its class can hold the text."""
        final = error
        if not isinstance(error, (Cancelled, DeadlineExceeded, StreamInterrupted)) and self._has_content:
            final = StreamInterrupted(f"the answer broke off: {error.message}")
        if isinstance(final, (Cancelled, DeadlineExceeded, StreamInterrupted)):
            final.text, final.usage, final.chunks = self.text, self.usage, self._count
        final.call, final.model, final.url = self._call.label, self._call.model, self._opened.url
        self._error = final
        if self._claim_end():
            self._opened.fail(error)
            # The service ends a stream after its error: the connection can be kept.
            (self._opened.finish if isinstance(error, ServiceError) else self._opened.close)()
            self._tell(final)
        raise final from (error if final is not error else error.__cause__)

    @property
    def _has_content(self) -> bool:
        return bool(self._texts or self._reasonings or self._tool_calls)

    def _tell(self, error: FoundryError | None) -> None:
        self._emit(
            CallFinished(
                self._call.label,
                self._opened.url,
                self._call.model,
                clock.monotonic() - self._started,
                error,
                self.first_token,
                self.usage.prompt_tokens,
                self.usage.completion_tokens,
            )
        )


def _add_call(calls: list[ToolCall], part: ToolCall) -> None:
    """Add a tool call or the next fragment of the last one; Foundry Local sends them whole."""
    last = calls[-1] if calls else None
    if last is None or part.index is None or part.index != last.index or part.id not in (None, "", last.id):
        calls.append(part)
        return
    old, new = last.function or FunctionCall(), part.function or FunctionCall()
    arguments = (old.arguments or "") + (new.arguments or "")
    calls[-1] = msgspec.structs.replace(last, function=FunctionCall(old.name or new.name, arguments))
