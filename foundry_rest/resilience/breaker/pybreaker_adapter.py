"""The only module that imports pybreaker; it is itself imported at the first failure.

pybreaker takes 20 ms to import, and 120 ms where redis and tornado are installed; a client whose calls
succeed never pays that. A ``CircuitBreaker`` is made for each outcome and thrown away (3 us): made on a
record it starts in the stored state, keeps the counters and holds no state that could become stale. No
request ever runs inside it, so the faults of ``call()`` do not matter: it holds a lock while the function
runs, counts Ctrl-C as a failure and an excluded error as a success, and loses a result when a listener
raises.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pybreaker

from foundry_rest.resilience.breaker.policy import BreakerPolicy

if TYPE_CHECKING:
    from foundry_rest.resilience.interfaces import BreakerState

#: Seconds. Admission measures the time; pybreaker, which uses a wall clock, must never half-open by itself.
_NEVER = 10.0**9


def circuit_on(storage: pybreaker.CircuitBreakerStorage, policy: BreakerPolicy) -> pybreaker.CircuitBreaker:
    """Return a breaker that continues from a storage's state and follows a policy."""
    return pybreaker.CircuitBreaker(
        fail_max=policy.failures,
        reset_timeout=_NEVER,
        success_threshold=policy.successes,
        state_storage=storage,
        throw_new_error_on_trip=False,
    )


class SharedStorage(pybreaker.CircuitBreakerStorage):
    """A shared state as a storage for pybreaker; each access is a transaction of its own."""

    def __init__(self, shared: BreakerState) -> None:
        super().__init__("foundry_rest")
        self._shared = shared

    @property
    def state(self) -> str:
        """Return ``"closed"``, ``"open"`` or ``"half-open"``."""
        return self._shared.read().state

    @state.setter
    def state(self, state: str) -> None:
        """Store the state."""
        self._shared.change(lambda record, now: setattr(record, "state", state))

    @property
    def counter(self) -> int:
        """Return the failures in a row."""
        return self._shared.read().counter

    def increment_counter(self) -> None:
        """Count one failure."""
        self._shared.change(lambda record, now: record.increment_counter())

    def reset_counter(self) -> None:
        """Forget the failures."""
        self._shared.change(lambda record, now: record.reset_counter())

    @property
    def success_counter(self) -> int:
        """Return the successes in a row while half-open."""
        return self._shared.read().success_counter

    def increment_success_counter(self) -> None:
        """Count one success."""
        self._shared.change(lambda record, now: record.increment_success_counter())

    def reset_success_counter(self) -> None:
        """Forget the successes."""
        self._shared.change(lambda record, now: record.reset_success_counter())

    @property
    def opened_at(self) -> datetime | None:
        """Return when pybreaker last opened the circuit."""
        return self._shared.read().opened_at

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        """Store when pybreaker opened the circuit."""
        self._shared.change(lambda record, now: setattr(record, "opened_at", opened_at))
