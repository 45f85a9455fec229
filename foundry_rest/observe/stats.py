"""Statistics from events: counts, latencies, tokens.

An event is put aside in one step of the interpreter, which needs no lock, and counted later (``totals``): by
the thread that puts the last of some hundred aside, or by one that asks for the figures. So no thread waits
for another, and a program that makes a few calls and asks for no figures does not even import what counts.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from foundry_rest import clock
from foundry_rest.events import AttemptFailed, CallFinished, CircuitChanged, CureStarted, Event
from foundry_rest.transport.fork import renew_after_fork

if TYPE_CHECKING:
    from foundry_rest.observe.totals import Totals
    from foundry_rest.schema.stats import Stats

#: Events that are put aside before they are counted.
_ASIDE = 256


class Finished(msgspec.Struct, frozen=True, gc=False):
    """What is counted of the end of a call; not its error, which may hold a connection."""

    call: str
    outcome: str
    attempts: int
    elapsed: float
    first_token: float | None
    prompt_tokens: int
    completion_tokens: int


class Failed(msgspec.Struct, frozen=True, gc=False):
    """What is counted of an attempt that failed."""

    call: str
    is_retried: bool


class Cured(msgspec.Struct, frozen=True, gc=False):
    """What is counted of a recovery."""

    call: str
    cure: str


class Changed(msgspec.Struct, frozen=True):
    """The change of a circuit, and when it was."""

    at: float
    event: CircuitChanged


class StatsObserver:
    """The statistics of a client by operation."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)
        self._aside: deque[Finished | Failed | Cured | Changed | Event | str] = deque()
        self._totals: Totals | None = None

    def __call__(self, event: Event) -> None:
        """Put one event aside."""
        counted: Finished | Failed | Cured | Changed | Event = event
        if isinstance(event, CallFinished):
            counted = Finished(
                event.call,
                event.outcome,
                event.attempt,
                event.elapsed,
                event.first_token,
                event.prompt_tokens,
                event.completion_tokens,
            )
        elif isinstance(event, AttemptFailed):
            counted = Failed(event.call, event.wait is not None and not event.cure)
        elif isinstance(event, CureStarted):
            counted = Cured(event.call, event.cure)
        elif isinstance(event, CircuitChanged):
            counted = Changed(clock.now(), event)
        self._put_aside(counted)

    def note_cache(self, name: str) -> None:
        """Count a use of the cache, by the name of its count in ``CacheUse``."""
        self._put_aside(name)

    def _put_aside(self, counted: Finished | Failed | Cured | Changed | Event | str) -> None:
        self._aside.append(counted)
        if len(self._aside) < _ASIDE:
            return
        kind = _kind()
        if self._lock.acquire(blocking=False):
            try:
                self._count(kind)
            finally:
                self._lock.release()

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then sends its event.
        self._lock = threading.RLock()

    def snapshot(self) -> Stats:
        """Return the figures so far."""
        kind = _kind()
        with self._lock:
            return self._count(kind).read()

    def _count(self, kind: type[Totals]) -> Totals:
        """Count what was put aside; the caller has the lock."""
        if self._totals is None:
            self._totals = kind()
        with suppress(IndexError):
            while True:
                self._totals.add(self._aside.popleft())
        return self._totals


def _kind() -> type[Totals]:
    """Return what counts; called before the lock is taken, for an import reads files."""
    from foundry_rest.observe.totals import Totals

    return Totals
