"""Many threads at one breaker: calls side by side, one probe, no report lost, observers in order."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foundry_rest.errors import CircuitOpen, ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.resilience.breaker.storage import SqliteState
from foundry_rest.testing.fakes import FakeClock

#: Seconds after which a test that hangs fails.
LONG = 10.0


@pytest.fixture(params=["memory", "sqlite"])
def state(request, tmp_path):
    """Where the record lives."""
    if request.param == "memory":
        yield MemoryState()
        return
    state = SqliteState(tmp_path / "circuits.sqlite", "a")
    yield state
    state.close()


def at_once(number, work):
    """Run ``work(index)`` in so many threads that start together; return the results."""
    start = threading.Barrier(number)

    def run(index):
        start.wait(LONG)
        return work(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number), timeout=LONG))


def test_calls_run_side_by_side(state):
    """Sixteen guarded calls are all inside at the same moment: no lock is held while one runs."""
    breaker = Breaker(BreakerPolicy(), state)
    everybody_inside = threading.Barrier(16)

    def call(index):
        ticket = breaker.admit()
        everybody_inside.wait(LONG)  # breaks when any of them is kept out
        breaker.report(ticket, Outcome.SUCCESS)
        return ticket

    assert len(at_once(16, call)) == 16


def test_a_call_in_flight_keeps_nobody_waiting(state):
    """While a call runs the circuit can be opened, closed, asked and reported to."""
    breaker = Breaker(BreakerPolicy(), state)
    inside, finish = threading.Event(), threading.Event()

    def call():
        ticket = breaker.admit()
        inside.set()
        finish.wait(LONG)
        breaker.report(ticket, Outcome.SUCCESS)

    thread = threading.Thread(target=call)
    thread.start()
    inside.wait(LONG)
    breaker.force_open()
    opened = breaker.current
    breaker.close()
    breaker.report(breaker.admit(), Outcome.FAILURE)
    finish.set()
    thread.join(LONG)

    assert opened == "open"
    assert breaker.current == "closed"
    assert state.read().failures == 1  # the call was from an earlier epoch: it ended no row


def test_one_of_twenty_probes(state):
    """Of twenty simultaneous callers in half-open exactly one is admitted."""
    breaker = Breaker(BreakerPolicy(failures=1, reset_after=0), state)
    breaker.report(breaker.admit(), Outcome.FAILURE)

    def call(index):
        try:
            return breaker.admit()
        except CircuitOpen as error:
            return error.retry_in

    with FakeClock().installed():  # the probe does not expire, however slow the machine
        answers = at_once(20, call)
    tickets = [answer for answer in answers if not isinstance(answer, float)]

    assert len(tickets) == 1
    assert tickets[0].probe == 1
    assert sorted(answer for answer in answers if isinstance(answer, float)) == pytest.approx([0.1] * 19)
    breaker.report(tickets[0], Outcome.SUCCESS)
    assert {ticket.probe for ticket in at_once(20, call)} == {0}


def test_a_storm_of_late_failures_is_one_trip(state):
    """Sixty-four failures of calls that began together open the circuit once."""
    events = []
    breaker = Breaker(BreakerPolicy(), state, emit=events.append)
    tickets = [breaker.admit() for _ in range(64)]
    at_once(16, lambda index: [breaker.report(t, Outcome.FAILURE) for t in tickets[index::16]])

    assert (state.read().trips, state.read().epoch, state.read().failures) == (1, 1, 5)
    assert [(event.before, event.after) for event in events] == [("closed", "open")]


def test_no_report_is_lost(state):
    """Failures reported by eight threads are all counted."""
    breaker = Breaker(BreakerPolicy(failures=10_000), state)
    at_once(8, lambda index: [breaker.report(breaker.admit(), Outcome.FAILURE) for _ in range(25)])

    assert state.read().failures == 200


def test_observers_are_told_in_order(state):
    """Opened and closed by many threads, the events make one chain: each begins where the last ended."""
    events = []
    breaker = Breaker(BreakerPolicy(), state, emit=events.append)

    def toggle(index):
        for _ in range(10):
            breaker.force_open() if index % 2 else breaker.close()

    at_once(8, toggle)
    chain = ["closed", *(event.after for event in events)]

    assert [event.before for event in events] == chain[:-1]
    assert breaker.current == chain[-1]


def test_a_slow_observer_holds_nobody_up():
    """While one thread's observer takes its time, others are admitted and refused."""
    inside, finish = threading.Event(), threading.Event()

    def observer(event):
        inside.set()
        finish.wait(LONG)

    breaker = Breaker(BreakerPolicy(failures=1), emit=observer)
    thread = threading.Thread(target=breaker.force_open)
    thread.start()
    inside.wait(LONG)
    with pytest.raises(CircuitOpen):
        breaker.admit()
    breaker.close()
    ticket = breaker.admit()
    breaker.report(ticket, Outcome.FAILURE, ServiceUnreachable("refused"))
    state = breaker.current
    finish.set()
    thread.join(LONG)

    assert state == "open"


def test_threads_share_the_breaker_of_an_address():
    """Threads that meet a new address at the same moment get the same breaker."""
    breakers = BreakerRegistry()

    assert len(set(at_once(16, lambda index: breakers.of("a")))) == 1
