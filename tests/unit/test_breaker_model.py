"""The breaker against a model of thirty lines, in any order of events that hypothesis can think of."""

from __future__ import annotations

import contextlib
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from foundry_rest.errors import CircuitOpen, ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.storage import SqliteState
from foundry_rest.testing.fakes import FakeClock

POLICY = BreakerPolicy(failures=3, reset_after=8, successes=2, growth=2, reset_max=30)
WAITS = {1: 8, 2: 16}  # by openings in a row; 30 from the third on
CLAIM = 8


class Model:
    """Say what the breaker should do, in the plainest words."""

    def __init__(self):
        self.time = 0
        self.events = []
        self.epoch = 0
        self.probes = 0
        self.enter("closed")
        self.events.clear()
        self.trips = 0

    def enter(self, state):
        """Begin a state: what was counted and who was out is forgotten."""
        self.events.append(state)
        self.state, self.failures, self.successes, self.probe_until = state, 0, 0, None
        if state == "open":
            self.trips += 1
            self.opened_until = self.time + WAITS.get(self.trips, 30)
        if state == "closed":
            self.trips = 0
        self.epoch += 1

    def admit(self):
        """Return (epoch, probe), or the seconds to wait."""
        if self.state == "closed":
            return (self.epoch, None)
        if self.state == "open":
            if self.time < self.opened_until:
                return self.opened_until - self.time
            self.enter("half-open")
        if self.probe_until is not None and self.time < self.probe_until:
            return 0.1
        self.probes += 1
        self.probe_until = self.time + CLAIM
        return (self.epoch, self.probes)

    def report(self, ticket, outcome):
        """Count what an attempt told, if its state is still the current one."""
        epoch, probe = ticket
        if epoch != self.epoch:
            return
        if probe == self.probes:
            self.probe_until = None
        if outcome is Outcome.SUCCESS:
            self.failures = 0
            self.successes += 1
            if self.state == "half-open" and self.successes == POLICY.successes:
                self.enter("closed")
        if outcome is Outcome.FAILURE:
            self.failures += 1
            if self.state == "half-open" or self.failures == POLICY.failures:
                self.enter("open")

    def force_open(self):
        """Open, or begin the wait again."""
        if self.state == "open":
            self.opened_until = self.time + WAITS.get(self.trips, 30)
        else:
            self.enter("open")

    def close(self):
        """Close; what was on its way is void."""
        was = self.state
        self.enter("closed")
        if was == "closed":
            self.events.pop()


class BreakerMachine(RuleBasedStateMachine):
    """Do the same to breaker and model, and compare."""

    tickets = Bundle("tickets")
    clock: FakeClock

    def __init__(self):
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.told = []
        self.state = self.make_state()
        self.breaker = Breaker(POLICY, self.state, emit=lambda event: self.told.append(event.after))
        self.model = Model()

    def make_state(self):
        """Return where the record lives."""
        return MemoryState()

    def teardown(self):
        """Close what was opened."""
        self.stack.close()

    @rule(target=tickets)
    def admit(self):
        """Ask for a ticket."""
        expected = self.model.admit()
        if not isinstance(expected, tuple):
            with pytest.raises(CircuitOpen) as caught:
                self.breaker.admit()
            assert caught.value.retry_in == pytest.approx(expected)
            return None
        ticket = self.breaker.admit()
        assert bool(ticket.probe) == bool(expected[1])
        return ticket, expected

    @rule(pair=tickets, outcome=st.sampled_from(Outcome))
    def report(self, pair, outcome):
        """Report any ticket ever given, once or again."""
        if pair is None:
            return
        ticket, expected = pair
        self.model.report(expected, outcome)
        self.breaker.report(ticket, outcome, ServiceUnreachable("refused"))

    @rule(outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.FAILURE]))
    def attempt(self, outcome):
        """Make one attempt from admission to report."""
        self.report(self.admit(), outcome)

    @rule(seconds=st.sampled_from([1, 3, 8, 16, 30]))
    def wait(self, seconds):
        """Let time pass."""
        self.clock.advance(seconds)
        self.model.time += seconds

    @rule()
    def wait_to_the_end(self):
        """Let exactly the time pass that is left."""
        if self.model.state == "open" and self.model.opened_until > self.model.time:
            self.wait(self.model.opened_until - self.model.time)

    @rule()
    def force_open(self):
        """Open by hand."""
        self.model.force_open()
        self.breaker.force_open()

    @rule()
    def close(self):
        """Close by hand."""
        self.model.close()
        self.breaker.close()

    @invariant()
    def same(self):
        """State, counts and events agree."""
        record, model = self.state.read(), self.model

        assert self.breaker.current == model.state
        assert self.told == model.events
        assert record.trips == model.trips
        if model.state == "closed":
            assert record.failures == model.failures
        if model.state == "open":
            assert record.opened_until - self.state.now() == pytest.approx(model.opened_until - model.time)
        if model.state == "half-open":
            assert record.successes == model.successes


class SqliteMachine(BreakerMachine):
    """The same, with the record in a file."""

    def make_state(self):
        """Return a state in a file of its own."""
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        state = SqliteState(f"{folder}/circuits.sqlite", "a")
        self.stack.callback(state.close)
        return state


@pytest.mark.parametrize(("machine", "examples"), [(BreakerMachine, 60), (SqliteMachine, 12)])
def test_breaker_does_what_the_model_does(machine, examples):
    """Whatever is admitted, reported, waited and forced in whatever order: breaker and model agree."""
    with FakeClock().installed() as machine.clock:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
