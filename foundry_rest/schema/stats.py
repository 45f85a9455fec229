"""Statistics of a client since it was created."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from foundry_rest.schema.distribution import Distribution, Percentiles
from foundry_rest.schema.use import CacheUse, CircuitChange, ConnectionUse, SlotUse, summed
from foundry_rest.values import Value

if TYPE_CHECKING:
    from typing_extensions import Self


class CallStats(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of one operation.

    Percentiles are at most 1.2 % off.

    Attributes:
        calls: Number of calls that ended, without those that a cache answered.
        seconds: Sum of the calls' durations.
        errors: Number of these that ended with an error.
        abandoned: Number of these that were streams closed early; they count neither as ok nor as errors.
        cached: Number of calls that a cache answered; they are in none of the other figures.
        p50: Median duration in seconds of the successful calls.
        p95: 95th percentile of the same.
        first_token_p50: Median seconds to the first event, or ``None`` without streams.
        attempts: Number of attempts that the calls took.
        failed_attempts: Number of attempts that failed, including those followed by a recovery or a retry.
        retries: Number of attempts that were made again after a wait.
        recoveries: Number of recoveries begun, by name: ``"load"``, ``"resolve"``, ``"rediscover"``.
        token_seconds: Sum of the durations of the calls that reported completion tokens.
        tokens_per_second: ``completion_tokens`` divided by ``token_seconds``.
        prompt_tokens: Sum of the counts that the service reported.
        completion_tokens: Sum of the counts that the service reported.
        latency: Durations of the successful calls, in seconds.
        first_token: Seconds to the first event of the successful streams.
        speed: Completion tokens per second of the successful calls that reported them.
    """

    calls: int = 0
    seconds: float = 0.0
    errors: int = 0
    abandoned: int = 0
    cached: int = 0
    p50: float = 0.0
    p95: float = 0.0
    first_token_p50: float | None = None
    attempts: int = 0
    failed_attempts: int = 0
    retries: int = 0
    recoveries: dict[str, int] = {}
    token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency: Distribution = Distribution()
    first_token: Distribution = Distribution()
    speed: Distribution = Distribution()

    @classmethod
    def merged(cls, parts: Iterable[CallStats]) -> Self:
        """Return the statistics of the calls of all: of several operations, threads or processes."""
        found = list(parts)
        sums = {name: sum(getattr(part, name) for part in found) for name in _SUMS}
        latency, first_token, speed = (
            Distribution.merged(getattr(part, name) for part in found) for name in _DISTRIBUTIONS
        )
        times, firsts = latency.percentiles(), first_token.percentiles()
        return cls(
            **sums,
            recoveries=_counted(part.recoveries for part in found),
            p50=times.p50,
            p95=times.p95,
            first_token_p50=firsts.p50 if first_token.buckets else None,
            tokens_per_second=_ratio(sums["completion_tokens"], sums["token_seconds"]),
            latency=latency,
            first_token=first_token,
            speed=speed,
        )

    @property
    def ok(self) -> int:
        """Return the number of calls that got a whole answer from the service."""
        return self.calls - self.errors - self.abandoned

    @property
    def latencies(self) -> Percentiles:
        """Return percentiles of the durations, in seconds."""
        return self.latency.percentiles()

    def row(self, label: str) -> tuple[str, ...]:
        """Return the row of the operation ``label`` in the table of all."""
        from foundry_rest.schema.tables import milliseconds

        return (
            label,
            str(self.calls),
            str(self.errors),
            milliseconds(self.p50),
            milliseconds(self.first_token_p50),
            str(self.completion_tokens),
            f"{self.tokens_per_second:.0f}",
        )


_DISTRIBUTIONS = ("latency", "first_token", "speed")
_SUMS = (
    "calls",
    "errors",
    "abandoned",
    "cached",
    "attempts",
    "failed_attempts",
    "retries",
    "seconds",
    "prompt_tokens",
    "completion_tokens",
    "token_seconds",
)


class Stats(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a client.

    Attributes:
        total: The sum of all operations.
        by_call: Operations by label, such as ``"chat.complete"``.
        circuits: State of each used address's circuit: ``"closed"``, ``"open"`` or ``"half-open"``.
        openings: How often the circuit of each address opened.
        circuit_changes: The latest changes of the circuits, oldest first; at most 32.
        moves: How often the service was found at another address.
        timeout_changes: How often an adaptive time-out changed.
        slots: The use of the slots.
        connections: The use of the connections.
        cache: The use of the cache; zeros without one.
    """

    total: CallStats = CallStats()
    by_call: dict[str, CallStats] = {}
    circuits: dict[str, str] = {}
    openings: dict[str, int] = {}
    circuit_changes: tuple[CircuitChange, ...] = ()
    moves: int = 0
    timeout_changes: int = 0
    slots: SlotUse = SlotUse()
    connections: ConnectionUse = ConnectionUse()
    cache: CacheUse = CacheUse()

    @classmethod
    def merged(cls, parts: Iterable[Stats]) -> Self:
        """Return the statistics of several clients or processes as those of one.

        A circuit's state is told by the last part that knows its address.
        """
        found = list(parts)
        changes = sorted((each for part in found for each in part.circuit_changes), key=lambda each: each.at)
        return cls.of(
            ((label, each) for part in found for label, each in part.by_call.items()),
            circuits={url: state for part in found for url, state in part.circuits.items()},
            openings=_counted(part.openings for part in found),
            circuit_changes=tuple(changes[-MOST_CHANGES:]),
            moves=sum(part.moves for part in found),
            timeout_changes=sum(part.timeout_changes for part in found),
            slots=summed(SlotUse, (part.slots for part in found)),
            connections=summed(ConnectionUse, (part.connections for part in found)),
            cache=summed(CacheUse, (part.cache for part in found)),
        )

    @classmethod
    def of(cls, labelled: Iterable[tuple[str, CallStats]], **more: Any) -> Self:  # noqa: ANN401 (other fields)
        """Return the statistics of operations, each of which may be in several parts."""
        groups: dict[str, list[CallStats]] = {}
        for label, part in labelled:
            groups.setdefault(label, []).append(part)
        by_call = {label: CallStats.merged(group) for label, group in groups.items()}
        return cls(total=CallStats.merged(by_call.values()), by_call=by_call, **more)

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Self:
        """Return the statistics that ``to_dict()`` gave, in this or another process.

        Raises:
            ValueError: It is something else.
        """
        return msgspec.convert(data, cls, str_keys=True)

    def __str__(self) -> str:
        """Return a table with a row for each operation, as the command prints it, and lines for the rest."""
        from foundry_rest.schema.tables import table

        rows = (figures.row(label) for label, figures in self.by_call.items())
        return "\n".join((table([_HEADING, *rows]), *self._remarks()))

    def _remarks(self) -> Iterator[str]:
        """Yield a line for each thing beside the calls of which there is something to tell."""
        total, slots, connections, cache = self.total, self.slots, self.connections, self.cache
        for url, count in self.openings.items():
            yield f"circuit of {url}: opened {count} x, now {self.circuits.get(url, 'closed')}"
        if total.retries or total.recoveries:
            helped = "".join(f", {name} {count}" for name, count in total.recoveries.items())
            yield f"attempts: {total.attempts}, retries {total.retries}{helped}"
        if self.moves:
            yield f"service: moved {self.moves} x"
        if slots.waits:
            yield f"slots: {slots.limit}, {slots.waits} calls waited {slots.waited:.1f} s in all"
        if connections.opened:
            yield f"connections: {connections.opened} for {connections.requests} requests"
        if cache.hits or cache.misses:
            yield f"cache: {cache.hits} hits ({cache.stale} stale), {cache.misses} misses, {cache.kept} kept"


def _counted(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of counts by name."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part)
    return dict(counts)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


_HEADING = ("CALL", "CALLS", "ERRORS", "MEDIAN MS", "FIRST TOKEN MS", "TOKENS", "TOKENS/S")
#: Changes of circuits that are kept.
MOST_CHANGES = 32
