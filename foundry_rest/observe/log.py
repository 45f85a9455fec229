"""Events in the standard log: logger ``foundry_rest``; never a prompt, an answer or a key.

Each event is one record. What it is about stands in the record's attributes, too (``extra``), which a
formatter of the caller's may use: ``label`` of the operation, ``call_id``, ``attempt``, ``model``,
``address``, and those of the event's kind.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

from foundry_rest.config import LOG_LEVELS, from_env
from foundry_rest.control_characters import visible
from foundry_rest.errors import ConfigError
from foundry_rest.events import (
    AttemptFailed,
    CallEvent,
    CallFinished,
    CircuitChanged,
    CureStarted,
    Event,
    ServiceMoved,
    TimeoutChanged,
)
from foundry_rest.observe.fan_out import logger

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Line(msgspec.Struct, frozen=True):
    """The record of one event: its level, its text, and the attributes of its kind alone."""

    level: int
    text: str
    more: dict[str, object]


class _OwnHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """The handler that ``configure_logging`` has made, and may change; 3.10 has no parameter here."""


def configure_logging(level: str | None = None, *, stream: TextIO | None = None, json: bool = False) -> None:
    """Write the package's log to a stream; another call changes what the one before has set.

    Args:
        level: ``"DEBUG"`` to ``"CRITICAL"``; default ``FOUNDRY_LOG_LEVEL``, else ``"INFO"``.
        stream: Where the lines go; default stderr. A handler of the program's own is left as it is, and only
            added to where ``stream`` or ``json`` is given.
        json: Whether each line is a JSON object with all attributes of the record.

    Raises:
        ConfigError: The level is unknown.
    """
    name = (level or from_env().log_level).upper()
    if name not in LOG_LEVELS:
        raise ConfigError(f"level must be one of {', '.join(LOG_LEVELS)}, not {level!r}")
    is_asked = stream is not None or json
    if is_asked or not any(_writes_elsewhere(handler) for handler in logger.handlers):
        _replace_handler(stream, as_json=json)
    logger.setLevel(name)


def _writes_elsewhere(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, _OwnHandler)


def _replace_handler(stream: TextIO | None, *, as_json: bool) -> None:
    handler = _OwnHandler(stream)
    if as_json:
        from foundry_rest.observe.json_lines import JsonFormatter

        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter(_FORMAT))
    for old in [each for each in logger.handlers if isinstance(each, _OwnHandler)]:
        logger.removeHandler(old)
    logger.addHandler(handler)


def log_event(event: Event) -> None:
    """Log an event as one record.

    A call given up raises its error, so reporting that is left to the code that catches it: its level is
    debug, as a success's.
    """
    describe = _LINES.get(type(event))
    if describe is None or not logger.isEnabledFor(_HIGHEST[type(event)]):
        return
    error = getattr(event, "error", None)
    line = describe(event, "" if error is None else error.message)
    if logger.isEnabledFor(line.level):
        logger.log(line.level, "%s", visible(line.text, keep_lines=False), extra=_facts(event) | line.more)


def _facts(event: Event) -> dict[str, object]:
    if not isinstance(event, CallEvent):
        return {"address": event.url}
    return {
        "label": event.call,
        "call_id": event.call_id,
        "attempt": event.attempt,
        "model": event.model,
        "address": event.url,
    }


def _attempt_failed(event: AttemptFailed, reason: str) -> _Line:
    level = logging.WARNING if event.wait and not event.cure else logging.DEBUG
    text = f"{event.call} attempt {event.attempt} failed after {event.elapsed:.3f} s: {reason}"
    if event.cure:
        what = f"trying again after {event.cure}"
    else:
        what = "giving up" if event.wait is None else f"next try in {event.wait:.2f} s"
    more = {"error": type(event.error).__name__, "elapsed": event.elapsed, "cure": event.cure}
    return _Line(level, f"{text}; {what}", {**more, "wait": event.wait})


def _call_finished(event: CallFinished, _: str) -> _Line:
    error = type(event.error).__name__ if event.error else ""
    name = event.model or event.url
    more = {"outcome": event.outcome, "elapsed": event.elapsed, "error": error}
    tokens = {"prompt_tokens": event.prompt_tokens, "completion_tokens": event.completion_tokens}
    text = f"{event.call} {error or event.outcome} in {event.elapsed:.3f} s ({name})"
    return _Line(logging.DEBUG, text, {**more, **tokens, "first_token": event.first_token})


def _cure_started(event: CureStarted, _: str) -> _Line:
    name = event.model or event.url
    error = type(event.error).__name__
    text = f"{event.call} is helped by {event.cure} ({name})"
    level = logging.INFO if event.cure == "load" else logging.DEBUG  # which may take minutes
    return _Line(level, text, {"cure": event.cure, "error": error})


def _circuit_changed(event: CircuitChanged, _: str) -> _Line:
    level = logging.WARNING if event.after == "open" else logging.INFO
    text = f"the circuit of {event.url} is {event.after}, and was {event.before}"
    return _Line(level, text, {"before": event.before, "after": event.after})


def _service_moved(event: ServiceMoved, _: str) -> _Line:
    text = f"the service is at {event.url}, and was at {event.before}"
    return _Line(logging.INFO, text, {"before": event.before})


def _timeout_changed(event: TimeoutChanged, _: str) -> _Line:
    which = f"{event.phase} time-out of {event.call} ({event.model}, up to {event.length:,} bytes)"
    text = f"the {which} is {event.after:.3g} s, and was {event.before:.3g} s: {event.reason}"
    more = {"label": event.call, "model": event.model, "phase": event.phase, "length": event.length}
    change = {"load": event.load, "before": event.before, "after": event.after, "reason": event.reason}
    return _Line(logging.INFO, text, {**more, **change})


#: How each event is logged, given the message of its error; the documentation has the same table.
_LINES: dict[type[Event], Callable[[Any, str], _Line]] = {
    AttemptFailed: _attempt_failed,
    CallFinished: _call_finished,
    CureStarted: _cure_started,
    CircuitChanged: _circuit_changed,
    ServiceMoved: _service_moved,
    TimeoutChanged: _timeout_changed,
}
#: The highest level of each, so that no text is made for a record that nobody wants.
_HIGHEST: dict[type[Event], int] = {
    AttemptFailed: logging.WARNING,
    CallFinished: logging.DEBUG,
    CureStarted: logging.INFO,
    CircuitChanged: logging.WARNING,
    ServiceMoved: logging.INFO,
    TimeoutChanged: logging.INFO,
}
