"""The bound on the load that retries add: a token bucket that all calls of a client share."""

from __future__ import annotations

import threading

from foundry_rest import clock
from foundry_rest.transport.fork import renew_after_fork

#: Retries that a client may make at once, and the tokens by which it gets more. A script's few calls never
#: reach the bound; in a storm of failures the load grows by a quarter, not by the number of attempts.
BUDGET = 32.0
EARNED_BY_CALL = 0.25
EARNED_BY_SECOND = 1.0


class RetryBudget:
    """A token bucket that calls and time fill and that retries empty.

    Args:
        most: Tokens in a full bucket; it is full at the start.
        by_call: Tokens added for each first attempt.
        by_second: Tokens added for each second.

    Attributes:
        full: Whether the bucket is full, the usual case, in which a call adds nothing.
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
        """Add the tokens of one call."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._by_call)
            self.full = self._tokens >= self._most

    def spend(self) -> bool:
        """Take a token for one retry; return False when there is none."""
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
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()
