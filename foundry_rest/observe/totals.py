"""The totals of what the statistics have put aside."""

from __future__ import annotations

from collections import Counter, deque

from foundry_rest.events import ABANDONED, CACHED, ERROR, OK, Event, ServiceMoved, TimeoutChanged
from foundry_rest.observe.stats import Changed, Cured, Failed, Finished
from foundry_rest.schema.distribution import Recorder
from foundry_rest.schema.stats import MOST_CHANGES, CallStats, Stats
from foundry_rest.schema.use import CacheUse, CircuitChange


class _Tally:
    """The running totals of one operation."""

    def __init__(self) -> None:
        self.outcomes = {OK: 0, ERROR: 0, ABANDONED: 0, CACHED: 0}
        self.attempts = self.failed_attempts = self.retries = 0
        self.recoveries: Counter[str] = Counter()
        self.prompt_tokens = self.completion_tokens = 0
        self.seconds = self.token_seconds = 0.0
        self.latency, self.first_token, self.speed = Recorder(), Recorder(), Recorder()

    def add(self, event: Finished | Failed) -> None:
        if isinstance(event, Failed):
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

    def _add_durations(self, event: Finished) -> None:
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


class Totals:
    """The running totals of a client by operation; one thread at a time uses them."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}
        self._openings: Counter[str] = Counter()
        self._changes: deque[CircuitChange] = deque(maxlen=MOST_CHANGES)
        self._moves = self._timeout_changes = 0
        self._cache: Counter[str] = Counter()

    def add(self, counted: Finished | Failed | Cured | Changed | Event | str) -> None:
        """Count one event, or one use of the cache."""
        if isinstance(counted, (Finished, Failed)):
            self._tally(counted.call).add(counted)
        elif isinstance(counted, str):
            self._cache[counted] += 1
        elif isinstance(counted, Cured):
            self._tally(counted.call).recoveries[counted.cure] += 1
        elif isinstance(counted, Changed):
            self._add_change(counted)
        elif isinstance(counted, ServiceMoved):
            self._moves += 1
        elif isinstance(counted, TimeoutChanged):
            self._timeout_changes += 1

    def _add_change(self, change: Changed) -> None:
        event = change.event
        self._changes.append(
            CircuitChange(at=change.at, url=event.url, before=event.before, after=event.after)
        )
        if event.after == "open":
            self._openings[event.url] += 1

    def read(self) -> Stats:
        """Return the figures."""
        return Stats.of(
            ((label, tally.read()) for label, tally in self._tallies.items()),
            openings=dict(self._openings),
            circuit_changes=tuple(self._changes),
            moves=self._moves,
            timeout_changes=self._timeout_changes,
            cache=CacheUse(**self._cache),
        )

    def _tally(self, call: str) -> _Tally:
        tally = self._tallies.get(call)
        if tally is None:
            tally = self._tallies[call] = _Tally()
        return tally
