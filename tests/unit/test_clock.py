"""Time: waits that neither another thread nor a signal ends are cut in slices."""

from __future__ import annotations

import threading
import time

import pytest

from foundry_rest import clock


class Event(threading.Event):
    """An event that records how long it was waited for, and is set in a given wait."""

    def __init__(self, set_in=None):
        super().__init__()
        self.waits, self.set_in = [], set_in

    def wait(self, timeout=None):
        """Record the wait, and move the time on."""
        self.waits.append(timeout)
        if len(self.waits) == self.set_in:
            self.set()
        self.time += timeout
        return self.is_set()

    time = 0.0


@pytest.fixture
def sliced(monkeypatch):
    """A system on which a wait is not interrupted."""
    monkeypatch.setattr(clock, "SLICE", 0.05)
    event = Event()
    monkeypatch.setattr(clock, "monotonic", lambda: event.time)
    return event


def test_a_wait_in_slices_takes_its_whole_time(sliced):
    """No slice is longer than the setting, and together they are the time that was asked for."""
    assert not clock.wait(sliced, 0.23)
    assert max(sliced.waits) <= 0.05
    assert sum(sliced.waits) == pytest.approx(0.23)


def test_a_wait_in_slices_ends_with_its_event(sliced):
    """The slice in which the event is set is the last one, also of an endless wait."""
    sliced.set_in = 3
    assert clock.wait(sliced, float("inf"))
    assert len(sliced.waits) == 3


@pytest.mark.parametrize("slice_", [None, 0.05])
def test_no_time_is_no_wait(monkeypatch, slice_):
    """A time of zero, or one that is past, only looks."""
    monkeypatch.setattr(clock, "SLICE", slice_)
    event = threading.Event()
    began = time.monotonic()
    assert not clock.wait(event, 0)
    assert not clock.wait(event, -3)
    event.set()
    assert clock.wait(event, 0)
    assert time.monotonic() - began < 0.05
