"""The retry budget: what retries may add to the load; and tokens that are cancelled from anywhere."""

from __future__ import annotations

import gc
import threading

import pytest
from support.forks import forks, in_child
from support.senders import OneTarget

from foundry_rest.errors import ServerError
from foundry_rest.events import CallFinished
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.terms import Bounds, Terms
from foundry_rest.testing import FakeClock, FakeSender
from foundry_rest.transport.call import Call, Replay
from foundry_rest.transport.cancellation import CancelToken


def test_a_full_bucket_costs_no_lock():
    """The usual case, a call that succeeds, neither locks nor counts: the bucket says that it is full."""
    budget = RetryBudget(most=1, by_call=0.5)
    seen = [budget.full]
    budget.spend()
    seen.append(budget.full)
    for _ in range(2):
        budget.earn()
        seen.append(budget.full)

    assert seen == [True, False, False, True]


def test_a_bucket_is_emptied():
    """So many retries at once, and no more."""
    with FakeClock().installed():
        budget = RetryBudget(most=3)

        assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]


def test_calls_bring_tokens():
    """Four calls bring one retry by default; never more than the bucket holds."""
    with FakeClock().installed():
        budget = RetryBudget(most=1)
        budget.spend()
        granted = []
        for _ in range(8):
            budget.earn()
            granted.append(budget.spend())

        assert granted == [False, False, False, True] * 2


def test_seconds_bring_tokens():
    """Each second brings one; a long rest fills the bucket and no more."""
    with FakeClock().installed() as fake:
        budget = RetryBudget(most=2)
        assert [budget.spend() for _ in range(3)] == [True, True, False]
        fake.advance(1.0)
        assert [budget.spend() for _ in range(2)] == [True, False]
        fake.advance(1000.0)
        assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_a_storm_of_failures_is_bounded():
    """200 calls that all fail and may each be tried four times: a quarter more, not four times as many."""
    inner = FakeSender([ServerError("x", status=502)] * 1000)
    still = RetryPolicy(retries=3, base=0.0, floor=0.0)  # no time passes, so that no time pays
    with FakeClock().installed():
        resilient = ResilientSender(inner, Terms(still, OneTarget()))
        for _ in range(200):
            with pytest.raises(ServerError):
                resilient.send(Call("GET", "/x", replay=Replay.ALWAYS))

    assert 200 + 32 < len(inner.calls) <= 200 + 32 + 50


def test_views_share_one_budget():
    """What one sender spends, another on the same bounds does not have."""
    with FakeClock().installed():
        bounds = Bounds(budget=RetryBudget(most=1, by_call=0, by_second=0))
        counts = []
        for _ in range(2):
            inner = FakeSender([ServerError("x", status=502)] * 9)
            with pytest.raises(ServerError):
                ResilientSender(inner, Terms(RetryPolicy(), OneTarget(), bounds)).send(
                    Call("GET", "/x", replay=Replay.ALWAYS)
                )
            counts.append(len(inner.calls))

    assert counts == [2, 1]


@forks
def test_a_budget_in_a_forked_child():
    """A lock that was held while the process forked does not hang the child."""
    budget = RetryBudget(most=2)
    budget.spend()

    def child():
        budget.earn()
        assert budget.spend()

    with budget._lock:
        assert in_child(child) == 0
    assert budget.spend()


@forks
def test_figures_in_a_forked_child():
    """The lock of the figures, held by another thread while the process forked, does not hang the child."""
    stats, held, done = StatsObserver(), threading.Event(), threading.Event()

    def hold():
        with stats._lock:
            held.set()
            done.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    code = in_child(lambda: stats(CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 0.1)))
    done.set()
    thread.join()

    assert code == 0
    assert stats.snapshot().total.calls == 0


def test_a_cancel_within_a_cancel():
    """Cancelling from a signal handler, or from the garbage collector, while cancelling does not hang."""
    token, woken = CancelToken(), []
    token.watch(lambda: (token.cancel(), gc.collect(), woken.append(1)))
    token.watch(lambda: woken.append(2))
    token.cancel()

    assert sorted(woken) == [1, 2]
    assert not token._watchers
