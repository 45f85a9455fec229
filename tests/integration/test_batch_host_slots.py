"""Batches of several processes with slots of the machine: together they never have more calls under way."""

from __future__ import annotations

import signal
import threading
from collections import Counter

import pytest
from support.batch_processes import Batch, lines, outcomes, write
from support.platforms import posix
from support.servers import CHAT

from foundry_rest import clock
from foundry_rest.testing import hold

pytestmark = posix
MODEL = "demo-generic-cpu"
ITEMS, WINDOW, SLOTS = 40, 4, 2
#: Seconds of each answer; of one before all have begun, so that none ends first; what may exceed a bound.
ANSWER, EARLY_ANSWER, LATE = 0.02, 0.3, 5.0


class Calls:
    """The chat requests at a service, each of which takes a moment.

    Args:
        faults: The service.
        batches: How many batches there will be.

    Attributes:
        order: The names of the batches, call by call.
        most: The most calls at a time.
    """

    def __init__(self, faults, batches=1):
        self.order, self.most = [], 0
        self._batches = batches
        self._faults, self._now, self._lock = faults, 0, threading.Lock()
        faults.on("POST", CHAT, self._answer)

    def _answer(self, request):
        with self._lock:
            self.order.append(name_of(request))
            self._now += 1
            self.most = max(self.most, self._now)
            have_begun = len(set(self.order)) >= self._batches
        clock.sleep(ANSWER if have_begun else EARLY_ANSWER)
        with self._lock:
            self._now -= 1
        return self._faults.healthy(request)


def name_of(request):
    """Return the name of the batch that sent a request."""
    return request.json()["messages"][-1]["content"].partition(":")[0]


@pytest.fixture
def batch(command, faults, tmp_path):
    """Return a function that makes a batch of a name, whose prompts tell it."""

    def make(name, count=ITEMS):
        folder = tmp_path / name
        folder.mkdir()
        made = Batch(command, folder, faults.url)
        rows = lines(count, model=MODEL)
        for row in rows:
            row["body"]["messages"][-1]["content"] = f"{name}: {row['custom_id']}"
        write(made.input, rows)
        return made

    return make


def start(batch, *options):
    """Start a batch with slots of the machine."""
    return batch.start("--concurrency", WINDOW, "--host-slots", SLOTS, *options)


def hold_back(faults, gate, name):
    """Let the service answer the calls of one batch only when the gate is open."""
    faults.on(
        "POST",
        CHAT,
        lambda request: (hold(gate) if name_of(request) == name else ()) + faults.healthy(request),
    )


def calls_of(faults, name):
    """Return how many calls a batch has made."""
    return sum(name_of(request) == name for request in faults.asked(CHAT))


def start_with_all_slots(batch, faults, gate, name="first"):
    """Start a batch and wait until its calls have all the slots."""
    hold_back(faults, gate, name)
    run = start(batch(name))
    run.wait_for(lambda: calls_of(faults, name) == SLOTS)
    return run


@pytest.mark.parametrize("names", [("one",), ("one", "two"), ("one", "two", "three")])
def test_together_never_more_calls_than_slots(batch, faults, names):
    """However many processes there are, and each gets its share from when all have begun."""
    calls = Calls(faults, len(names))
    batches = [batch(name) for name in names]
    runs = [start(each) for each in batches]

    assert [run.end() for run in runs] == [0] * len(names)
    assert calls.most == SLOTS
    for each in batches:
        assert outcomes(each.output) == {f"r{number}": 200 for number in range(ITEMS)}
    together = calls.order[max(calls.order.index(name) for name in names) :]
    first_end = min(len(together) - together[::-1].index(name) for name in set(together))
    shares = Counter(together[:first_end])
    assert all(shares[name] >= first_end / len(names) / 2 - WINDOW for name in names), shares


def test_a_killed_process_gives_its_slots_back(batch, faults, gate):
    """The others go on at once, with all the slots, and never with more."""
    killed = start_with_all_slots(batch, faults, gate)
    other = batch("second")
    run = start(other)
    clock.sleep(0.5)
    assert calls_of(faults, "second") == 0
    calls = Calls(faults)

    assert killed.kill()
    began = clock.monotonic()
    run.wait_for(lambda: calls.order)
    assert clock.monotonic() - began < LATE
    assert run.end() == 0
    assert (calls.most, set(calls.order), len(calls.order)) == (SLOTS, {"second"}, ITEMS)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "--stop-after"])
def test_the_end_of_a_batch_that_waits_for_slots(batch, faults, gate, how):
    """It ends at once, has sent nothing, says so in its output, and leaves the slots as they are."""
    first = start_with_all_slots(batch, faults, gate)
    other = batch("second", 5)
    began = clock.monotonic()
    run = start(other, *(["--stop-after", 1.5] if how == "--stop-after" else []))
    if how != "--stop-after":
        run.wait_for(other.journal.exists)
        clock.sleep(0.2)  # for calls, had it any to make
        began = clock.monotonic()
        run.send(getattr(signal, how))

    assert run.end() == 7
    assert clock.monotonic() - began < (1.5 if how == "--stop-after" else 0) + LATE
    code = "batch_expired" if how == "--stop-after" else "batch_cancelled"
    assert set(outcomes(other.output).values()) == {code}
    assert (calls_of(faults, "second"), calls_of(faults, "first")) == (0, SLOTS)
    gate.set()
    assert first.end() == 0


@pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
def test_a_process_that_is_struck_while_it_waits(batch, faults, gate, how):
    """Who comes after it passes by; one that was only stopped goes on when it is woken."""
    first = start_with_all_slots(batch, faults, gate)
    struck, other = start(batch("second", 4)), batch("third", 4)
    clock.sleep(1.0)
    struck.send(getattr(signal, how))
    third = start(other)
    clock.sleep(1.0)
    gate.set()

    assert first.end() == 0
    assert third.end() == 0
    assert calls_of(faults, "second") == 0
    if how == "SIGSTOP":
        struck.send(signal.SIGCONT)
    assert struck.end() == (0 if how == "SIGSTOP" else -signal.SIGKILL)
