"""Statistics from events: counts, latencies, tokens.

An event is put aside in one step of the interpreter, which needs no lock, and counted later: by the thread
that puts the last of some hundred aside, or by one that asks for the figures. So no thread waits for another.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from contextlib import suppress

import msgspec

from foundry_rest import clock
from foundry_rest.events import (
    ABANDONED,
    CACHED,
    ERROR,
    OK,
    AttemptFailed,
    CallFinished,
    CircuitChanged,
    CureStarted,
    Event,
    ServiceMoved,
    TimeoutChanged,
)
from foundry_rest.schema import CallStats, Stats
from foundry_rest.schema.distribution import Recorder
from foundry_rest.schema.stats import MOST_CHANGES
from foundry_rest.schema.use import CacheUse, CircuitChange
from foundry_rest.transport.fork import renew_after_fork

#: Events that are put aside before they are counted.
_ASIDE = 256


class _Finished(msgspec.Struct, frozen=True, gc=False):
    """What is counted of the end of a call; not its error, which may hold a connection."""

    call: str
    outcome: str
    attempts: int
    elapsed: float
    first_token: float | None
    prompt_tokens: int
    completion_tokens: int


class _Failed(msgspec.Struct, frozen=True, gc=False):
    """What is counted of an attempt that failed."""

    call: str
    is_retried: bool


class _Tally:
    """The running totals of one operation."""

    def __init__(self) -> None:
        self.outcomes = {OK: 0, ERROR: 0, ABANDONED: 0, CACHED: 0}
        self.attempts = self.failed_attempts = self.retries = 0
        self.recoveries: Counter[str] = Counter()
        self.prompt_tokens = self.completion_tokens = 0
        self.seconds = self.token_seconds = 0.0
        self.latency, self.first_token, self.speed = Recorder(), Recorder(), Recorder()

    def add(self, event: _Finished | _Failed) -> None:
        if isinstance(event, _Failed):
            self.failed_attempts += 1
            self.retries += event.is_retried
            return
        self.outcomes[event.outcome] += 1
        if event.outcome == CACHED:  # the service had no part in it: its figures stay its own
            return
        self.attempts += event.attempts
        self.seconds += event.elapsed
        self.prompt_tokens += event.prompt_tokens
        self.completion_tokens += event.completion_tokens
        if event.completion_tokens:
            self.token_seconds += event.elapsed
        if event.outcome == OK:
            self._add_durations(event)

    def _add_durations(self, event: _Finished) -> None:
        self.latency.add(event.elapsed)
        if event.first_token is not None:
            self.first_token.add(event.first_token)
        if event.completion_tokens and event.elapsed:
            self.speed.add(event.completion_tokens / event.elapsed)

    def read(self) -> CallStats:
        return CallStats(
            calls=sum(self.outcomes.values()) - self.outcomes[CACHED],
            errors=self.outcomes[ERROR],
            abandoned=self.outcomes[ABANDONED],
            cached=self.outcomes[CACHED],
            attempts=self.attempts,
            failed_attempts=self.failed_attempts,
            retries=self.retries,
            recoveries=dict(self.recoveries),
            seconds=self.seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            token_seconds=self.token_seconds,
            latency=self.latency.read(),
            first_token=self.first_token.read(),
            speed=self.speed.read(),
        )


class StatsObserver:
    """The statistics of a client by operation."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)
        self._aside: deque[_Finished | _Failed | str] = deque()
        self._tallies: dict[str, _Tally] = {}
        self._openings: Counter[str] = Counter()
        self._changes: deque[CircuitChange] = deque(maxlen=MOST_CHANGES)
        self._moves = self._timeout_changes = 0
        self._cache: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, CallFinished):
            counted: _Finished | _Failed = _Finished(
                event.call,
                event.outcome,
                event.attempt,
                event.elapsed,
                event.first_token,
                event.prompt_tokens,
                event.completion_tokens,
            )
        elif isinstance(event, AttemptFailed):
            counted = _Failed(event.call, event.wait is not None and not event.cure)
        else:
            self._note(event)
            return
        self._put_aside(counted)

    def note_cache(self, name: str) -> None:
        """Count a use of the cache, by the name of its count in ``CacheUse``."""
        self._put_aside(name)

    def _put_aside(self, counted: _Finished | _Failed | str) -> None:
        self._aside.append(counted)
        if len(self._aside) >= _ASIDE and self._lock.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._lock.release()

    def _note(self, event: Event) -> None:
        """Count one of the events of which there are few."""
        with self._lock:
            if isinstance(event, CureStarted):
                self._tally(event.call).recoveries[event.cure] += 1
            elif isinstance(event, ServiceMoved):
                self._moves += 1
            elif isinstance(event, TimeoutChanged):
                self._timeout_changes += 1
            elif isinstance(event, CircuitChanged):
                change = CircuitChange(at=clock.now(), url=event.url, before=event.before, after=event.after)
                self._changes.append(change)
                if event.after == "open":
                    self._openings[event.url] += 1

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then sends its event.
        self._lock = threading.RLock()

    def snapshot(self) -> Stats:
        """Return the figures so far."""
        with self._lock:
            self._count()
            return Stats.of(
                ((label, tally.read()) for label, tally in self._tallies.items()),
                openings=dict(self._openings),
                circuit_changes=tuple(self._changes),
                moves=self._moves,
                timeout_changes=self._timeout_changes,
                cache=CacheUse(**self._cache),
            )

    def _count(self) -> None:
        """Count what was put aside; the caller has the lock."""
        with suppress(IndexError):
            while True:
                counted = self._aside.popleft()
                if isinstance(counted, str):
                    self._cache[counted] += 1
                    continue
                self._tally(counted.call).add(counted)

    def _tally(self, call: str) -> _Tally:
        tally = self._tallies.get(call)
        if tally is None:
            tally = self._tallies[call] = _Tally()
        return tally
