"""The record of one circuit, and its storage in this process's memory.

A state is read without a lock and changed atomically: ``change(decide)`` passes ``decide`` a record that
nothing else can change meanwhile, and stores all that ``decide`` has written, or nothing. That is all a
breaker needs, in memory, in a file (``storage.sqlite``) or on a server (``storage.redis``).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar, cast

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
    """All that is known of one circuit. A record that ``read`` returned must not be changed.

    It has the methods of pybreaker's storages, so that pybreaker reads and writes it directly.

    Attributes:
        state: ``"closed"``, ``"open"`` or ``"half-open"``.
        failures: In a row; pybreaker counts them.
        successes: In a row while half-open; pybreaker counts them.
        opened_at: When pybreaker opened it; for people only, no decision uses it.
        epoch: Grows with each change of state; below 0 when the storage cannot be read.
        trips: How often in a row it opened.
        opened_until: When the next probe may be sent, on the clock of ``now``.
        claimed_until: When the probe that is out counts as lost, on the same clock.
        probes: Number of probes ever admitted, which is the number of the last one.
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
        """Return this record as a storage for pybreaker, whose base class is not imported here."""
        return cast("pybreaker.CircuitBreakerStorage", self)

    @property
    def counter(self) -> int:
        """Return the failures in a row."""
        return self.failures

    def increment_counter(self) -> None:
        """Count one failure."""
        self.failures += 1

    def reset_counter(self) -> None:
        """Set the failures to 0."""
        self.failures = 0

    @property
    def success_counter(self) -> int:
        """Return the successes in a row while half-open."""
        return self.successes

    def increment_success_counter(self) -> None:
        """Count one success."""
        self.successes += 1

    def reset_success_counter(self) -> None:
        """Set the successes to 0."""
        self.successes = 0


#: The record of a circuit whose state cannot be read: closed, and no report changes it.
UNKNOWN = Record(epoch=-1)


class MemoryState:
    """A record in this process's memory, on a monotonic clock."""

    def __init__(self) -> None:
        self._record = Record()
        self.renew()
        renew_after_fork(self)

    def read(self) -> Record:
        """Return the record, without a lock, because it is only ever replaced as a whole."""
        return self._record

    def now(self) -> float:
        """Return monotonic seconds."""
        return clock.monotonic()

    def change(self, decide: Callable[[Record, float], T]) -> T:
        """Return the result of ``decide(record, now)``, and store its changes of the record."""
        with self._lock:
            record = copy.copy(self._record)
            result = decide(record, self.now())
            self._record = record
        return result

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()
