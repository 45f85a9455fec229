"""A signal that raises, at any line of a call: nothing is lost for good.

Ctrl-C in a REPL, an alarm, a soft limit: the exception may strike anywhere in our own code. Afterwards the
only slot is free, the circuit is closed, no lock on a model is held, and the next call is answered.

``FOUNDRY_TEST_EVERY_POINT=1`` walks all points, else each of the walks takes some 150 of them.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from support.servers import CHAT

import foundry_rest
from foundry_rest import BreakerPolicy, FoundryAPIClient, clock
from foundry_rest.errors import DeadlineExceeded
from foundry_rest.resilience.host_slots import HostSlots
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_stream, json_answer

PACKAGE = str(Path(foundry_rest.__file__).parent)
TEXT = "Hello there"
EVERY = bool(os.environ.get("FOUNDRY_TEST_EVERY_POINT"))
#: Points of one walk unless all are walked.
SOME = 150


class Strike(BaseException):
    """What the signal's handler raises."""


class Striker:
    """Raise Strike at the ``nth`` line of the package's own code that is run in this thread.

    Attributes:
        lines: Lines so far.
        place: Where it struck.
    """

    def __init__(self, nth):
        self.nth, self.lines, self.place = nth, 0, None

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *raised):
        sys.settrace(self._before)

    def _enter(self, frame, event, argument):
        name = frame.f_code.co_filename
        is_own = name.startswith(PACKAGE) and f"{os.sep}testing{os.sep}" not in name
        return self._line if is_own and frame.f_code.co_name != "__del__" else None

    def _line(self, frame, event, argument):
        if event in ("line", "return"):
            self.lines += 1
            if self.lines == self.nth:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
                raise Strike
        return self._line


def complete(client):
    """Ask for a whole answer."""
    client.complete("Hi")


def stream(client):
    """Read a stream to its end."""
    for _ in client.stream_complete("Hi"):
        pass


def leave(client):
    """Leave a stream after its first chunk."""
    for _ in client.stream_complete("Hi"):
        break


def load(client):
    """Load a model."""
    client.models.load(DEMO_MODEL)


@pytest.mark.parametrize(
    ("call", "dialect", "most"),
    [
        (complete, "2.x", 1),
        (complete, "1.x", 1),
        (complete, "openai", 1),
        (stream, "2.x", 1),
        (leave, "openai", 1),
        (load, "2.x", 1),
        (complete, "2.x", "auto"),
        (stream, "2.x", "auto"),
    ],
)
def test_nothing_is_lost(server, monkeypatch, call, dialect, most):
    """Wherever it strikes, the next call has its slot, its lock and an open way."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)  # pytest's own keeps the frames
    whole, events = chat_completion(TEXT), chat_stream(TEXT)
    server.on("POST", CHAT, lambda request: events if request.json().get("stream") else whole)
    server.on("GET", "/models/loaded", json_answer([DEMO_MODEL]))
    server.on("GET", f"/models/load/{DEMO_MODEL}", json_answer({"status": "loaded"}))

    def strike(nth):
        """Return how many lines a call has, or where it was struck."""
        with FoundryAPIClient(
            server.url,
            model=DEMO_MODEL,
            dialect=dialect,
            retries=0,
            timeout=2,
            max_concurrency=most,
            auto_load=False,
            breaker=BreakerPolicy(failures=1),
        ) as client:
            client.complete("Hi")
            with Striker(nth) as striker, suppress(Strike):
                call(client)
            bounds = client._core.bounds
            if bounds.slots.free < bounds.slots.limit:
                gc.collect()  # an exception that refers to its own frames waits for the collector
            assert (bounds.slots.free, bounds.slots.waiting) == (bounds.slots.limit, 0), striker.place
            assert (bounds.locks._shared, bounds.locks._exclusive) == ({}, []), striker.place
            assert client.breaker.current == "closed", striker.place
            assert client.complete("Hi", deadline=2).content == TEXT, striker.place
        return striker

    lines = strike(10**9).lines
    assert lines > 100
    step = 1 if EVERY else max(1, lines // SOME)
    places = {strike(nth).place for nth in range(1, lines, step)}
    assert len(places) > 80


@pytest.mark.parametrize("is_taken", [False, True])
def test_no_slot_of_the_machine_is_lost(tmp_path, monkeypatch, is_taken):
    """Wherever it strikes, in a wait or not, the slot and every place of the queue are free afterwards."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    slots, others = HostSlots(1, tmp_path / "slots"), HostSlots(1, tmp_path / "slots")

    def use():
        with slots.acquire(clock.monotonic() + 0.004):
            pass

    def strike(nth):
        held = others.acquire() if is_taken else None
        with Striker(nth) as striker, suppress(Strike, DeadlineExceeded):
            use()
        if held is not None:
            held.release()
        files = (*slots._queue, *slots._slots)
        if any(file.key for file in files):
            gc.collect()
        assert (slots.held, len(slots._turns)) == (0, 0), striker.place
        assert not any(file.key for file in files), striker.place
        with others.acquire(clock.monotonic() + 1):
            pass
        return striker

    lines = strike(10**9).lines
    places = {strike(nth).place for nth in range(1, lines)}
    assert len(places) > 60
