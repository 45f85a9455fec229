"""``flush``: within its time, whatever the providers do."""

from __future__ import annotations

import threading
import time

import pytest
from support.telemetry import Telemetry
from support.waits import until

from foundry_rest.errors import ConfigError
from foundry_rest.observe.opentelemetry import flush


class Provider:
    """A provider whose flush does what a test says.

    Args:
        work: Called with the milliseconds that it is given.
    """

    def __init__(self, work) -> None:
        self.force_flush = work


def fail(_):
    """Raise what an exporter may raise."""
    raise ZeroDivisionError


@pytest.fixture
def stuck():
    """A provider that hangs until the test is over."""
    over = threading.Event()
    yield Provider(lambda _: over.wait(5))
    over.set()


def test_a_stuck_provider(stuck):
    """A provider that hangs is left behind in time."""
    began = time.monotonic()

    assert flush(0.02, stuck) is False
    assert time.monotonic() - began < 1


def test_others_are_flushed(stuck):
    """One that hangs keeps no other from being flushed."""
    given = []

    assert flush(0.05, stuck, Provider(given.append)) is False
    until(lambda: given == [50])


@pytest.mark.parametrize(
    ("work", "told"),
    [(lambda _: True, True), (lambda _: None, True), (lambda _: False, False), (fail, False)],
)
def test_the_result(work, told):
    """All is sent if every provider is done and none says otherwise."""
    assert flush(5, Provider(work)) is told
    assert flush(5, Provider(lambda _: True), Provider(work)) is told


def test_a_failure_is_logged(caplog):
    """What a provider raises is logged."""
    flush(5, Provider(fail))

    assert "ZeroDivisionError" in caplog.text


def test_real_providers():
    """The SDK's providers are flushed, and what has none to flush is passed over."""
    told = Telemetry()

    assert flush(5, told.tracers, told.meters) is True
    assert flush(5, object()) is True


def test_by_default():
    """Without providers it flushes those of the program, which may have none."""
    assert flush(5) is True


def test_while_python_ends(monkeypatch, caplog):
    """Where no thread can be started any more it says so, and raises nothing."""

    def refuse(_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert flush(5, Provider(lambda _: True)) is False
    assert "while Python ends" in caplog.text


@pytest.mark.parametrize("timeout", [0, -1, "1", None])
def test_a_wrong_time(timeout):
    """What is no time is refused."""
    with pytest.raises(ConfigError, match="timeout"):
        flush(timeout)
