"""The breaker opens after failures in a row, refuses, probes, closes; nothing else moves it."""

from __future__ import annotations

import copy
import importlib
import signal

import pytest
from support.breakers import ADDRESS, fail, refused, succeed, told

from foundry_rest.errors import CircuitOpen, ServiceTimeout, ServiceUnreachable, TransportError
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome

# ---------------------------------------------------------------- closed, open


def test_failures_in_a_row_open_the_circuit(breaker, events):
    """The third failure in a row opens it; the next attempt is refused with the time that is left."""
    fail(breaker, 2)

    assert breaker.current == "closed"
    fail(breaker)
    assert breaker.current == "open"
    assert refused(breaker) == 10
    assert told(events) == ["closed>open"]
    assert events[0].url == ADDRESS


def test_a_success_ends_the_row(breaker, state):
    """Failures count only when nothing succeeded in between."""
    fail(breaker, 2)
    succeed(breaker)

    assert state.read().failures == 0
    fail(breaker, 2)
    assert breaker.current == "closed"


def test_time_left_shrinks(breaker, time):
    """``retry_in`` is what is left at the moment of the refusal."""
    fail(breaker, 3)
    time.advance(7.5)

    assert refused(breaker) == 2.5


def test_a_refusal_shows_the_last_error(breaker):
    """Its cause is the last failure with all its facts; the attempt that tripped kept its own."""
    fail(breaker, 2)
    error = ServiceTimeout("silent", phase="headers", url=ADDRESS)
    try:
        raise error
    except ServiceTimeout:
        fail(breaker, 1, error)

    with pytest.raises(CircuitOpen, match=r"left alone for 10\.0 s more") as caught:
        breaker.admit()
    cause = caught.value.__cause__
    assert (type(cause), str(cause), cause.phase) == (ServiceTimeout, str(error), "headers")
    assert caught.value.url == ADDRESS
    assert cause.__traceback__ is None  # a traceback would keep the request alive


def test_a_neutral_outcome_counts_for_nothing(breaker, state):
    """Neutral neither counts as a failure nor ends a row of them, as pybreaker's exclusions do."""
    fail(breaker, 2)
    breaker.report(breaker.admit(), Outcome.NEUTRAL)

    assert state.read().failures == 2
    fail(breaker)
    assert breaker.current == "open"


def test_ctrl_c_counts_for_nothing(breaker, state):
    """KeyboardInterrupt stays one: the sender reports neutral, and the breaker never sees it."""
    fail(breaker, 2)

    def interrupted_call(request):
        ticket = breaker.admit()
        try:
            request()
        except BaseException:
            breaker.report(ticket, Outcome.NEUTRAL)
            raise

    with pytest.raises(KeyboardInterrupt):
        interrupted_call(lambda: signal.raise_signal(signal.SIGINT))
    assert (breaker.current, state.read().failures) == ("closed", 2)


# ---------------------------------------------------------------- half-open


def test_a_probe_that_succeeds_closes(breaker, time, events, state):
    """After the wait one attempt is admitted; its success closes the circuit and forgets the past."""
    fail(breaker, 3)
    time.advance(10)
    succeed(breaker)

    assert breaker.current == "closed"
    assert told(events) == ["closed>open", "open>half-open", "half-open>closed"]
    assert (state.read().trips, state.read().failures) == (0, 0)


def test_a_probe_that_fails_opens_for_longer(breaker, time, events):
    """Each failed probe doubles the wait, up to reset_max; a success in between begins again."""
    fail(breaker, 3)
    waits = []
    for _ in range(4):
        time.advance(refused(breaker))
        fail(breaker)
        waits.append(refused(breaker))

    assert waits == [20, 40, 60, 60]
    time.advance(60)
    succeed(breaker)
    fail(breaker, 3)
    assert refused(breaker) == 10


def test_one_probe_at_a_time(breaker, time):
    """While a probe is out everybody else is refused for a moment."""
    fail(breaker, 3)
    time.advance(10)
    breaker.admit()

    assert breaker.current == "half-open"
    assert refused(breaker) == pytest.approx(0.1)


def test_several_successes_may_be_asked_for(time):
    """With successes=2 the second successful probe closes; a failure in between opens."""
    breaker = Breaker(BreakerPolicy(failures=1, successes=2))
    for outcome in ("open", "closed"):
        fail(breaker)
        time.advance(60)
        succeed(breaker)

        assert breaker.current == "half-open"
        succeed(breaker) if outcome == "closed" else fail(breaker)
        assert breaker.current == outcome
        time.advance(60)
        succeed(breaker)
        succeed(breaker)


def test_a_neutral_probe_gives_the_probe_back(breaker, time, events):
    """A probe that says nothing leaves the circuit half-open, and the next attempt probes at once."""
    fail(breaker, 3)
    time.advance(10)
    breaker.report(breaker.admit(), Outcome.NEUTRAL)

    assert breaker.current == "half-open"
    succeed(breaker)
    assert breaker.current == "closed"
    assert told(events).count("open>half-open") == 1


def test_a_probe_that_is_never_reported_expires(breaker, time):
    """A killed prober blocks the circuit for the first wait and not for ever; what it says later counts."""
    fail(breaker, 3)
    time.advance(10)
    lost = breaker.admit()
    time.advance(9.9)
    refused(breaker)
    time.advance(0.2)
    second = breaker.admit()

    assert second.probe == lost.probe + 1
    breaker.report(lost, Outcome.NEUTRAL)
    assert refused(breaker) == pytest.approx(0.1)  # the second one is still out
    breaker.report(lost, Outcome.SUCCESS)
    assert breaker.current == "closed"


def test_without_a_wait_the_next_attempt_probes(time):
    """reset_after=0 refuses only while a probe is out; the probe still expires."""
    breaker = Breaker(BreakerPolicy(failures=1, reset_after=0))
    fail(breaker)
    breaker.admit()

    assert refused(breaker) == pytest.approx(0.1)
    time.advance(1.5)
    assert breaker.admit().probe == 2


# ---------------------------------------------------------------- late results


@pytest.mark.parametrize("outcome", Outcome)
def test_late_results_move_nothing(breaker, time, events, state, outcome):
    """What began before a trip moves neither times nor counters nor observers."""
    late = [breaker.admit() for _ in range(10)]
    fail(breaker, 3)
    before = copy.copy(state.read())
    time.advance(3)
    for ticket in late:
        breaker.report(ticket, outcome, ServiceUnreachable("late"))

    assert state.read() == before
    assert told(events) == ["closed>open"]
    assert refused(breaker) == 7


def test_late_failures_do_not_disturb_a_probe(breaker, time, state):
    """A failure from before the trip neither ends the half-open state nor frees its probe."""
    late = breaker.admit()
    fail(breaker, 3)
    time.advance(10)
    probe = breaker.admit()
    breaker.report(late, Outcome.FAILURE)

    assert breaker.current == "half-open"
    refused(breaker)
    breaker.report(probe, Outcome.SUCCESS)
    assert breaker.current == "closed"
    breaker.report(probe, Outcome.FAILURE)  # reported twice: its epoch is over
    assert state.read().failures == 0


def test_nothing_is_counted_without_a_file(breaker, time, monkeypatch):
    """Where the system opens no file, pybreaker cannot be imported: no call fails of it, or is held back."""

    def no_file(name):
        raise OSError(24, "Too many open files", name)

    with monkeypatch.context() as exhausted:
        exhausted.setattr(importlib, "import_module", no_file)
        for _ in range(5):
            fail(breaker)
        assert breaker.current == "closed"
    fail(breaker, 3)
    time.advance(30)
    monkeypatch.setattr(importlib, "import_module", no_file)

    assert not breaker.admit().probe
    with pytest.raises(TransportError, match=r"gives this process no more.*Close what is open"):
        breaker.force_open()  # a person's wish is not dropped in silence
    with pytest.raises(TransportError, match="gives this process no more"):
        breaker.close()
    assert breaker.current == "open"
