"""An event-driven simulation of a service that shares its power among the calls under way.

Time is simulated; the slots and the decisions are the real ones. A closed loop: somebody always waits.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Callable
from typing import NamedTuple

from foundry_rest.resilience.adaptive_slots import AdaptiveSlots
from foundry_rest.testing import FakeClock

#: Calls that may be under way at most.
MOST = 64
#: Tokens per second of all calls together -> by the number of calls.
SHAPES: dict[str, Callable[[int], float]] = {
    "one core": lambda calls: 100.0,
    "two cores": lambda calls: {1: 88.0, 2: 110.0, 3: 113.0}.get(calls, 115.0),
    "batching, 16 fill it": lambda calls: 30.0 * min(calls, 16),
}


class Figures(NamedTuple):
    """The outcome of one run.

    Attributes:
        throughput: Tokens per second, from the first call on.
        p50: Median seconds of a call.
        limits: The limit at the end of each call.
    """

    throughput: float
    p50: float
    limits: list[int]


class Service:
    """A service in simulated time.

    Args:
        power: Tokens per second of all calls together, by their number; it may be replaced while it runs.
        seed: Chooses the lengths.
        spread: Sigma of the log-normal lengths.
        overhead: Work besides the answer's tokens, in tokens.
        jitter: Sigma by which calls of the same length differ in work.
        mean: Tokens of an answer, on average.
    """

    def __init__(
        self,
        power: Callable[[int], float],
        seed: int = 1,
        *,
        spread: float = 1.0,
        overhead: float = 0.0,
        jitter: float = 0.0,
        mean: float = 200.0,
    ) -> None:
        self.power = power
        self._chance = random.Random(seed)
        self._spread, self._overhead, self._jitter, self._mean = spread, overhead, jitter, mean
        self._done = 0.0  # work that each call under way has had so far, if it was there from the start
        self.clock = FakeClock()
        self._under_way: list[tuple[float, int, float, int, object]] = []
        self._count = 0

    def run(self, calls: int, slots: AdaptiveSlots, *, callers: int = 10**9, adapts: bool = True) -> Figures:
        """Make so many calls; return what came of it."""
        with self.clock.installed():
            began, tokens, durations, limits = self.clock.monotonic(), 0, [], []
            while len(durations) < calls:
                while slots.free and len(self._under_way) < callers:
                    self._begin(slots)
                started, length, slot = self._end_first()
                slot.release()
                while slots.free and len(self._under_way) < callers - 1:
                    self._begin(slots)
                if adapts:
                    slots.finished(length)
                tokens += length
                durations.append(self.clock.monotonic() - started)
                limits.append(slots.limit)
            passed = self.clock.monotonic() - began
        return Figures(tokens / passed, statistics.median(durations), limits)

    def _begin(self, slots: AdaptiveSlots) -> None:
        chance = self._chance
        length = max(1, round(chance.lognormvariate(0, self._spread) * self._mean))
        work = (length + self._overhead) * chance.lognormvariate(0, self._jitter)
        self._count += 1
        entry = (self._done + work, self._count, self.clock.monotonic(), length, slots.acquire())
        heapq.heappush(self._under_way, entry)

    def _end_first(self):
        """Let the time pass until the first call ends."""
        count = len(self._under_way)
        at, _, started, length, slot = heapq.heappop(self._under_way)
        self.clock.advance((at - self._done) * count / self.power(count))
        self._done = at
        return started, length, slot


def fixed(power: Callable[[int], float], number: int, calls: int, seed: int = 1, **kind: float) -> Figures:
    """Return the figures of a fixed number of calls at a time."""
    slots = AdaptiveSlots(MOST, start=number)
    return Service(power, seed, **kind).run(calls, slots, adapts=False)


def compared(
    power: Callable[[int], float], calls: int, seed: int = 1, most: int = MOST, **kind: float
) -> tuple[float, float, Figures]:
    """Return throughput and p50 of the limit that adapts, as ratios, and its figures.

    The first is to the best fixed number, the second to the smallest one with 95 % of that.
    """
    powers = {number: power(number) for number in range(1, most + 1)}
    best = max(powers, key=lambda number: powers[number])
    smallest = min(number for number in powers if powers[number] >= 0.95 * powers[best])
    found = Service(power, seed, **kind).run(calls, AdaptiveSlots(most))
    throughput = found.throughput / fixed(power, best, calls, seed, **kind).throughput
    return throughput, found.p50 / fixed(power, smallest, calls, seed, **kind).p50, found
