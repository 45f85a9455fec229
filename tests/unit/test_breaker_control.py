"""The breaker by hand, its observers and clocks, and what it does when its state is out of reach."""

from __future__ import annotations

import logging
import subprocess
import sys

import pybreaker
import pytest
from support.breakers import ADDRESS, POLICY, fail, refused, succeed, told

from foundry_rest import clock
from foundry_rest.errors import CircuitOpen
from foundry_rest.resilience.breaker.breaker import Breaker, Outcome, Ticket
from foundry_rest.resilience.breaker.record import UNKNOWN, Record
from foundry_rest.resilience.breaker.transitions import Transitions

# ---------------------------------------------------------------- by hand


def test_force_open(breaker, time, events):
    """By hand it opens as by failures; doing so again begins the wait again, and tells nothing new."""
    breaker.force_open()
    time.advance(6)
    breaker.force_open()

    assert refused(breaker) == 10
    assert told(events) == ["closed>open"]
    time.advance(10)
    succeed(breaker)
    assert breaker.current == "closed"


def test_force_open_ends_a_probe(breaker, time):
    """What a probe says after that counts for nothing."""
    fail(breaker, 3)
    time.advance(10)
    probe = breaker.admit()
    breaker.force_open()
    breaker.report(probe, Outcome.SUCCESS)

    assert breaker.current == "open"
    assert refused(breaker) == 20


def test_close(breaker, events, state):
    """By hand it closes; counters and growth are forgotten, and calls on their way move nothing."""
    on_the_way = [breaker.admit() for _ in range(3)]
    fail(breaker, 3)
    breaker.close()
    for ticket in on_the_way:
        breaker.report(ticket, Outcome.FAILURE)

    assert told(events) == ["closed>open", "open>closed"]
    assert (state.read().trips, state.read().failures) == (0, 0)
    fail(breaker, 2)
    breaker.close()
    fail(breaker, 2)
    assert breaker.current == "closed"


def test_closing_forgets_the_last_error(breaker):
    """A refusal by hand after a recovery has no cause."""
    fail(breaker, 3)
    breaker.close()
    breaker.force_open()

    with pytest.raises(CircuitOpen) as caught:
        breaker.admit()
    assert caught.value.__cause__ is None


def test_closing_a_healthy_circuit_voids_what_is_on_its_way(breaker, events):
    """A service started again is not judged by calls to the one before it."""
    on_the_way = [breaker.admit() for _ in range(5)]
    breaker.close()
    for ticket in on_the_way:
        breaker.report(ticket, Outcome.FAILURE)

    assert breaker.current == "closed"
    assert not events


# ---------------------------------------------------------------- observers, clocks, others


def test_an_observer_that_raises_is_logged_and_not_felt(time, caplog):
    """No result is lost by a bad observer."""
    breaker = Breaker(POLICY, emit=lambda event: 1 // 0)
    with caplog.at_level(logging.ERROR, "foundry_rest"):
        fail(breaker, 3)

    assert breaker.current == "open"
    assert "An observer failed on CircuitChanged" in caplog.text


def test_an_observer_may_use_the_breaker(time):
    """Observers are called outside every lock: one may close the circuit it is told about, in order."""
    seen = []

    def observer(event):
        seen.append(event.after)
        if event.after == "open":
            breaker.close()

    breaker = Breaker(POLICY, emit=observer)
    fail(breaker, 3)

    assert (breaker.current, seen) == ("closed", ["open", "closed"])


def test_the_wall_clock_moves_nothing(breaker):
    """In memory only the monotonic clock counts: an hour's step either way is not noticed."""
    fail(breaker, 3)
    with pytest.MonkeyPatch.context() as patch:  # undone before the fake clock is
        for step in (-3600, 3600):
            patch.setattr(clock, "now", lambda step=step: 1_700_000_000.0 + step)

            assert refused(breaker) == 10


def test_a_foreign_hand_on_the_state_does_no_harm(breaker, state):
    """A circuit opened past the breaker (by a pybreaker of somebody's own) takes reports without a word."""
    ticket = breaker.admit()
    state.change(lambda record, now: pybreaker.CircuitBreaker(state_storage=record.storage()).open())
    breaker.report(ticket, Outcome.FAILURE)

    assert breaker.current == "open"
    assert breaker.admit().probe


def test_what_was_read_does_not_change(breaker, state):
    """A record is replaced whole: who reads without a lock, or was forked meanwhile, has no half of one."""
    before = state.read()
    fail(breaker, 3)
    with pytest.raises(ZeroDivisionError):
        state.change(lambda record, now: (setattr(record, "trips", 9), 1 // 0))

    assert before == Record()
    assert state.read().trips == 1


def test_what_is_read_late_is_no_news():
    """A record that a slow thread read before another one's change tells nobody that it was undone."""
    told_events = []
    changes = Transitions(ADDRESS, told_events.append)
    news = [changes.follow(Record(state, epoch=epoch)) for state, epoch in (("open", 2), ("closed", 1))]

    assert news == [True, False]
    assert told(told_events) == ["closed>open"]


class BrokenState:
    """A state that can be read once in a while and never written."""

    def __init__(self, record=UNKNOWN):
        self.record = record

    def read(self):
        """Return what the test wants."""
        return self.record

    def now(self):
        """Return any time."""
        return 100.0

    def change(self, decide):
        """Keep nothing."""
        return


@pytest.mark.parametrize("record", [UNKNOWN, Record("open", epoch=4, trips=1, opened_until=50.0)])
def test_a_state_that_cannot_be_kept_is_a_closed_circuit(time, record):
    """Calls go on when the state is out of reach, and nothing they report raises."""
    breaker = Breaker(POLICY, BrokenState(record))
    for outcome in Outcome:
        ticket = breaker.admit()
        breaker.report(ticket, outcome)
        breaker.close()
        breaker.force_open()

        assert ticket == Ticket(UNKNOWN.epoch)


def test_somebody_else_may_be_faster(time):
    """Between reading and writing the circuit may have closed, or another probe may have gone."""

    class Raced(BrokenState):
        def change(self, decide):
            return decide(raced, 100.0)

    breaker = Breaker(POLICY, Raced(Record("open", epoch=4, trips=1, opened_until=50.0)))
    raced = Record(epoch=5)

    assert breaker.admit() == Ticket(5)
    raced = Record("half-open", epoch=6, claimed_until=101.0)
    assert refused(breaker) == pytest.approx(0.1)


def test_pybreaker_is_imported_at_the_first_failure():
    """A client whose calls succeed never pays for that import, 20 to 120 ms."""
    script = """
import sys
from foundry_rest.resilience.breaker.breaker import Outcome
from foundry_rest.resilience.breaker.registry import BreakerRegistry
breaker = BreakerRegistry().of("a")
for _ in range(10):
    breaker.report(breaker.admit(), Outcome.SUCCESS)
breaker.close()
assert breaker.current == "closed" and "pybreaker" not in sys.modules
breaker.report(breaker.admit(), Outcome.FAILURE)
assert "pybreaker" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_redis_is_imported_by_those_who_use_it():
    """The package of storages needs neither redis nor pybreaker until one of them is used."""
    script = """
import sys
from foundry_rest.resilience.breaker.storage import SqliteBreakers
sys.exit(any(name in sys.modules for name in ("redis", "pybreaker")))
"""

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
