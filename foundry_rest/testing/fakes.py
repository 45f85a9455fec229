"""Test doubles without I/O: a clock that the test moves, scripted senders and streams."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from foundry_rest import clock

if TYPE_CHECKING:
    from foundry_rest.errors import Attempt

CallT = TypeVar("CallT")
ReplyT = TypeVar("ReplyT")
OpenT = TypeVar("OpenT")


class FakeClock:
    """A clock that moves only by ``sleep``, ``wait`` and ``advance``. Thread-safe.

    Args:
        start: First value of ``monotonic()``, in seconds.
        epoch: First value of ``now()``, in seconds since 1970.

    Attributes:
        slept: Every duration given to ``sleep`` or ``wait``, in order.
    """

    def __init__(self, start: float = 1000.0, epoch: float = 1_700_000_000.0) -> None:
        self.slept: list[float] = []
        self._start = start
        self._epoch = epoch
        self._passed = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return self._start + self._passed

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._epoch + self._passed

    def sleep(self, seconds: float, /) -> None:
        """Move the clock by so many seconds at once and record them in ``slept``.

        Raises:
            ValueError: ``seconds`` is negative, as for the real ``sleep``.
        """
        self.advance(seconds)
        self.slept.append(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock by so many seconds, without a record.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        with self._lock:
            self._passed += seconds

    def wait(self, event: threading.Event, seconds: float, /) -> bool:
        """Move the clock by the whole wait at once, as ``sleep`` does, unless the event is set."""
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()

    @contextlib.contextmanager
    def installed(self) -> Iterator[FakeClock]:
        """Replace ``foundry_rest.clock`` by this clock within a block."""
        names = ("monotonic", "sleep", "wait", "now")
        real = {name: getattr(clock, name) for name in names}
        try:
            for name in names:
                setattr(clock, name, getattr(self, name))
            yield self
        finally:
            for name in names:
                setattr(clock, name, real[name])


class FakeSender(Generic[CallT, ReplyT, OpenT]):
    """A sender, or a transport, that answers each call with the next item of a script. Thread-safe.

    An exception is raised, a function is called with the call (its result is treated likewise), any
    other value is returned. The types are the caller's: ``FakeSender[Call, Reply, OpenReply](...)``.

    Args:
        script: One item for each call of ``send`` or ``open``.

    Attributes:
        calls: Every call so far, in order.
        opened: The calls of ``open`` among them.
        closed: Whether ``close`` was called.
    """

    def __init__(self, script: Iterable[object] = ()) -> None:
        self.calls: list[CallT] = []
        self.opened: list[CallT] = []
        self.closed = False
        self._script = list(script)
        self._lock = threading.Lock()

    @property
    def remaining(self) -> int:
        """Return how many items no call has taken yet."""
        return len(self._script)

    def enqueue(self, *items: object) -> None:
        """Add items at the end of the script."""
        with self._lock:
            self._script += items

    def send(self, call: CallT, target: object = None, /) -> ReplyT:  # noqa: ARG002 (a transport gets a target)
        """Return or raise the next item of the script.

        Raises:
            AssertionError: The script has run out.
        """
        return cast("ReplyT", _result(self._next(call), call))

    def open(self, call: CallT, target: object = None, /) -> OpenT:  # noqa: ARG002 (as above)
        """Return or raise the next item of the script.

        Raises:
            AssertionError: The script has run out.
        """
        self.opened.append(call)
        return cast("OpenT", _result(self._next(call), call))

    def close(self) -> None:
        """Record that the sender was closed."""
        self.closed = True

    def _next(self, call: CallT) -> object:
        with self._lock:
            self.calls.append(call)
            if not self._script:
                raise AssertionError(f"FakeSender ran out of script at call {len(self.calls)}: {call!r}")
            return self._script.pop(0)


class FakeOpenReply:
    """An open stream of scripted events.

    Args:
        events: Data of one event each; an exception is raised in its turn, a function is called and its
            result treated likewise (``None`` makes no event).
        headers: The answer's headers.
        url: The address that answers.

    Attributes:
        idle: Every value given to ``set_idle``.
        finished: Whether ``finish`` was called.
        closed: Whether ``close`` was called.
        failed: The argument of ``fail``, or ``None``.
        call_id: Id of the call, as a sender sets it.
        attempt: Number of the attempt, as a sender sets it.
        failures: Attempts that failed before it, as a sender sets them.
        cached: Whether it comes from a cache.
        stale_for: Seconds since it expired there.
    """

    call_id = ""
    attempt = 1
    failures: tuple[Attempt, ...] = ()
    cached = False
    stale_for = 0.0

    def __init__(
        self,
        events: Iterable[object],
        headers: Mapping[str, str] | None = None,
        url: str = "http://127.0.0.1:5273",
    ) -> None:
        self.idle: list[float] = []
        self.finished = False
        self.closed = False
        self.failed: Exception | None = None
        self._events = iter(events)
        self._headers = {"content-type": "text/event-stream"} if headers is None else headers
        self._url = url

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers."""
        return self._headers

    @property
    def url(self) -> str:
        """Return the address that answers."""
        return self._url

    def __iter__(self) -> Iterator[bytes]:
        for event in self._events:
            data = _result(event)
            if data is not None:
                yield cast("bytes", data)

    def set_idle(self, seconds: float) -> None:
        """Record the bound for all that may still come, in seconds."""
        self.idle.append(seconds)

    def fail(self, error: Exception, /) -> None:
        """Record the error that ended the stream."""
        self.failed = error

    def finish(self) -> None:
        """Record that the stream was read to its end."""
        self.finished = True

    def close(self) -> None:
        """Record that the stream was abandoned."""
        self.closed = True


def _result(item: object, *arguments: object) -> object:
    # Tested first: an exception class is callable too, and calling it would return the error.
    if isinstance(item, BaseException) or (isinstance(item, type) and issubclass(item, BaseException)):
        raise item
    if callable(item):
        return _result(cast("Callable[..., object]", item)(*arguments), *arguments)
    return item
