"""pybreaker decides, on a record itself and on a shared state, by a short way and imported late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pybreaker
import pytest

import foundry_rest
from foundry_rest.errors import ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.pybreaker_adapter import SharedStorage, circuit_on
from foundry_rest.resilience.breaker.record import MemoryState, Record
from foundry_rest.testing.fakes import FakeClock

POLICY = BreakerPolicy(failures=3, successes=2)
OURS = str(Path(foundry_rest.__file__).parent)


def deepest(work):
    """Return the most frames of the package's own that are on the stack at a time while ``work`` runs."""
    depth = most = 0

    def count(frame, event, _):
        nonlocal depth, most
        if event in ("call", "return") and frame.f_code.co_filename.startswith(OURS):
            depth += 1 if event == "call" else -1
            most = max(most, depth)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return most


@pytest.mark.parametrize(
    ("failures", "outcome", "after"),
    [(1, Outcome.FAILURE, "closed"), (2, Outcome.FAILURE, "open"), (2, Outcome.SUCCESS, "closed")],
)
def test_a_report_is_five_frames_deep(failures, outcome, after):
    """From ``report`` to pybreaker's last access to the record: five own frames, a trip or none."""
    breaker = Breaker(POLICY)
    for _ in range(failures):
        breaker.report(breaker.admit(), Outcome.FAILURE)
    ticket, error = breaker.admit(), ServiceUnreachable("refused")

    assert deepest(lambda: breaker.report(ticket, outcome, error)) <= 5
    assert breaker.current == after


@pytest.mark.parametrize(("outcome", "after"), [(Outcome.FAILURE, "open"), (Outcome.SUCCESS, "half-open")])
def test_a_probe_is_five_frames_deep(outcome, after):
    """Admitting a probe and reporting it are no deeper than any other report."""
    with FakeClock().installed() as time:
        breaker = Breaker(POLICY)
        breaker.force_open()
        time.advance(60)
        tickets = []

        assert deepest(lambda: tickets.append(breaker.admit())) <= 5
        assert deepest(lambda: breaker.report(tickets[0], outcome)) <= 5
        assert breaker.current == after


def fail(circuit):
    """Let one call fail."""
    with pytest.raises(ZeroDivisionError):
        circuit.call(lambda: 1 // 0)


@pytest.mark.parametrize("is_shared", [False, True], ids=["record", "shared"])
def test_pybreaker_moves_what_it_is_given(is_shared):
    """Failures, trip, successes and recovery are written where the storage lies, counted as a policy says."""
    state = MemoryState()
    record = Record()
    circuit = circuit_on(SharedStorage(state) if is_shared else record.storage(), POLICY)
    steps = [
        *[lambda: fail(circuit)] * 3,
        circuit.half_open,
        *[lambda: circuit.call(int)] * 2,
    ]
    seen = []
    for step in steps:
        step()
        now = state.read() if is_shared else record
        seen.append((now.state, now.failures, now.successes))

    assert seen == [
        ("closed", 1, 0),
        ("closed", 2, 0),
        ("open", 3, 0),
        ("half-open", 3, 0),
        ("half-open", 0, 1),
        ("closed", 0, 0),
    ]
    assert now.opened_at.tzinfo is not None
    assert now.epoch == 0  # the breaker's to count


def test_a_record_has_what_a_storage_has():
    """A record is no subclass of pybreaker's storage, and yet lacks nothing that one offers a breaker."""
    used = {name for name in vars(pybreaker.CircuitBreakerStorage) if not name.startswith("_")} - {"name"}

    assert not used - set(dir(Record()))


def test_pybreaker_is_imported_before_the_state_is_held():
    """The first failure imports pybreaker before it changes the state: others would wait for as long."""
    script = """
import sys
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import MemoryState

class Watched(MemoryState):
    def change(self, decide):
        seen.append("pybreaker" in sys.modules)
        return super().change(decide)

seen = []
breaker = Breaker(BreakerPolicy(), Watched())
breaker.close()
breaker.report(breaker.admit(), Outcome.FAILURE)
assert seen == [False, True], seen
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
