"""Decide how long to wait before the next try, or to give up. No I/O, no clock, no sleep.

The delays are ``backoff``'s generators and jitter; its decorators are not used, because they bind a
limit late by one call, jitter Retry-After away and cannot be stopped (traps 3.2). Only what backoff
2.2.1 and the fork python-backoff 3 share is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec

from foundry_rest.checks import seconds_from_zero, whole_number
from foundry_rest.config import RETRIES
from foundry_rest.errors import (
    FoundryError,
    InferenceFailed,
    LoadFailed,
    ServerError,
    ServiceError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    TooManyRequests,
    TransportError,
)
from foundry_rest.transport.call import Replay

#: Most further tries by what happened, first match wins; ``None``: as many as the policy grants.
#: A request whose connection died without a byte may be the one that kills the service, and one that
#: timed out may still be running: both are repeated once. A 500 is often the same again.
_LIMITS: tuple[tuple[type[FoundryError], int | None], ...] = (
    (LoadFailed, 0),
    (InferenceFailed, 2),
    (TooManyRequests, None),
    (ServerError, 2),
    (ServiceTimeout, 1),
    (StreamInterrupted, 1),
    (ServiceUnreachable, 1),
)
#: The refusal to unload a model while an answer runs on it (native-runtime-measured.md section 3).
_IN_USE = b"still using it"
#: 1.x has asked all regions of its catalog by then (foundry-local-rest.md section 2.2).
_NO_CATALOG = b"Failed to retrieve model list"
#: Statuses that say "later", whatever the route: the request has not begun.
_LATER = (429, 503)


class RetryPolicy(msgspec.Struct, frozen=True):
    """Hold how often and how soon a failed call is tried again.

    Attributes:
        retries: Tries after the first; 0 for none.
        base: Seconds of the first delay's upper bound; each further one doubles it.
        longest: Upper bound of a delay in seconds.
        floor: Lower bound in seconds: full jitter alone may return nothing at all.
        longest_retry_after: A Retry-After above this many seconds ends the call instead.

    Raises:
        ConfigError: A value is negative or not a number.
    """

    retries: int = RETRIES
    base: float = 0.25
    longest: float = 8.0
    floor: float = 0.02
    longest_retry_after: float = 60.0

    def __post_init__(self) -> None:
        whole_number("retries", self.retries, 0)
        for name in ("base", "longest", "floor", "longest_retry_after"):
            seconds_from_zero(f"RetryPolicy.{name}", getattr(self, name))

    @classmethod
    def of(cls, value: int | RetryPolicy) -> RetryPolicy:
        """Return ``value`` as a policy: a number of retries, or a policy as it is."""
        return value if isinstance(value, RetryPolicy) else cls(retries=value)

    def wait_before_next(
        self, error: FoundryError, replay: Replay, failed: int, left: float, jitter: Callable[[float], float]
    ) -> float | None:
        """Return the seconds to wait before the next try, or ``None`` to give up.

        Args:
            error: How the last try failed.
            replay: When the call may be sent again.
            failed: Tries that failed so far, the last included.
            left: Seconds until the call's deadline.
            jitter: Returns a random number between 0 and its argument.
        """
        if failed > min(self.retries, _limit(error, replay)):
            return None
        wait = self._delay(failed, jitter)
        asked = error.retry_after if isinstance(error, ServiceError) else None
        if asked is not None:
            if asked > self.longest_retry_after:
                return None
            wait = max(asked, self.floor)
        return wait if wait < left else None

    def _delay(self, failed: int, jitter: Callable[[float], float]) -> float:
        from backoff import expo

        # The first value primes the generator for send(): None in 2.2.1, 0 in the fork.
        bound = next(itertools.islice(expo(factor=self.base, max_value=self.longest), failed, None))
        return max(self.floor, jitter(bound))


def full_jitter(bound: float) -> float:
    """Return a random number between 0 and ``bound``."""
    from backoff import full_jitter as jitter

    return float(jitter(bound))


def _limit(error: FoundryError, replay: Replay) -> float:
    """Return the most further tries that this failure deserves."""
    if isinstance(error, ServiceError) and error.status in _LATER:
        return float("inf")
    if isinstance(error, TransportError) and not error.sent:
        return float("inf") if isinstance(error, (ServiceUnreachable, ServiceTimeout)) else 0
    if replay is Replay.IF_UNSENT:
        return 0
    if isinstance(error, LoadFailed) and _IN_USE in error.body:
        return float("inf")  # the session of an answer that was just read lives some 5 ms longer
    if isinstance(error, ServerError) and _NO_CATALOG in error.body:
        return 0
    granted = next((limit for cls, limit in _LIMITS if isinstance(error, cls)), 0)
    return float("inf") if granted is None else granted
