"""The limit that follows the throughput: how it climbs, what it holds, what it does not count."""

from __future__ import annotations

import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.resilience.adaptive_limit import ThroughputLimit


class Loop:
    """Calls that all take equally long, at a service with so many tokens per second for so many calls.

    Args:
        power: Tokens per second of all calls, by their number.
        limit: What is tested.
    """

    def __init__(self, power, limit):
        self.power, self.limit, self.now = power, limit, 1000.0
        self.limits = []

    def run(self, calls, *, callers=10**9):
        """End so many calls one by one; return the limits that there were, each once in a row."""
        for _ in range(calls):
            under_way = min(self.limit.limit, callers)
            seconds = 100 * under_way / self.power(under_way)
            self.now += seconds / under_way
            self.limit.completed(self.now, 100, seconds, is_full=callers > under_way)
            if self.limits[-1:] != [self.limit.limit]:
                self.limits.append(self.limit.limit)
        return self.limits


def fills(number):
    """Return the power of a service that so many calls fill."""
    return lambda calls: 100.0 * min(calls, number)


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (fills(1), 1),
        (fills(2), 2),
        (fills(3), 3),
        (fills(5), 5),
        (fills(16), 16),
        (fills(40), 40),
        (fills(64), 64),
        (fills(1000), 64),
        (lambda calls: 1000.0 / calls, 1),
        (lambda calls: 100.0 * min(calls, 8) / (1 if calls <= 8 else calls), 8),
    ],
)
def test_the_smallest_number_that_fills_the_service(power, expected):
    """It settles on it within a fifth, wherever that is, also where more calls do harm."""
    limit = ThroughputLimit(64)
    Loop(power, limit).run(6000)

    assert expected <= limit.settled <= 1.25 * expected


def test_it_doubles_while_throughput_grows():
    """The way up to a service that 16 calls fill takes four steps, and a fifth to see that they do."""
    assert Loop(fills(16), ThroughputLimit(64)).run(160)[:5] == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_never_more_than_the_most(most):
    """However much a service bears, the bound is kept."""
    loop = Loop(fills(64), ThroughputLimit(most))

    assert max(loop.run(3000)) == most
    assert loop.limit.settled == most


def test_it_begins_where_it_is_told():
    """A first number above the most is the most."""
    assert ThroughputLimit(64).limit == 1
    assert ThroughputLimit(64, start=2).limit == 2
    assert ThroughputLimit(4, start=9).limit == 4


@pytest.mark.parametrize("given", [{"most": 0}, {"most": "8"}, {"most": True}, {"most": 8, "start": 0}])
def test_the_bounds_are_checked(given):
    """Only whole numbers above 0 are bounds."""
    with pytest.raises(ConfigError):
        ThroughputLimit(**given)


@pytest.mark.parametrize(("before", "after"), [(2, 16), (16, 2), (16, 1), (1, 4), (4, 1)])
def test_a_service_that_changes(before, after):
    """Another machine behind the address, or another load on it: the number is found anew."""
    limit = ThroughputLimit(64)
    loop = Loop(fills(before), limit)
    loop.run(3000)
    loop.power = fills(after)
    loop.run(6000)

    assert after <= limit.settled <= 1.25 * after


def test_a_service_that_only_got_faster():
    """Where the number is still right it is held, after another look."""
    limit = ThroughputLimit(64)
    loop = Loop(fills(4), limit)
    loop.run(3000)
    loop.power = lambda calls: 300.0 * min(calls, 4)
    loop.run(3000)

    assert limit.settled == 4


def test_other_numbers_are_tried_now_and_then():
    """While one is held, the next above and below are measured, ever more rarely."""
    loop = Loop(fills(4), ThroughputLimit(64))
    loop.run(2000)
    early = len(loop.limits)
    loop.limits.clear()
    loop.run(2000)

    assert {3, 4} < set(loop.limits)
    assert max(loop.limits) > 4
    assert 2 < len(loop.limits) < early


def test_an_idle_client_changes_nothing():
    """While nobody waits for a slot nothing is learnt: the calls are measured, not the service."""
    limit = ThroughputLimit(64)

    assert Loop(fills(64), limit).run(500, callers=1) == [1]


def test_few_callers():
    """What so few callers cannot fill is not tried for long, and what they can fill is allowed."""
    limit = ThroughputLimit(64)
    loop = Loop(fills(64), limit)
    loop.run(2000, callers=6)

    assert limit.limit == limit.settled == 8


def test_a_try_ends_when_the_callers_go():
    """A number that was only tried is given up once nobody waits; the one that is held stays."""
    limit = ThroughputLimit(64)
    loop = Loop(fills(1), limit)
    loop.run(20)
    while limit.limit == limit.settled:
        loop.run(1)
    loop.run(1, callers=1)

    assert limit.limit == limit.settled == 1


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 1.0), (-5, 1.0), (5, 0.0), (5, -1.0)])
def test_calls_without_work_or_time(tokens, seconds):
    """An answer of nothing, or in no time, tells nothing and breaks nothing."""
    limit = ThroughputLimit(8)
    for step in range(200):
        assert limit.completed(1000.0 + step, tokens, seconds, is_full=True) is None


def test_calls_from_before_a_change_do_not_count():
    """A call that began under another limit says nothing of this one."""
    limit = ThroughputLimit(8)
    Loop(fills(8), limit).run(6)
    assert limit.limit == 2
    for step in range(100):
        limit.completed(1006.0 + step / 100, 100, 50.0, is_full=True)

    assert limit.limit == 2


def test_one_strange_measurement_is_not_believed():
    """What the machine did besides for a moment does not start the search anew."""
    limit = ThroughputLimit(64)
    loop = Loop(fills(4), limit)
    loop.run(400)
    held = limit.settled
    loop.power = fills(1)
    loop.run(8)
    loop.power = fills(4)
    loop.run(40)

    assert limit.settled == held
