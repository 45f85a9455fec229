"""The retry policy: how long to wait before the next try, or to give up. No I/O, no clock, no sleep.

The delays come from ``backoff``'s generators and jitter. Its decorators are not used, because they notice
a limit one call too late, apply jitter to Retry-After and cannot be stopped. Only the parts that backoff
2.2.1 and the fork python-backoff 3 share are used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec

from foundry_rest.checks import seconds_from_zero, whole_number
from foundry_rest.config import RETRIES
from foundry_rest.errors import FoundryError, ServiceError, TransportError
from foundry_rest.transport.call import Replay


class RetryPolicy(msgspec.Struct, frozen=True):
    """The rules for how often and how soon a failed call is tried again.

    Attributes:
        retries: Tries after the first; 0 for none.
        base: Seconds of the first delay's upper bound; each further one doubles it.
        longest: Upper bound of a delay in seconds.
        floor: Lower bound of a delay in seconds, because full jitter may return 0.
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
        """Return a policy for a number of retries; return a policy unchanged."""
        return value if isinstance(value, RetryPolicy) else cls(retries=value)

    def wait_before_next(
        self, error: FoundryError, replay: Replay, failed: int, left: float, jitter: Callable[[float], float]
    ) -> float | None:
        """Return the seconds to wait before the next try, or ``None`` to give up.

        Args:
            error: The error of the last try.
            replay: When the call may be sent again.
            failed: Tries that failed so far, the last included.
            left: Seconds until the call's deadline.
            jitter: Returns a random number between 0 and its argument.
        """
        try:
            from foundry_rest.resilience.failures import most_retries

            if failed > min(self.retries, most_retries(error, replay)):
                return None
            wait = self._delay(failed, jitter, is_away=isinstance(error, TransportError) and not error.sent)
        except OSError:  # the system opens no file, and so no connection either: nothing can be imported
            return None
        asked = error.retry_after if isinstance(error, ServiceError) else None
        if asked is not None:
            if asked > self.longest_retry_after:
                return None
            wait = asked if asked > self.floor else wait  # 0, or a date that is past, is no back-off
        return wait if wait < left else None

    def wait_elsewhere(self, error: FoundryError, replay: Replay, failed: int, left: float) -> float | None:
        """Return 0.0 if another service may be asked now, ``None`` to give up.

        That is a retry, but needs no wait: the other service has not failed yet.

        Args:
            error: The error of the last try.
            replay: When the call may be sent again.
            failed: Tries that failed so far, the last included.
            left: Seconds until the call's deadline.
        """
        from foundry_rest.resilience.failures import may_have_begun

        is_harmless = replay is Replay.ALWAYS or not may_have_begun(error)
        return 0.0 if is_harmless and failed <= self.retries and left > 0 else None

    def _delay(self, failed: int, jitter: Callable[[float], float], *, is_away: bool) -> float:
        """Return a random delay; from half of its bound where no service was reached.

        Full jitter spares a service that is there. Where none is, the tries have to outlast a restart, which
        takes up to a second.
        """
        from backoff import expo

        # The first value primes the generator for send(): None in 2.2.1, 0 in the fork.
        bound = next(itertools.islice(expo(factor=self.base, max_value=self.longest), failed, None))
        least = bound / 2 if is_away else 0.0
        return max(self.floor, least + jitter(bound - least))


def full_jitter(bound: float) -> float:
    """Return a random number between 0 and ``bound``."""
    from backoff import full_jitter as jitter

    return float(jitter(bound))
