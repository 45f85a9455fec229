"""Events in the standard log: logger ``foundry_rest``; never a prompt, an answer or a key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from foundry_rest.config import LOG_LEVELS, from_env
from foundry_rest.control_characters import visible
from foundry_rest.errors import ConfigError
from foundry_rest.events import AttemptFailed, CallFinished, Event

logger = logging.getLogger("foundry_rest")
logger.addHandler(logging.NullHandler())

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(level: str | None = None) -> None:
    """Write the package's log to stderr.

    Args:
        level: ``"DEBUG"`` to ``"CRITICAL"``; default ``FOUNDRY_LOG_LEVEL``, else ``"INFO"``.

    Raises:
        ConfigError: The level is unknown.
    """
    name = (level or from_env().log_level).upper()
    if name not in LOG_LEVELS:
        raise ConfigError(f"level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
    if not any(isinstance(handler, logging.StreamHandler) for handler in logger.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(name)


def log_event(event: Event) -> None:
    """Log a retry as a warning; log a recovery, a call given up and a success at debug level.

    A call given up raises its error, so reporting that is left to the code that catches it.
    """
    if isinstance(event, AttemptFailed):
        logger.log(
            logging.WARNING if event.wait and not event.cure else logging.DEBUG,
            "%s attempt %d failed after %.3f s: %s; %s",
            event.call,
            event.attempt,
            event.elapsed,
            visible(event.error.message, keep_lines=False),
            _next_step(event),
        )
    elif isinstance(event, CallFinished) and logger.isEnabledFor(logging.DEBUG):
        outcome = type(event.error).__name__ if event.error else event.outcome
        name = visible(event.model or event.url, keep_lines=False)
        logger.debug("%s %s in %.3f s (%s)", event.call, outcome, event.elapsed, name)


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


def _next_step(event: AttemptFailed) -> str:
    if event.cure:
        return f"trying again after {event.cure}"
    return "giving up" if event.wait is None else f"next try in {event.wait:.2f} s"
