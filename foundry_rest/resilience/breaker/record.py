"""What one circuit remembers, and the place in this process's memory where it does.

A state is read without a lock and changed in one piece: ``change(decide)`` gives ``decide`` a record that
nobody else can change meanwhile, and what ``decide`` has written appears at once or not at all. That is
all a breaker needs, in memory, in a file (``storage.sqlite``) or on a server (``storage.redis``).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import msgspec

from foundry_rest import clock
from foundry_rest.transport.fork import renew_after_fork

if TYPE_CHECKING:
    import pybreaker

T = TypeVar("T")

#: pybreaker's names of the states.
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
STATES = (CLOSED, OPEN, HALF_OPEN)


class Record(msgspec.Struct):
    """All that is known of one circuit. What ``read`` gave is not to be changed.

    It has the methods of pybreaker's storages, so that pybreaker reads and writes it directly.

    Attributes:
        state: ``"closed"``, ``"open"`` or ``"half-open"``.
        failures: In a row; pybreaker counts them.
        successes: In a row while half-open; pybreaker counts them.
        opened_at: When pybreaker opened it; for people, nothing is decided by it.
        epoch: Grows with each change of state; below 0 when the place that keeps it cannot be read.
        trips: How often in a row it opened.
        opened_until: When the next probe may go, on the clock of ``now``.
        claimed_until: When the probe that is out counts as lost, on the same clock.
        probes: How many probes were ever admitted; the number of the one that is out.
    """

    state: str = CLOSED
    failures: int = 0
    successes: int = 0
    opened_at: datetime | None = None
    epoch: int = 0
    trips: int = 0
    opened_until: float = 0.0
    claimed_until: float = 0.0
    probes: int = 0

    def storage(self) -> pybreaker.CircuitBreakerStorage:
        """Return this record as a storage; not derived from pybreaker's class, which is imported late."""
        return cast("pybreaker.CircuitBreakerStorage", self)

    @property
    def counter(self) -> int:
        """Return the failures in a row."""
        return self.failures

    def increment_counter(self) -> None:
        """Count one failure."""
        self.failures += 1

    def reset_counter(self) -> None:
        """Forget the failures."""
        self.failures = 0

    @property
    def success_counter(self) -> int:
        """Return the successes in a row while half-open."""
        return self.successes

    def increment_success_counter(self) -> None:
        """Count one success."""
        self.successes += 1

    def reset_success_counter(self) -> None:
        """Forget the successes."""
        self.successes = 0


#: What is believed of a circuit whose state cannot be read: closed, and no report moves it.
UNKNOWN = Record(epoch=-1)


class BreakerState(Protocol):
    """The place of one circuit's record. Nothing here raises: what cannot be kept counts as closed."""

    def read(self) -> Record:
        """Return the record as it is now; ``UNKNOWN`` when it cannot be read."""

    def now(self) -> float:
        """Return the time on the clock that all who share this state share."""

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return what ``decide(record, now)`` returns, and keep what it wrote into the record.

        ``decide`` may be called again with a fresh record when somebody else was faster.
        ``None`` when the record cannot be kept; ``decide`` need not have been called then.
        """


class MemoryState:
    """A record in this process, on a clock that never steps back."""

    def __init__(self) -> None:
        self._record = Record()
        self.renew()
        renew_after_fork(self)

    def read(self) -> Record:
        """Return the record, without a lock: it is replaced whole, never written to."""
        return self._record

    def now(self) -> float:
        """Return monotonic seconds."""
        return clock.monotonic()

    def change(self, decide: Callable[[Record, float], T]) -> T:
        """Return what ``decide(record, now)`` returns, and keep what it wrote into the record."""
        with self._lock:
            record = copy.copy(self._record)
            result = decide(record, self.now())
            self._record = record
        return result

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()
