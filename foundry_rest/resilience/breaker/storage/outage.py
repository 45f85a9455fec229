"""A store that failed is left alone for a while, and the log says so once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from foundry_rest import clock

#: Seconds for which a store that failed is not asked again.
_PAUSE = 5.0
#: One that takes long to fail (Redis behind a dead route) may cost calls a tenth of their time, no more.
_PAUSE_PER_SECOND = 9.0

_logger = logging.getLogger("foundry_rest")


class StoreFailed(Exception):
    """A store that is out of order; it never leaves ``storage``."""


class Outage:
    """The state of a store: in order, or left alone for a while.

    Args:
        what: Names the store in the log.
        advice: What to do about it.
    """

    def __init__(self, what: str, advice: str) -> None:
        self._what = what
        self._advice = advice
        self._until = 0.0
        self._is_told = False

    @contextlib.contextmanager
    def guard(self, *errors: type[Exception]) -> Iterator[None]:
        """Turn ``errors`` within the block into ``StoreFailed``, and refuse the block for a while after.

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
        self._is_told = False

    def _note(self, error: Exception, elapsed: float) -> None:
        self._until = clock.monotonic() + max(_PAUSE, elapsed * _PAUSE_PER_SECOND)
        if self._is_told:
            return
        self._is_told = True
        _logger.warning(
            "The circuit breaker's state in %s is out of reach (%s: %s); calls go on as if all is well. %s",
            self._what,
            type(error).__name__,
            error,
            self._advice,
        )
