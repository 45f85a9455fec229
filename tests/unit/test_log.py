"""The log: what is written, for whom, and what never is."""

from __future__ import annotations

import logging

import pytest

from foundry_rest.errors import ConfigError, ServerError
from foundry_rest.events import AttemptFailed, CallFinished, Event
from foundry_rest.observe import log
from foundry_rest.observe.log import configure_logging, fan_out, log_event

ERROR = ServerError("it broke", status=500)


@pytest.fixture
def clean_logger(monkeypatch):
    """Give the package's logger back as it was."""
    monkeypatch.setattr(log.logger, "handlers", [logging.NullHandler()])
    level = log.logger.level
    yield log.logger
    log.logger.setLevel(level)


@pytest.mark.parametrize(
    ("wait", "cure", "ending"),
    [
        (0.25, "", "next try in 0.25 s"),
        (None, "", "giving up"),
        (0.0, "load", "trying again after load"),
    ],
)
def test_a_failed_attempt(caplog, wait, cure, ending):
    """A line says what failed and what comes next; only what is tried again after a wait is a warning."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    log_event(AttemptFailed("http://h", "id", "chat.complete", "m", 2, ERROR, 1.5, wait, cure))
    level = logging.WARNING if wait else logging.DEBUG

    assert caplog.record_tuples == [
        ("foundry_rest", level, f"chat.complete attempt 2 failed after 1.500 s: it broke; {ending}")
    ]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 1.5),
            "chat.complete ok in 1.500 s (m)",
        ),
        (
            CallFinished("http://h", "id", "health.check", "", 1, "error", 0.1, ERROR),
            "health.check ServerError in 0.100 s (http://h)",
        ),
    ],
)
def test_a_finished_call(caplog, event, line):
    """Each call's end is a debug line."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    log_event(event)

    assert caplog.messages == [line]


def test_quiet_by_default(caplog):
    """Above DEBUG an ordinary call leaves no line; other events leave none at all."""
    caplog.set_level(logging.INFO, "foundry_rest")
    log_event(CallFinished("", "id", "a", "", 1, "ok", 1.0))
    log_event(Event(""))

    assert caplog.messages == []


def test_an_observer_that_raises_is_not_felt(caplog):
    """The others are told all the same; the log names the one that failed."""
    told: list[Event] = []

    def broken(event):
        raise RuntimeError("observer's own fault")

    event = Event("")
    fan_out([broken, told.append])(event)

    assert told == [event]
    assert "broken" in caplog.text
    assert "observer's own fault" in caplog.text


def test_what_ends_a_program_is_not_held_up():
    """Ctrl-C inside an observer still ends the program."""

    def interrupted(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fan_out([interrupted])(Event(""))


def test_configure(clean_logger, capsys):
    """Lines go to stderr, once, however often it is configured."""
    configure_logging("debug")
    configure_logging("WARNING")
    clean_logger.warning("a line")

    assert clean_logger.level == logging.WARNING
    assert capsys.readouterr().err.count("WARNING foundry_rest: a line") == 1


def test_configure_by_the_environment(clean_logger, monkeypatch):
    """Without an argument the variable decides, else INFO."""
    configure_logging()
    assert clean_logger.level == logging.INFO
    monkeypatch.setenv("FOUNDRY_LOG_LEVEL", "error")
    configure_logging()
    assert clean_logger.level == logging.ERROR


@pytest.mark.parametrize("level", ["LOUD", "10"])
def test_an_unknown_level(clean_logger, level):
    """It is refused before anything is changed."""
    with pytest.raises(ConfigError, match=f"level must be one of DEBUG.*not '{level}'"):
        configure_logging(level)

    assert len(clean_logger.handlers) == 1
