"""The first steps of an event: to every observer, and to the standard log where a record is wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from foundry_rest.events import CallFinished, Event

logger = logging.getLogger("foundry_rest")
logger.addHandler(logging.NullHandler())


def fan_out(
    observers: Iterable[Callable[[Event], object]], *, has_log: bool = False
) -> Callable[[Event], None]:
    """Return one observer that calls all of them; an error in one is logged and harms no call.

    Args:
        observers: Called with each event.
        has_log: Whether each event is also logged. What writes a record is imported with the first that may
            be wanted; most programs see but ends of calls, which are told at debug alone.
    """
    targets = tuple(observers)

    def emit(event: Event) -> None:
        if has_log and (type(event) is not CallFinished or logger.isEnabledFor(logging.DEBUG)):
            try:
                from foundry_rest.observe.log import log_event

                log_event(event)
            except Exception:  # a filter or a handler of the user's
                logger.exception("the log of %s failed", type(event).__name__)
        for observer in targets:
            try:
                observer(event)
            except Exception:  # the user's code, which may raise anything
                logger.exception("observer %r failed on %s", observer, type(event).__name__)

    return emit
