"""AnswerStream: one open stream, whatever the type of its events.

One state machine decides how a stream ends, because a connection that was cut may look like a normal end. A
stream is complete when ``[DONE]`` came, or when an event gave the reason why the answer ended (some services
close right after it). Any other end, even a clean one, is an error that carries what had arrived. Nothing is
retried here: the caller has seen tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from weakref import WeakSet

from foundry_rest import clock
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import (
    Attempt,
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    ServiceError,
    StreamInterrupted,
    TransportError,
)
from foundry_rest.errors.parsing import stream_error
from foundry_rest.events import ABANDONED, CACHED, ERROR, OK, CallFinished, Event
from foundry_rest.schema import Usage
from foundry_rest.transport.call import MAX_ANSWER
from foundry_rest.transport.fork import renew_after_fork
from foundry_rest.transport.sse import DONE

if TYPE_CHECKING:
    from typing_extensions import Self

    from foundry_rest.transport.interfaces import OpenReply

C = TypeVar("C")

#: Seconds to wait for usage and ``[DONE]`` after the answer is complete: 0.8.117 never sends them
#: (docs/reference/service.md, section 8.1), and the text is complete without them.
GRACE = 2.0


_TOO_LARGE = "The text so far is in error.text; a smaller max_tokens= bounds it before."


class _OpenStreams:
    """The streams that are the parent's after a fork; one entry among what is renewed, for all of them."""

    def __init__(self) -> None:
        self.streams: WeakSet[AnswerStream[Any]] = WeakSet()

    def renew(self) -> None:
        """Leave the streams to the parent: a child that read on would take its bytes."""
        for stream in tuple(self.streams):
            stream._leave()  # noqa: SLF001 (no method for users)


_OPEN = _OpenStreams()
renew_after_fork(_OPEN)


class AnswerStream(Generic[C]):
    """The events of one answer, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in ``for
    chunk in client.chat.stream(...)``) releases the connection and makes the service stop generating. A
    stream that was closed early never looks complete: reading on raises again. ``text`` and ``usage`` hold
    what has arrived so far; ``cached`` tells whether a cache gave it, ``stale_for`` how many seconds it had
    expired by then; ``url`` is the service that answers. One thread reads; any thread may close.

    A subclass implements ``_add``, which takes one event and returns whether it completes the answer.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's deadline passed; the error holds the text so far.
        Cancelled: The stream was closed, here or in another thread; the error holds the text so far.
    """

    def __init__(
        self,
        opened: OpenReply,
        operation: Operation[bytes, C],
        started: float,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.usage = Usage()
        self.first_token = clock.monotonic() - started
        self.headers: Mapping[str, str] = opened.headers
        self.url, self.cached, self.stale_for = opened.url, opened.cached, opened.stale_for
        self._opened, self._parse, self._call = opened, operation.parse, operation.call
        self._started, self._emit = started, emit
        # Not a generator: one that holds self is a reference cycle, and a dropped stream would stay open
        # until the garbage collector runs.
        self._events = iter(opened)
        self._texts: list[str] = []
        self._count = self._bytes = 0
        self._last = b""
        self._kept_events: list[bytes] | None = None
        self._claim = [None]
        self._ended = self._complete = self._answered = False
        self._error: FoundryError | None = None
        _OPEN.streams.add(self)
        self._initialise()

    @property
    def text(self) -> str:
        """Return the text so far."""
        return "".join(self._texts)

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        if self._ended:
            self._repeat_end()
        try:
            event = next(self._events, None)
            if event is not None and event != DONE:
                return self._take(event)
            self._check_end(done=event is not None)
        except FoundryError as error:
            # An error after the reason why the answer ended does not make the answer incomplete.
            if not self._answered or isinstance(error, Cancelled):
                self._fail(error)
        except BaseException:  # Ctrl-C, or an error of the caller's own parse=
            self.close()
            raise
        self._finish()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_error"):
            self.close()

    def close(self) -> None:
        """Close the stream, from any thread; without effect on a stream that has ended."""
        if self._claim_end():
            self._opened.close()
            self._emit_outcome(ABANDONED)

    def _leave(self) -> None:
        """End the stream without a word to the service, because another process reads it."""
        if not self._ended:
            self._claim_end()
            self._error = Cancelled("the stream is the parent process's; ask anew in this one")

    def _initialise(self) -> None:
        """Initialise the fields of a subclass."""

    def _add(self, item: C) -> bool:
        """Add the content of an event; return whether it completes the answer."""
        raise NotImplementedError

    @property
    def _size(self) -> int:
        """Return the number of pieces of the answer so far."""
        return len(self._texts)

    @property
    def _has_content(self) -> bool:
        return self._size > 0

    def _take(self, event: bytes) -> C:
        self._last = event
        self._bytes += len(event)
        if self._bytes > MAX_ANSWER:
            raise StreamInterrupted(f"the answer is larger than {MAX_ANSWER:,} bytes", advice=_TOO_LARGE)
        item = self._parse(event)
        if self._kept_events is not None:
            self._kept_events.append(event)
        size = self._size if self._answered else 0
        ends = self._add(item)
        self._count += 1
        # More content after a finish reason shows that it was premature: the wait for the end starts again.
        if self._size > size if self._answered else ends:
            self._answered = True
            self._opened.set_idle(min(GRACE, self._call.options.timeouts.idle))
        return item

    def _check_end(self, *, done: bool) -> None:
        """Raise StreamInterrupted when the stream ended before its answer was complete."""
        if not self._count:
            raise StreamInterrupted("the stream ended before its first chunk")
        if not done and not self._answered:
            # The last event may be an error that the caller's own parse= did not raise.
            raise stream_error(self._last) or StreamInterrupted(
                "the stream ended without [DONE] or a finish_reason"
            )

    def _claim_end(self) -> bool:
        """Return True to the first thread that ends the stream; it closes it and emits the outcome."""
        self._ended = True
        try:
            self._claim.pop()  # no lock, which a signal that raises could leave locked
        except IndexError:
            return False
        return True

    def _finish(self) -> None:
        self._complete = True
        if self._claim_end():
            self._opened.finish()
            self._emit_outcome(OK)

    def _repeat_end(self) -> NoReturn:
        if self._complete:
            raise StopIteration
        self._fail(self._error or Cancelled("the stream was closed before its end"))

    def _fail(self, error: FoundryError) -> NoReturn:
        """Raise ``error``, as StreamInterrupted if text had arrived that its own class cannot hold."""
        is_first = self._claim_end()
        if is_first:
            self._opened.fail(error)
        final = error
        if not isinstance(error, (Cancelled, DeadlineExceeded, StreamInterrupted)) and self._breaks(error):
            final = StreamInterrupted(f"the answer broke off: {error.message}")
        final.attempts = (*self._opened.failures, self._failed_attempt(final))
        if isinstance(final, (Cancelled, DeadlineExceeded, StreamInterrupted)):
            final.text, final.usage, final.chunks = self.text, self.usage, self._count
        final.call, final.model, final.url = self._call.label, self._call.model, self._opened.url
        self._error = final
        if is_first:
            # The service ends a stream after an error event, so the connection can be reused.
            (self._opened.finish if isinstance(error, ServiceError) else self._opened.close)()
            self._emit_outcome(ERROR, final)
        raise final from (error if final is not error else error.__cause__)

    def _breaks(self, error: FoundryError) -> bool:
        """Return whether an error ends an answer that has begun; a lost connection does after any event."""
        return self._has_content or (self._count > 0 and isinstance(error, TransportError))

    def _failed_attempt(self, error: FoundryError) -> Attempt:
        """Return the record of the attempt that opened the stream."""
        before = self._opened.failures
        at = before[-1].at + before[-1].elapsed + before[-1].wait if before else 0.0
        elapsed = clock.monotonic() - self._started - at
        return Attempt(self._opened.attempt, at, elapsed, type(error).__name__, error.message)

    def _emit_outcome(self, outcome: str, error: FoundryError | None = None) -> None:
        self._emit(
            CallFinished(
                self._opened.url,
                self._opened.call_id,
                self._call.label,
                self._call.model,
                self._opened.attempt,
                CACHED if self.cached and error is None else outcome,
                clock.monotonic() - self._started,
                error,
                self.first_token,
                self.usage.prompt_tokens,
                self.usage.completion_tokens,
            )
        )
