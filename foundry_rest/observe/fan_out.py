"""The first steps of an event: to every observer, and to the standard log where a record is wanted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from foundry_rest.events import CallFinished, Event

logger = logging.getLogger("foundry_rest")
logger.addHandler(logging.NullHandler())


def to_log(event: Event) -> None:
    """Log an event as one record; most programs see but ends of calls, which are told at debug alone."""
    if type(event) is CallFinished and not logger.isEnabledFor(logging.DEBUG):
        return
    from foundry_rest.observe.log import log_event

    log_event(event)


def fan_out(observers: Iterable[Callable[[Event], object]]) -> Callable[[Event], None]:
    """Return one observer that calls all of them; an error in one is logged and harms no call."""
    targets = tuple(observers)

    def emit(event: Event) -> None:
        for observer in targets:
            try:
                observer(event)
            except Exception:  # the user's code, which may raise anything
                logger.exception("observer %r failed on %s", observer, type(event).__name__)

    return emit
