"""AnswerStream: one open answer, whatever its events are.

One state machine owns the stream's end, because every other client takes a cut for a finish. A stream is
whole when ``[DONE]`` came, or when an event has said why the answer ended (some services close right
after it). Everything else, clean or not, is an error that carries what had arrived. Nothing is repeated
here: the caller has seen tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from foundry_rest import clock
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError, ServiceError, StreamInterrupted
from foundry_rest.errors.parsing import error_in
from foundry_rest.events import ABANDONED, ERROR, OK, CallFinished, Event
from foundry_rest.schema import Usage
from foundry_rest.transport.call import OpenReply
from foundry_rest.transport.sse import DONE

if TYPE_CHECKING:
    from typing_extensions import Self

C = TypeVar("C")

#: Seconds granted for usage and ``[DONE]`` after the answer is complete: 0.8.117 never sends them
#: (issue 383), and the text is whole without them.
GRACE = 2.0


class AnswerStream(Generic[C]):
    """The events of one answer, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in
    ``for chunk in client.chat.stream(...)``) gives the connection back and makes the service stop working
    on the answer. A stream that was left early never looks whole: reading on raises again. ``text`` and
    ``usage`` hold what has come so far. One thread reads; any may close.

    A subclass says in ``_add`` what an event adds and whether it ends the answer.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's time ran out; the error holds the text so far.
        Cancelled: It was closed, here or in another thread; the error holds the text so far.
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
        self._opened, self._parse, self._call = opened, operation.parse, operation.call
        self._started, self._emit = started, emit
        # No generator of our own: one that holds self is a cycle, and a dropped stream would stay open
        # until the garbage collector came by.
        self._events = iter(opened)
        self._texts: list[str] = []
        self._count = 0
        self._last = b""
        self._kept: list[bytes] | None = None
        self._lock = threading.Lock()
        self._over = self._whole = self._answered = False
        self._error: FoundryError | None = None
        self._begin()

    @property
    def text(self) -> str:
        """Return the answer's text so far."""
        return "".join(self._texts)

    def __iter__(self) -> Iterator[C]:
        return self

    def __next__(self) -> C:
        if self._over:
            self._repeat_end()
        try:
            event = next(self._events, None)
            if event is not None and event != DONE:
                return self._take(event)
            self._judge_end(done=event is not None)
        except FoundryError as error:
            # What breaks after the answer said why it ended takes nothing from it.
            if not self._answered or isinstance(error, Cancelled):
                self._break(error)
        except BaseException:  # Ctrl-C, or a parse= of the caller's own
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
        """Stop the answer; from any thread, idempotent. A stream that has ended stays as it is."""
        if self._claim_end():
            self._opened.close()
            self._tell(ABANDONED)

    def _begin(self) -> None:
        """Set what a subclass gathers."""

    def _add(self, item: C) -> bool:
        """Add what an event says; return whether it says that the answer is complete."""
        raise NotImplementedError

    @property
    def _size(self) -> int:
        """Return how many pieces of the answer have come."""
        return len(self._texts)

    @property
    def _has_content(self) -> bool:
        return self._size > 0

    def _take(self, event: bytes) -> C:
        self._last = event
        item = self._parse(event)
        if self._kept is not None:
            self._kept.append(event)
        size = self._size if self._answered else 0
        ends = self._add(item)
        self._count += 1
        # What still comes after a reason shows that it was none yet: the wait for the end begins again.
        if self._size > size if self._answered else ends:
            self._answered = True
            self._opened.set_idle(min(GRACE, self._call.options.timeouts.idle))
        return item

    def _judge_end(self, *, done: bool) -> None:
        """Raise when the stream ended before its answer did."""
        if not self._count:
            raise StreamInterrupted("the stream ended before its first chunk")
        if not done and not self._answered:
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
            self._tell(OK)

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
            self._tell(ERROR, final)
        raise final from (error if final is not error else error.__cause__)

    def _tell(self, outcome: str, error: FoundryError | None = None) -> None:
        self._emit(
            CallFinished(
                self._opened.url,
                self._opened.call_id,
                self._call.label,
                self._call.model,
                self._opened.attempt,
                outcome,
                clock.monotonic() - self._started,
                error,
                self.first_token,
                self.usage.prompt_tokens,
                self.usage.completion_tokens,
            )
        )
