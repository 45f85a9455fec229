"""The decisions that change a circuit's record: atomic, for the state applies each to the newest record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from foundry_rest.resilience.breaker.breaker import Ticket, seconds_left
from foundry_rest.resilience.breaker.policy import BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import CLOSED, OPEN, Record

if TYPE_CHECKING:
    import pybreaker


class Decisions:
    """The decisions of one circuit; each writes the record and returns it.

    Args:
        policy: When to open and when to try again.
        claim: Seconds until a probe that was never reported counts as lost.
    """

    def __init__(self, policy: BreakerPolicy, claim: float) -> None:
        self._policy, self._claim = policy, claim

    def admit_probe(self, record: Record, now: float) -> tuple[int | float, Record]:
        """Return the number of a probe, or the seconds to wait, because another call may have been faster.

        The number is 0 where the circuit is closed by now.
        """
        if record.state == CLOSED:
            return 0, record
        left = seconds_left(record, now, self._policy, self._claim)
        if left:
            return left, record
        if record.state == OPEN:
            with self._circuit(record, now) as circuit:
                circuit.half_open()
        record.probes += 1
        record.claimed_until = now + self._claim
        return record.probes, record

    def settle(
        self, ticket: Ticket, outcome: Outcome, keep: Callable[[], None], record: Record, now: float
    ) -> Record:
        """Count an outcome of the current epoch, and return its probe; ``keep`` a failure that counts."""
        if ticket.probe and ticket.probe == record.probes:
            record.claimed_until = 0.0
        if ticket.epoch != record.epoch or record.state == OPEN or outcome is Outcome.NEUTRAL:
            return record
        has_failed = outcome is Outcome.FAILURE
        if has_failed:
            keep()
        with self._circuit(record, now) as circuit, contextlib.suppress(_Failure):
            circuit.call(_fail if has_failed else _succeed)
        return record

    def force_open(self, record: Record, now: float) -> Record:
        """Open the circuit, or begin the wait of an open one again."""
        if record.state == OPEN:
            record.opened_until = now + self._policy.wait(record.trips)
        else:
            with self._circuit(record, now) as circuit:
                circuit.open()
        return record

    def close(self, record: Record, now: float) -> Record:
        """Close the circuit, and begin a new epoch."""
        before = record.epoch
        if record.state != CLOSED or record.failures:
            with self._circuit(record, now) as circuit:
                circuit.close()
        record.epoch = before + 1
        return record

    @contextlib.contextmanager
    def _circuit(self, record: Record, now: float) -> Iterator[pybreaker.CircuitBreaker]:
        """Let pybreaker change the record, then update what it does not know: epoch, trips and times."""
        from foundry_rest.resilience.breaker.pybreaker_adapter import circuit_on

        before = record.state
        yield circuit_on(record.storage(), self._policy)
        if record.state == before:
            return
        record.epoch += 1
        if record.state == OPEN:
            record.trips += 1
            record.opened_until = now + self._policy.wait(record.trips)
        elif record.state == CLOSED:
            record.trips = 0


class _Failure(Exception):
    """The failure that is raised inside pybreaker; it never leaves this module."""


def _fail() -> NoReturn:
    raise _Failure


def _succeed() -> None:
    pass
