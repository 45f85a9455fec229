"""When a circuit opens and is tried again, and one circuit for each address."""

from __future__ import annotations

import copy
import pickle

import pytest
from support.breakers import fail, succeed

from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.breaker import BreakerPolicy, Ticket
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.registry import BreakerRegistry

POLICY = BreakerPolicy(failures=3, reset_after=10, reset_max=60)


# ---------------------------------------------------------------- policy


@pytest.mark.parametrize(
    "values",
    [
        {"failures": 0},
        {"failures": True},
        {"failures": 2.5},
        {"successes": 0},
        {"successes": "1"},
        {"reset_after": -1},
        {"reset_after": float("nan")},
        {"reset_after": "30"},
        {"reset_after": True},
        {"growth": 0.5},
        {"growth": 101},
        {"reset_max": float("inf")},
        {"reset_after": 60, "reset_max": 30},
    ],
)
def test_a_policy_that_cannot_work_is_refused(values):
    """A value out of bounds is a ConfigError that names it; pybreaker takes them all."""
    with pytest.raises(ConfigError, match=f"BreakerPolicy.*{next(iter(values))}"):
        BreakerPolicy(**values)


def test_the_wait_grows_up_to_its_bound():
    """Each opening in a row doubles the wait, up to reset_max; a thousand openings do not overflow."""
    policy = BreakerPolicy(growth=100, reset_max=1e6)

    assert [POLICY.wait(trips) for trips in (0, 1, 2, 3, 4, 1000)] == [10, 10, 20, 40, 60, 60]
    assert policy.wait(10_000) == 1e6
    assert BreakerPolicy(reset_after=0).wait(5) == 0


def test_policy_and_ticket_are_values():
    """What travels is frozen, picklable and compared by content."""
    for value in (POLICY, Ticket(1, 2)):
        assert pickle.loads(pickle.dumps(value)) == value == copy.copy(value)
    with pytest.raises(AttributeError):
        POLICY.failures = 1


# ---------------------------------------------------------------- many addresses


def test_each_address_has_its_own_circuit():
    """One service's failures refuse no call to another; a breaker is kept, not made anew."""
    events = []
    breakers = BreakerRegistry(POLICY, emit=events.append)
    fail(breakers.of("a"), 3)

    assert breakers.current() == {"a": "open"}
    succeed(breakers.of("b"))
    assert breakers.of("a") is breakers.of("a")
    assert [event.url for event in events] == ["a"]


def test_two_that_meet_a_new_address_share_its_breaker():
    """Who was slower gets the first one's breaker: no count is split between two."""
    inner = []

    def make_state(address):
        if not inner:
            inner.append(None)
            inner.append(breakers.of(address))  # another thread, in the middle of our own making
        return MemoryState()

    breakers = BreakerRegistry(POLICY, make_state)

    assert breakers.of("a") is inner[1]


def test_reset_believes_the_service_again():
    """Another process at an address, or at one not seen yet, is judged anew."""
    breakers = BreakerRegistry(POLICY)
    fail(breakers.of("a"), 3)
    for address in ("a", "b"):
        breakers.reset(address)

    assert breakers.current() == {"a": "closed", "b": "closed"}


def test_addresses_are_bounded():
    """The oldest closed circuit is forgotten first; open ones go when there is nothing else."""
    breakers = BreakerRegistry(POLICY)
    breakers.of("a0").force_open()
    for number in range(1, 200):
        breakers.of(f"a{number}")

    assert len(breakers.current()) == 64
    assert breakers.current()["a0"] == "open"
    for number in range(200, 300):
        breakers.of(f"a{number}").force_open()
    assert len(breakers.current()) == 64
    assert "a0" not in breakers.current()
