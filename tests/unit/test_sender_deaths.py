"""What ends a call early, and what is free of charge: tokens, dead connections, budget, cures."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace
from support.senders import CALL, OK, REFUSED, Bench, OneTarget, died

from foundry_rest import clock
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    ServiceUnreachable,
)
from foundry_rest.events import CallFinished, CureStarted
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.transport.call import Call, Options, Replay
from foundry_rest.transport.cancellation import CancelToken

# ---------------------------------------------------------------- ending it from elsewhere


@pytest.mark.parametrize("which", ["closing", "own"])
def test_the_back_off_is_ended(which):
    """Closing the client, or cancelling the call, ends its sleep at once; what was tried is kept."""
    bench, own, seconds = Bench(REFUSED, OK), CancelToken(), []
    bench.sender.policy = RetryPolicy(base=60, longest=60)
    token = bench.closing if which == "closing" else own

    def end():
        while not (bench.closing._watchers and own._watchers):
            clock.sleep(0.001)
        seconds.append(clock.monotonic())
        token.cancel()

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(Cancelled) as caught:
        bench.sender.send(Call("GET", "/x", options=Options(cancel=own)))
    seconds.append(clock.monotonic())
    ender.join(2)

    assert seconds[1] - seconds[0] < 0.5
    assert [attempt.error for attempt in caught.value.attempts] == ["ServiceUnreachable"]
    assert len(bench.inner.calls) == 1
    assert not bench.closing._watchers
    assert not own._watchers
    assert isinstance(bench.events[-1], CallFinished)
    assert bench.events[-1].error is caught.value


def test_closing_closes_what_is_below(time):
    """close() ends the waits, then the connections."""
    bench = Bench()
    bench.sender.close()

    assert bench.closing.cancelled
    assert bench.inner.closed


# ---------------------------------------------------------------- connections that die


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("retries", [1, 3, 99])
def test_two_deaths_end_a_call(time, retries, stale):
    """It may be the request that kills the service: nothing allows a third try."""
    bench = Bench(died(stale=stale), died(stale=stale), OK, retries=retries)
    with pytest.raises(ServiceUnreachable) as caught:
        bench.sender.send(CALL)

    assert len(bench.inner.calls) == len(caught.value.attempts) == 2


def test_two_deaths_allow_no_cure(time):
    """Not even looking for the service elsewhere, where the request would kill it again."""
    looked = []
    cures = {ServiceUnreachable: ("rediscover", lambda request, error: looked.append(error) is None)}
    bench = Bench(died(), died(), OK, recoveries=cures)
    with pytest.raises(ServiceUnreachable):
        bench.sender.send(CALL)

    assert (len(looked), len(bench.inner.calls)) == (1, 2)


def test_refusals_are_no_deaths(time):
    """A connection that was refused killed nobody."""
    bench = Bench(died(), REFUSED, REFUSED, OK)

    assert bench.sender.send(CALL) is OK


def test_a_stale_connection_is_free(time):
    """A kept connection that died is replaced at once, without budget, once per call."""
    budget = RetryBudget(most=0)
    bench = Bench(died(stale=True), OK, budget=budget)
    assert bench.sender.send(CALL) is OK

    assert time.slept == []
    assert [(event.cure, event.wait) for event in bench.events[:-1]] == [("reconnect", 0.0)]


class Watched(OneTarget):
    """Note which addresses are missed."""

    missed: list[str] = []  # noqa: RUF012 (msgspec makes a new one for each)

    def miss(self, url):
        """Note."""
        self.missed.append(url)


@pytest.mark.parametrize(("is_embedded", "missed"), [(True, ["http://h"]), (False, [])])
def test_a_stale_connection_to_a_child(time, is_embedded, missed):
    """Whether a child still lives is looked at before it is asked again; another service is only asked."""
    bench = Bench(died(stale=True), OK)
    targets = Watched(bench.sender.terms.targets.current, is_embedded=is_embedded)
    bench.sender.terms = replace(bench.sender.terms, targets=targets)

    assert bench.sender.send(CALL) is OK
    assert targets.missed == missed


@pytest.mark.parametrize(
    ("call", "retries"),
    [(CALL, 0), (Call("POST", "/x", b"{}", Replay.IF_UNSENT), 3)],
    ids=["no retries", "not to be repeated"],
)
def test_when_a_stale_connection_is_not_replaced(time, call, retries):
    """Never for a call that may have begun and must not begin twice, nor where no retry was granted."""
    bench = Bench(died(stale=True), OK, retries=retries)
    with pytest.raises(ServiceUnreachable):
        bench.sender.send(call)

    assert len(bench.inner.calls) == 1


def test_an_empty_budget(time):
    """No retry, whatever the policy grants."""
    bench = Bench(REFUSED, OK, budget=RetryBudget(most=0))
    with pytest.raises(ServiceUnreachable):
        bench.sender.send(CALL)

    assert len(bench.inner.calls) == 1


def test_a_retry_that_the_policy_refuses_spends_nothing(time):
    """The budget is asked last."""
    budget = RetryBudget(most=1, by_call=0, by_second=0)
    with pytest.raises(BadRequest):
        Bench(BadRequest("x", status=400), budget=budget).sender.send(CALL)

    assert budget.spend()


# ---------------------------------------------------------------- cures


def test_a_recovery_is_told_before_it_begins(time):
    """It may take minutes: whoever watches sees why."""

    def recover(request, error):
        event = bench.events[-1]
        assert isinstance(event, CureStarted)
        assert (event.cure, event.error, event.call, event.attempt) == ("rediscover", REFUSED, CALL.label, 1)
        return True

    bench = Bench(REFUSED, OK, recoveries={ServiceUnreachable: ("rediscover", recover)})

    assert bench.sender.send(CALL) is OK
    assert len(bench.events) == 3
    assert len({event.call_id for event in bench.events}) == 1


def test_a_recovery_runs_without_a_slot(time):
    """What a recovery sends takes slots of its own: with one slot it would else wait for itself."""

    def recover(request, error):
        bench.slots.acquire().release()
        return True

    bench = Bench(REFUSED, OK, retries=0, recoveries={ServiceUnreachable: ("rediscover", recover)})

    assert bench.sender.send(CALL) is OK


def test_a_cure_that_was_no_help_may_be_later(time):
    """A killed process takes a moment to die: whoever looks too early looks again, between the tries."""
    looked = []
    cures = {ServiceUnreachable: ("rediscover", lambda request, error: bool(looked.append(error)))}
    bench = Bench(REFUSED, REFUSED, OK, recoveries=cures)

    assert bench.sender.send(CALL) is OK
    assert (len(looked), time.slept) == (2, [0.25, 0.5])


def test_a_cure_that_helped_is_not_tried_again(time):
    """What it removed is back: the next failure of that kind is the policy's."""
    looked = []
    cures = {ServiceUnreachable: ("rediscover", lambda request, error: looked.append(error) is None)}
    bench = Bench(REFUSED, REFUSED, OK, recoveries=cures)

    assert bench.sender.send(CALL) is OK
    assert (len(looked), time.slept) == (1, [0.25])
