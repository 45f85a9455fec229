"""What ends a batch before its last request: a signal, a bound, or a service that is down."""

from __future__ import annotations

import math
from contextlib import suppress

from foundry_rest import clock
from foundry_rest.errors import Cancelled, CircuitOpen, ExecutorBroken, FoundryError
from foundry_rest.resilience.failures import is_outage
from foundry_rest.transport.cancellation import CancelToken, sleep

#: Why a batch stopped early.
INTERRUPTED, TERMINATED = "interrupted", "terminated"
OUT_OF_TIME, TOO_MANY_ERRORS, SERVICE_DOWN = "out of time", "too many errors", "service down"
#: Pause in seconds between two tries while nothing listens; an open circuit says itself how long.
_PAUSE = 1.0


class Stop:
    """The end of a batch before its last request; may be asked for from any thread and from a signal.

    Attributes:
        reason: Why; ``""`` while nobody has asked.
        asked: Cancelled at once: nothing more is sent, and nobody waits for a service.
        now: Cancelled when the calls under way have to end, too.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.asked, self.now = CancelToken(), CancelToken()
        self._until = math.inf

    def ask(self, reason: str, grace: float = math.inf) -> None:
        """Send nothing more, and end the calls under way after ``grace`` seconds; the first reason counts."""
        self.reason = self.reason or reason
        self._until = min(self._until, clock.monotonic() + grace)
        self.asked.cancel()

    def check(self) -> None:
        """End the calls under way if their time is over; to be called now and then."""
        if clock.monotonic() >= self._until:
            self.now.cancel()


class Outage:
    """The time during which no service answers, which all threads of a batch see together.

    Args:
        longest: Seconds after which the batch is stopped.
        stop: Is asked to stop then.
        pause: Longest pause in seconds between two tries, whatever an open circuit says.

    Attributes:
        error: The latest reason; ``None`` while a service answers.
    """

    def __init__(self, longest: float, stop: Stop, pause: float = math.inf) -> None:
        self._longest, self._stop, self._pause = longest, stop, pause
        self._since = math.inf
        self._over = CancelToken()
        self.error: FoundryError | None = None

    def is_one(self, error: FoundryError) -> bool:
        """Return whether an error says that no service was there, so that the request cannot have begun."""
        return is_outage(error)

    def end(self) -> None:
        """Record that a service has answered."""
        if self.error is not None:
            self._since, self.error = math.inf, None
            over, self._over = self._over, CancelToken()
            over.cancel()  # the others need not wait any longer

    def wait(self, error: FoundryError) -> bool:
        """Wait until the next try; return whether there is to be one."""
        now = clock.monotonic()
        self.error, self._since = error, min(self._since, now)
        left = self._since + self._longest - now
        if left <= 0 or isinstance(error, ExecutorBroken):  # only the program can make a new one
            self._stop.ask(SERVICE_DOWN)
            return False
        seconds = error.retry_in if isinstance(error, CircuitOpen) else _PAUSE
        ends = (self._stop.asked, self._stop.now)
        with suppress(Cancelled):
            sleep(min(max(seconds, 0.01), left, self._pause), (*ends, self._over), "for the service")
        return not any(token.cancelled for token in ends)
