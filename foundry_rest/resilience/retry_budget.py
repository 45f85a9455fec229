"""What retries may add to the load: a token bucket that all calls of a client share."""

from __future__ import annotations

import threading

from foundry_rest import clock
from foundry_rest.transport.fork import renew_after_fork

#: Retries that a client may spend at once, and how it earns them back. A script's few calls never
#: notice; in a storm of failures the load grows by a quarter, not by the number of attempts.
BUDGET = 32.0
EARNED_BY_CALL = 0.25
EARNED_BY_SECOND = 1.0


class RetryBudget:
    """A token bucket that calls and time fill and retries empty.

    Args:
        most: Tokens in a full bucket; it begins full.
        by_call: Tokens that each first attempt brings.
        by_second: Tokens that each second brings.

    Attributes:
        full: Whether the bucket is full, the usual case: then a call has nothing to bring.
    """

    def __init__(
        self, most: float = BUDGET, by_call: float = EARNED_BY_CALL, by_second: float = EARNED_BY_SECOND
    ) -> None:
        self._most, self._by_call, self._by_second = most, by_call, by_second
        self._tokens = most
        self.full = True
        self._at = clock.monotonic()
        self.renew()
        renew_after_fork(self)

    def earn(self) -> None:
        """Count one call."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._by_call)
            self.full = self._tokens >= self._most

    def spend(self) -> bool:
        """Take a token for one retry; False when there is none."""
        with self._lock:
            now = clock.monotonic()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._by_second)
            self._at = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            self.full = False
            return True

    def renew(self) -> None:
        """Make the lock anew: the parent's may have been held."""
        self._lock = threading.Lock()
