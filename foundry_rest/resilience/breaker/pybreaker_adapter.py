"""pybreaker at work: the one module that imports it, itself imported at the first failure.

pybreaker costs 20 ms to import, and 120 ms where redis and tornado are installed (traps 3.1 no. 16); a
client whose calls succeed never pays that. A ``CircuitBreaker`` is made for each outcome and thrown away
(3 us): made on a record it begins in the stored state, keeps the counters and has nothing to fall behind.
No request ever runs inside it, so its lock (no. 1) and its treatment of ``BaseException`` (no. 5),
generators (no. 4), exclusions (no. 7) and listeners (no. 10) are never met.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypeVar

import pybreaker

from foundry_rest.resilience.breaker.record import Record

T = TypeVar("T")

#: Seconds. The door keeps the time; pybreaker, which reads a wall clock, must never half-open by itself.
_NEVER = 10.0**9


class ModelLock(Protocol):
    """Run a function on a record and return its result."""

    def __call__(self, work: Callable[[Record], T], /) -> T:
        """Return what ``work(record)`` returns."""


class Storage(pybreaker.CircuitBreakerStorage):
    """Let pybreaker read and write a record.

    Args:
        use: Gives access to the record: at once, or each time in a transaction of its own.
    """

    def __init__(self, use: ModelLock) -> None:
        super().__init__("foundry_rest")
        self._use = use

    @property
    def state(self) -> str:
        """Return ``"closed"``, ``"open"`` or ``"half-open"``."""
        return self._use(lambda record: record.state)

    @state.setter
    def state(self, state: str) -> None:
        self._use(lambda record: setattr(record, "state", state))

    @property
    def counter(self) -> int:
        """Return the failures in a row."""
        return self._use(lambda record: record.failures)

    def increment_counter(self) -> None:
        """Count one failure."""
        self._use(lambda record: setattr(record, "failures", record.failures + 1))

    def reset_counter(self) -> None:
        """Forget the failures."""
        self._use(lambda record: setattr(record, "failures", 0))

    @property
    def success_counter(self) -> int:
        """Return the successes in a row while half-open."""
        return self._use(lambda record: record.successes)

    def increment_success_counter(self) -> None:
        """Count one success."""
        self._use(lambda record: setattr(record, "successes", record.successes + 1))

    def reset_success_counter(self) -> None:
        """Forget the successes."""
        self._use(lambda record: setattr(record, "successes", 0))

    @property
    def opened_at(self) -> datetime | None:
        """Return when pybreaker last opened the circuit."""
        return self._use(lambda record: record.opened_at)

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        self._use(lambda record: setattr(record, "opened_at", opened_at))


def drive(
    record: Record, action: Callable[[pybreaker.CircuitBreaker], object], failures: int, successes: int
) -> None:
    """Let pybreaker act on a record.

    Args:
        record: Written in place.
        action: Given the breaker that acts.
        failures: In a row that open the circuit.
        successes: In a row that close it again.
    """
    storage = record.storage()
    action(
        pybreaker.CircuitBreaker(
            fail_max=failures,
            reset_timeout=_NEVER,
            success_threshold=successes,
            state_storage=storage,
            throw_new_error_on_trip=False,
        )
    )
    record.state, record.failures = storage.state, storage.counter
