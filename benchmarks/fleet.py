"""What do 10,000 clients do to one gateway that fails, and 10,000 hosts that start in the same minute?

An event-driven simulation: no sockets, no threads, the real retry policy, budget and breaker, a clock that is
moved. Exit code 1 when a client makes more attempts in an outage than MOST_ATTEMPTS allows.

python benchmarks/fleet.py [--write] [CLIENTS]
    prints the figures; --write puts them into docs/explanation/fleet.md; CLIENTS is 10,000 by default
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from foundry_rest import RetryPolicy
from foundry_rest.errors import CircuitOpen, FoundryError, ServerError, ServiceTimeout, ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.breaker.policy import BreakerPolicy, Outcome
from foundry_rest.resilience.failures import outcome_of
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.testing import FakeClock
from foundry_rest.transport.call import Replay

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "fleet.md"
MARK = "<!-- figures -->"
CLIENTS = next((int(given) for given in sys.argv[1:] if given.isdecimal()), 10_000)
#: Seconds between two calls of one client, on average, and of the whole run.
INTERVAL, LENGTH = 40.0, 600.0
#: When the fault begins and ends.
BEGINS, ENDS = 120.0, 420.0
#: Calls a second that the gateway can answer: twice what the clients ask of it.
CAPACITY = 2 * CLIENTS / INTERVAL
#: The same for hosts that ask once a night: all of them in 50 s.
NIGHTLY = CLIENTS / 50
#: Seconds that an answer takes, and after which a client calls it silent.
ANSWER, PATIENCE = 0.5, 30.0
REFUSED, SILENT = ServiceUnreachable("refused", sent=False), ServiceTimeout("silent", sent=True)
OVERLOADED = ServerError("overloaded", status=503)
#: Most attempts a call in an outage, goal of the design.
MOST_ATTEMPTS = 1.1


#: Returns the failure of a call and the seconds after which it shows, or ``None``.
Fault = Callable[[random.Random], "tuple[FoundryError, float] | None"]


class Habit(NamedTuple):
    """How a client treats failures.

    Attributes:
        name: Its name in the table.
        is_naive: It tries three times more, at once.
        has_breaker: It leaves a service alone that failed too often.
        has_budget: Its retries are bounded by what its calls earn.
    """

    name: str
    is_naive: bool = False
    has_breaker: bool = True
    has_budget: bool = True


HABITS = (
    Habit("three tries more, at once", is_naive=True, has_breaker=False, has_budget=False),
    Habit("back-off alone", has_breaker=False, has_budget=False),
    Habit("back-off and breaker", has_budget=False),
    Habit("this client"),
)


class Gateway:
    """A service that answers so many calls a second, in the order in which they come, until it fails.

    Args:
        fault: What goes wrong with a call while the fault lasts.
        slowed: By how much it is slower while the fault lasts.
        capacity: Calls a second that it can answer.
    """

    def __init__(self, fault: Fault, slowed: float = 1.0, capacity: float = CAPACITY) -> None:
        self._fault, self._slowed, self._capacity = fault, slowed, capacity
        self._free_at = 0.0
        self.arrivals: Counter[int] = Counter()

    def ask(self, now: float, chance: random.Random) -> tuple[FoundryError | None, float]:
        """Return how an attempt ends, and after how many seconds."""
        self.arrivals[int(now)] += 1
        is_ill = BEGINS <= now < ENDS
        failure = self._fault(chance) if is_ill else None
        if failure is not None:
            return failure
        work = (self._slowed if is_ill else 1.0) / self._capacity
        left = max(self._free_at, now) + work - now + ANSWER
        if left > PATIENCE:  # the client leaves before its turn, and nobody works for it
            return SILENT, PATIENCE
        self._free_at = max(self._free_at, now) + work
        return None, left


class Client:
    """One client, with its own policy, budget and breaker."""

    def __init__(self, habit: Habit, address: str) -> None:
        self.policy, self.budget = RetryPolicy(), RetryBudget() if habit.has_budget else None
        self.breaker = Breaker(BreakerPolicy(), address=address) if habit.has_breaker else None
        self.is_naive = habit.is_naive

    def wait(self, error: FoundryError, failed: int, chance: random.Random) -> float | None:
        """Return the seconds until the next try; ``None`` to give up."""
        if self.is_naive:
            return 0.0 if failed <= self.policy.retries else None
        jitter = chance.random().__mul__
        wait = self.policy.wait_before_next(error, Replay.ALWAYS, failed, float("inf"), jitter)
        return wait if wait is None or self.budget is None or self.budget.spend() else None


class Run:
    """One run: the clients, the gateway, and what came of the calls."""

    def __init__(self, habit: Habit, gateway: Gateway, clock: FakeClock, seed: int = 1) -> None:
        self._gateway, self._clock, self._chance = gateway, clock, random.Random(seed)
        self._clients = [Client(habit, f"c{number}") for number in range(CLIENTS)]
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self.calls: Counter[int] = Counter()
        self.attempts: Counter[int] = Counter()
        self.good: Counter[int] = Counter()
        self.bad: Counter[int] = Counter()
        self.refused = 0

    def later(self, at: float, what: Callable[[float], None]) -> None:
        """Do something at an instant."""
        heapq.heappush(self._queue, (at, next(self._order), what))

    def run(self, starts: Callable[[random.Random], float] | None = None) -> None:
        """Run to the end; ``starts`` tells when a host starts that asks once; else all go on asking."""
        for client in self._clients:
            first = self._chance.uniform(0, INTERVAL) if starts is None else starts(self._chance)
            self.later(first, self._begin(client, goes_on=starts is None))
        now = 0.0
        while self._queue:
            at, _, what = heapq.heappop(self._queue)
            self._clock.advance(at - now)
            now = at
            what(now)

    def _begin(self, client: Client, *, goes_on: bool) -> Callable[[float], None]:
        def begin(now: float) -> None:
            if now > LENGTH:
                return
            self.calls[int(now)] += 1
            if client.budget is not None and not client.budget.full:
                client.budget.earn()
            self._try(client, now, int(now), 1)
            if goes_on:
                self.later(now + self._chance.expovariate(1 / INTERVAL), begin)

        return begin

    def _try(self, client: Client, now: float, second: int, number: int) -> None:
        """Make an attempt of a call that began in a second."""
        ticket = None
        if client.breaker is not None:
            try:
                ticket = client.breaker.admit()
            except CircuitOpen:
                self.refused += 1
                self.bad[second] += 1
                return
        self.attempts[second] += 1
        error, seconds = self._gateway.ask(now, self._chance)

        def end(at: float) -> None:
            if client.breaker is not None and ticket is not None:
                client.breaker.report(ticket, Outcome.SUCCESS if error is None else outcome_of(error), error)
            if error is None:
                self.good[second] += 1
                return
            wait = client.wait(error, number, self._chance)
            if wait is None:
                self.bad[second] += 1
            else:
                self.later(at + wait, lambda then: self._try(client, then, second, number + 1))

        self.later(now + seconds, end)


def down(_: random.Random) -> tuple[FoundryError, float]:
    """Fail at once: nobody listens."""
    return REFUSED, 0.001


def silent(_: random.Random) -> tuple[FoundryError, float]:
    """Say nothing."""
    return SILENT, PATIENCE


def brown(chance: random.Random) -> tuple[FoundryError, float] | None:
    """Fail three times of ten."""
    return (OVERLOADED, 0.05) if chance.random() < 0.3 else None


def well(_: random.Random) -> None:
    """Do not fail."""


#: Name -> what fails, and by how much the gateway is slower meanwhile.
FAULTS = {
    "five minutes down": (down, 1.0),
    "five minutes silent": (silent, 1.0),
    "30 % errors": (brown, 1.0),
    "four times slower": (well, 4.0),
}


#: The first of these: those in which nobody is answered.
OUTAGES = ("five minutes down", "five minutes silent")
#: Seconds up to which hosts wait at random before they start.
SPLAYS = (0.0, 30.0, 120.0, 300.0)


class Figures(NamedTuple):
    """What a run shows: of the calls that began while the fault lasted, and of the recovery.

    Attributes:
        attempts: Attempts a call.
        good: Part of the calls that were answered.
        peak: Most attempts in a second after the fault, in times of the usual number.
        recovery: Seconds from the end of the fault until 99 % of the calls of ten seconds are answered.
    """

    attempts: float
    good: float
    peak: float
    recovery: float

    def row(self) -> str:
        """Return the cells of a table's row."""
        return f"{self.attempts:.2f} | {self.good:.0%} | {self.peak:.1f} | {self.recovery:.0f}"


def figures(run: Run, gateway: Gateway) -> Figures:
    """Return what a run shows."""
    ill = range(int(BEGINS), int(ENDS))
    calls = sum(run.calls[second] for second in ill)
    usual = CLIENTS / INTERVAL
    recovery = next(
        (
            second - ENDS
            for second in range(int(ENDS), int(LENGTH) - 10)
            if _part_answered(run, range(second, second + 10)) >= 0.99
        ),
        LENGTH - ENDS,
    )
    return Figures(
        attempts=sum(run.attempts[second] for second in ill) / calls,
        good=sum(run.good[second] for second in ill) / calls,
        peak=max(gateway.arrivals[second] for second in range(int(ENDS), int(LENGTH))) / usual,
        recovery=recovery,
    )


def _part_answered(run: Run, seconds: range) -> float:
    good, bad = (sum(counts[second] for second in seconds) for counts in (run.good, run.bad))
    return good / max(1, good + bad)


class Herd(NamedTuple):
    """What hosts do that start in one minute: most starts in a second, and what came of their calls."""

    splay: float
    peak: int
    attempts: float
    good: float
    last: float

    def row(self) -> str:
        """Return a table's row."""
        cells = (
            f"{self.splay:.0f} s | {self.peak} | {self.attempts:.2f} | {self.good:.0%} | {self.last:.0f} s"
        )
        return f"| {cells} |"


def herd(splay: float) -> Herd:
    """Return what comes of hosts whose clocks differ by a second, and that wait at random up to ``splay``."""
    clock = FakeClock(epoch=0.0)
    with clock.installed():
        gateway = Gateway(well, capacity=NIGHTLY)
        run = Run(HABITS[-1], gateway, clock)
        run.run(lambda chance: abs(chance.gauss(0, 0.5)) + chance.uniform(0, splay))
    calls, attempts = (sum(counts.values()) for counts in (run.calls, run.attempts))
    peak = max(run.calls.values())
    return Herd(
        splay, peak, attempts / calls, sum(run.good.values()) / calls, max(gateway.arrivals, default=0)
    )


def simulate(name: str, habit: Habit) -> Figures:
    """Return what clients of one habit do in one fault."""
    clock = FakeClock()
    with clock.installed():
        gateway = Gateway(*FAULTS[name])
        run = Run(habit, gateway, clock)
        run.run()
    return figures(run, gateway)


def main() -> int:
    """Print the tables, and say what bound does not hold."""
    began = time.monotonic()
    cases = [(name, habit) for name in FAULTS for habit in HABITS]
    with ProcessPoolExecutor(2) as processes:
        found = list(processes.map(simulate, *zip(*cases, strict=True)))
        herds = list(processes.map(herd, SPLAYS))
    lines = [
        "| fault | the client | attempts a call | answered | peak | recovery, s |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {habit.name} | {each.row()} |" for (name, habit), each in zip(cases, found, strict=True)
    ]
    lines += ["", "| `--splay` | most starts in a second | attempts a call | answered | last attempt |"]
    lines += ["|---|---|---|---|---|", *(each.row() for each in herds)]
    ours = [each.attempts for (_, habit), each in zip(cases, found, strict=True) if habit == HABITS[-1]]
    text = "\n".join(lines)
    print(text)
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
    if "--write" in sys.argv:
        before, _, _ = PAGE.read_text("utf-8").partition(MARK)
        PAGE.write_text(f"{before}{MARK}\n\n{text}\n", "utf-8")
    return int(max(ours[: len(OUTAGES)]) > MOST_ATTEMPTS)


if __name__ == "__main__":
    sys.exit(main())
