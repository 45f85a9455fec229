"""A store that failed is left alone for a while, and the log says so once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from foundry_rest import clock

#: Seconds for which a store that failed is not used.
_PAUSE = 5.0
#: Seconds of pause for each second that the failure took, so that a store that fails slowly (Redis behind a
#: dead route) costs calls a tenth of their time at most.
_PAUSE_PER_SECOND = 9.0

_logger = logging.getLogger("foundry_rest")


class StoreFailed(Exception):
    """A failure of a store; it never leaves ``storage``."""


class Outage:
    """The state of a store: working, or unused for a while after a failure.

    Args:
        what: Name of the store in the log.
        advice: What to do about a failure, for the log.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what = what
        self._advice = advice
        self._until = 0.0
        self._is_logged = False

    @contextlib.contextmanager
    def guard(self, *errors: type[Exception]) -> Iterator[None]:
        """Translate ``errors`` within the block to ``StoreFailed``, and refuse the block for a while after.

        Raises:
            StoreFailed: The store failed, now or a moment ago.
        """
        began = clock.monotonic()
        if began < self._until:
            raise StoreFailed
        try:
            yield
        except errors as error:
            self._note(error, clock.monotonic() - began)
            raise StoreFailed from error
        self._is_logged = False

    def _note(self, error: Exception, elapsed: float) -> None:
        self._until = clock.monotonic() + max(_PAUSE, elapsed * _PAUSE_PER_SECOND)
        if self._is_logged:
            return
        self._is_logged = True
        _logger.warning(
            "The circuit breaker's state in %s is out of reach (%s: %s); calls go on as if all is well. %s",
            self._what,
            type(error).__name__,
            error,
            self._advice,
        )
