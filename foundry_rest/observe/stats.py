"""Statistics from events: counts, latencies, tokens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

import msgspec

from foundry_rest.events import ABANDONED, CACHED, ERROR, OK, AttemptFailed, CallEvent, CallFinished, Event
from foundry_rest.schema import CallStats, Stats
from foundry_rest.transport.fork import renew_after_fork

#: Durations kept for percentiles: the latest, so that memory is constant.
_KEPT = 1024


class _Tally(msgspec.Struct):
    """The running totals of one operation."""

    calls: int = 0
    errors: int = 0
    abandoned: int = 0
    cached: int = 0
    failed_attempts: int = 0
    seconds: float = 0.0
    token_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    durations: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=_KEPT))
    first_tokens: deque[float] = msgspec.field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, event: CallFinished) -> None:
        if event.outcome == CACHED:  # the service had no part in it: its figures stay its own
            self.cached += 1
            return
        self.calls += 1
        self.seconds += event.elapsed
        self.prompt_tokens += event.prompt_tokens
        self.completion_tokens += event.completion_tokens
        if event.completion_tokens:
            self.token_seconds += event.elapsed
        self.errors += event.outcome == ERROR
        self.abandoned += event.outcome == ABANDONED
        if event.outcome != OK:
            return
        self.durations.append(event.elapsed)
        if event.first_token is not None:
            self.first_tokens.append(event.first_token)


class StatsObserver:
    """The statistics of a client by operation; its one lock is held for microseconds."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)
        self._tallies: dict[str, _Tally] = {}

    def __call__(self, event: Event) -> None:
        """Count one event."""
        if not isinstance(event, CallEvent):
            return
        with self._lock:
            tally = self._tallies.get(event.call)
            if tally is None:
                tally = self._tallies[event.call] = _Tally()
            if isinstance(event, CallFinished):
                tally.add(event)
            elif isinstance(event, AttemptFailed):
                tally.failed_attempts += 1

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then sends its event.
        self._lock = threading.RLock()

    def snapshot(self) -> Stats:
        """Return the figures so far."""
        with self._lock:
            by_call = {label: _figures([tally]) for label, tally in self._tallies.items()}
            return Stats(total=_figures(list(self._tallies.values())), by_call=by_call)


def _figures(tallies: list[_Tally]) -> CallStats:
    durations = [seconds for tally in tallies for seconds in tally.durations]
    first_tokens = [seconds for tally in tallies for seconds in tally.first_tokens]
    tokens = sum(tally.completion_tokens for tally in tallies)
    token_seconds = sum(tally.token_seconds for tally in tallies)
    return CallStats(
        calls=sum(tally.calls for tally in tallies),
        errors=sum(tally.errors for tally in tallies),
        abandoned=sum(tally.abandoned for tally in tallies),
        cached=sum(tally.cached for tally in tallies),
        failed_attempts=sum(tally.failed_attempts for tally in tallies),
        seconds=sum(tally.seconds for tally in tallies),
        p50=_percentile(durations, 50) or 0.0,
        p95=_percentile(durations, 95) or 0.0,
        first_token_p50=_percentile(first_tokens, 50),
        prompt_tokens=sum(tally.prompt_tokens for tally in tallies),
        completion_tokens=tokens,
        tokens_per_second=tokens / token_seconds if token_seconds else 0.0,
    )


def _percentile(values: Iterable[float], percent: int) -> float | None:
    from statistics import median, quantiles  # its import takes 11 ms, which only stats() should cost

    ordered = list(values)
    if len(ordered) < 2:
        return median(ordered) if ordered else None
    return quantiles(ordered, n=100, method="inclusive")[percent - 1]
