"""Statistics from events: counts, latencies, tokens.

An event is put aside in one step of the interpreter, which needs no lock, and counted later: by the thread
that puts the last of some hundred aside, or by one that asks for the figures. So no thread waits for another.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from foundry_rest.events import ABANDONED, CACHED, ERROR, OK, AttemptFailed, CallFinished, Event
from foundry_rest.schema import CallStats, Stats
from foundry_rest.schema.distribution import Recorder
from foundry_rest.transport.fork import renew_after_fork

#: Events that are put aside before they are counted.
_ASIDE = 256


class _Finished(NamedTuple):
    """What is counted of the end of a call; not its error, which may hold a connection."""

    call: str
    outcome: str
    attempts: int
    elapsed: float
    first_token: float | None
    prompt_tokens: int
    completion_tokens: int


class _Failed(NamedTuple):
    """What is counted of an attempt that failed."""

    call: str
    is_retried: bool


class _Tally:
    """The running totals of one operation."""

    def __init__(self) -> None:
        self.outcomes = {OK: 0, ERROR: 0, ABANDONED: 0, CACHED: 0}
        self.attempts = self.failed_attempts = self.retries = 0
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
        self._aside: deque[_Finished | _Failed] = deque()
        self._tallies: dict[str, _Tally] = {}

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
            return
        self._aside.append(counted)
        if len(self._aside) >= _ASIDE and self._lock.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._lock.release()

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then sends its event.
        self._lock = threading.RLock()

    def snapshot(self) -> Stats:
        """Return the figures so far."""
        with self._lock:
            self._count()
            return Stats.of((label, tally.read()) for label, tally in self._tallies.items())

    def _count(self) -> None:
        """Count what was put aside; the caller has the lock."""
        with suppress(IndexError):
            while True:
                counted = self._aside.popleft()
                tally = self._tallies.get(counted.call)
                if tally is None:
                    tally = self._tallies[counted.call] = _Tally()
                tally.add(counted)
