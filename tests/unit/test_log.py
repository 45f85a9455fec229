"""The log: what is written, for whom, and what never is."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest
from support.events import ADAPTED, CLOSED, CURED, ERROR, FAILED, FINISHED, MOVED, OPENED, RESOLVED

from foundry_rest import events
from foundry_rest.errors import ConfigError
from foundry_rest.events import AttemptFailed, CallFinished, Event
from foundry_rest.observe import log
from foundry_rest.observe.fan_out import fan_out
from foundry_rest.observe.json_lines import JsonFormatter
from foundry_rest.observe.log import configure_logging, log_event


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


ABOUT_A_CALL = {"label", "call_id", "attempt", "model", "address"}


@pytest.mark.parametrize(
    ("event", "level", "names"),
    [
        (FAILED, logging.WARNING, {*ABOUT_A_CALL, "error", "elapsed", "wait", "cure"}),
        (
            FINISHED,
            logging.DEBUG,
            ABOUT_A_CALL
            | {"outcome", "elapsed", "error", "first_token", "prompt_tokens", "completion_tokens"},
        ),
        (CURED, logging.INFO, {*ABOUT_A_CALL, "cure", "error"}),
        (RESOLVED, logging.DEBUG, {*ABOUT_A_CALL, "cure", "error"}),
        (OPENED, logging.WARNING, {"address", "before", "after"}),
        (CLOSED, logging.INFO, {"address", "before", "after"}),
        (MOVED, logging.INFO, {"address", "before"}),
        (
            ADAPTED,
            logging.INFO,
            {"address", "label", "model", "phase", "length", "load", "before", "after", "reason"},
        ),
    ],
)
def test_each_event_is_one_record_with_its_facts(caplog, event, level, names):
    """What an event is about stands in the record's attributes, under the same names for all events."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    log_event(event)
    (record,) = caplog.records
    common = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}

    assert record.levelno == level
    assert vars(record).keys() - common == names
    assert (record.address, getattr(record, "call_id", "id")) == (event.url, "id")


def test_no_event_is_left_out():
    """A kind of event that is added later has to be logged, too."""
    kinds = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind.__name__ not in ("Event", "CallEvent")
    }

    assert log._LINES.keys() == kinds == log._HIGHEST.keys()


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
@pytest.mark.parametrize("event", [FAILED, FINISHED, CURED, RESOLVED, OPENED, CLOSED, MOVED, ADAPTED])
def test_a_level_hides_what_is_below_it_alone(caplog, event, level):
    """Whatever level is asked for, the records of that level and above are written."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    log_event(event)
    wanted = [record.levelno for record in caplog.records if record.levelno >= level]
    caplog.clear()
    caplog.set_level(level, "foundry_rest")
    log_event(event)

    assert [record.levelno for record in caplog.records] == wanted


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


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_a_client_is_told_is_logged(caplog, level):
    """What calls the observers logs each event, too, if a record of its kind is wanted."""
    caplog.set_level(level, "foundry_rest")
    told = []
    emit = fan_out([told.append], has_log=True)
    emit(FINISHED)
    emit(OPENED)
    levels = [record.levelno for record in caplog.records]

    assert told == [FINISHED, OPENED]
    assert levels == ([logging.DEBUG, logging.WARNING] if level == logging.DEBUG else [logging.WARNING])


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


def test_json_lines(clean_logger):
    """Each record is one line of JSON with its time, its text and all that it was given."""
    stream = io.StringIO()
    configure_logging("DEBUG", stream=stream, json=True)
    log_event(FAILED)
    text = 'a "quote", a line end\n and ü'
    clean_logger.error(text, exc_info=ValueError("two\nlines"), extra={"path": Path("x"), "n": 1})
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "WARNING",
        "logger": "foundry_rest",
        "message": "chat.complete attempt 2 failed after 1.500 s: it broke; next try in 0.25 s",
        "label": "chat.complete",
        "call_id": "id",
        "attempt": 2,
        "model": "m",
        "address": "http://h",
        "error": "ServerError",
        "elapsed": 1.5,
        "cure": "",
        "wait": 0.25,
    }
    assert (second["path"], second["n"]) == ("x", 1)
    assert second["message"] == text
    assert second["exception"].endswith("ValueError: two\nlines")
    assert stream.getvalue().isascii()


def test_json_of_any_text():
    """Half a pair of surrogates, which no file takes, is escaped."""
    record = logging.makeLogRecord({"msg": "%s", "args": ("\ud800",), "model": "\udfff"})

    line = JsonFormatter().format(record)

    assert line.isascii()
    assert (json.loads(line)["message"], json.loads(line)["model"]) == ("\ud800", "\udfff")


def test_configured_again(clean_logger):
    """The latest call decides on the level, the stream and the form."""
    old, new = io.StringIO(), io.StringIO()
    configure_logging("DEBUG", stream=old, json=True)
    configure_logging("INFO", stream=new)
    clean_logger.info("a line")

    assert old.getvalue() == ""
    assert new.getvalue().endswith("INFO foundry_rest: a line\n")


def test_a_handler_of_the_program(clean_logger):
    """It stays, and nothing is written twice unless another stream or form is asked for."""
    own, other = io.StringIO(), io.StringIO()
    clean_logger.addHandler(logging.StreamHandler(own))
    configure_logging()
    clean_logger.info("first")
    configure_logging(stream=other)
    clean_logger.info("second")

    assert own.getvalue() == "first\nsecond\n"
    assert other.getvalue().count("\n") == 1
