"""How long a silence is normal: single decisions, and simulated services with no false time-out."""

from __future__ import annotations

import math
import random
from collections import deque

import pytest

from foundry_rest.resilience.adaptive_silence import (
    MARGIN,
    MEMORY,
    NEIGHBOURS,
    WINDOW,
    Observation,
    estimate,
    follow,
    length_class,
    length_of,
    load_class,
)

#: What a simulated service takes for a prompt of so many bytes, in seconds, alone on it.
SERVICES = {
    "the same for all": lambda size: 0.2,
    "in proportion": lambda size: 0.05 + size / 4000,
    "quadratic": lambda size: 0.05 + size / 8000 + (size / 8000) ** 2,
}
#: Bytes of a prompt, given how much of the run is over.
PROMPTS = {
    "alike": lambda part, chance: 1000,
    "grow tenfold": lambda part, chance: int(500 * 10**part),
    "grow hundredfold": lambda part, chance: int(300 * 100**part),
    "mixed": lambda part, chance: int(100 * 300 ** chance.random()),
    "few long ones": lambda part, chance: 30000 if chance.random() < 0.01 else chance.randint(300, 450),
    "jump tenfold": lambda part, chance: 500 if part < 0.5 else 5000,
}
#: Calls at a time, likewise.
LOADS = {
    "one": lambda part, chance: 1,
    "ever more": lambda part, chance: 1 + int(7 * part),
    "any": lambda part, chance: chance.randint(1, 8),
    "a burst": lambda part, chance: 1 if part < 0.5 else 8,
}
CALLS = 300


def simulate(service, prompt, load, sigma, seed) -> tuple[int, list[float]]:
    """Return how many calls met a false time-out, and the time-outs of all, in units of the median time."""
    chance = random.Random(seed)
    seen: deque[Observation] = deque(maxlen=WINDOW)
    in_force: dict[tuple[float, int], float] = {}
    false, allowed = 0, []
    for number in range(CALLS):
        size, calls = prompt(number / CALLS, chance), load(number / CALLS, chance)
        usual = service(size) * calls
        took = usual * math.exp(chance.gauss(0, sigma))
        length = length_of(size)
        key = length_class(length), load_class(calls)
        found = estimate(seen, *key, number)
        bound = math.inf if found is None else follow(in_force.get(key, math.inf), found.seconds)
        in_force[key] = bound
        false += took > bound
        allowed.append(bound / usual)
        seen.append(Observation(min(took, bound), length, calls, number, took > bound))
    return false, allowed


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("service", SERVICES)
def test_no_false_time_out(service, prompt, load):
    """With times that scatter by a factor of 1.6 no call is given up that would have been answered."""
    false, allowed = simulate(SERVICES[service], PROMPTS[prompt], LOADS[load], sigma=0.5, seed=1)

    assert false == 0
    assert allowed[-1] < math.inf


def test_few_false_time_outs_in_a_wild_scatter():
    """With times that scatter by a factor of 2.7 fewer than one call in 500 is given up."""
    runs = [
        simulate(service, prompt, LOADS["one"], sigma=1.0, seed=seed)[0]
        for service in SERVICES.values()
        for prompt in PROMPTS.values()
        for seed in range(3)
    ]

    assert sum(runs) < len(runs) * CALLS / 500


def test_a_quick_service_gets_a_short_time_out():
    """What always takes the same is given up after some ten times as long, not after any time."""
    _, allowed = simulate(SERVICES["in proportion"], PROMPTS["alike"], LOADS["one"], sigma=0.2, seed=2)

    assert MARGIN < allowed[-1] < 10


def seen_of(*seconds, length=10.0, load=1):
    """Return one observation for each of these times."""
    return [Observation(each, length, load, at) for at, each in enumerate(seconds)]


def test_nothing_is_concluded_from_few():
    """Before there are twenty observations there is no estimate."""
    enough = seen_of(*[1.0] * NEIGHBOURS)

    assert estimate(enough[1:], 10, 1, 100) is None
    assert estimate(enough, 10, 1, 100).seconds == MARGIN


def test_old_observations_are_forgotten():
    """What is older than an hour counts no more."""
    seen = seen_of(*[1.0] * NEIGHBOURS)

    assert estimate(seen, 10, 1, MEMORY) is not None
    assert estimate(seen, 10, 1, MEMORY + 1) is None


@pytest.mark.parametrize(
    ("length", "load", "factor"), [(10, 1, 1), (9, 1, 1), (11, 1, 4), (12, 1, 16), (10, 3, 3), (11, 2, 8)]
)
def test_longer_prompts_and_higher_loads(length, load, factor):
    """Twice the length may take four times as long, twice the load twice; less of both takes as long."""
    assert estimate(seen_of(*[1.0] * NEIGHBOURS), length, load, 100).seconds == MARGIN * factor


@pytest.mark.parametrize(("load", "factor"), [(1, 1), (8, 1), (16, 2)])
def test_what_was_observed_under_load(load, factor):
    """What took long beside seven others may take as long alone, and no longer beside seven."""
    assert estimate(seen_of(*[1.0] * NEIGHBOURS, load=8), 10, load, 100).seconds == MARGIN * factor


def test_the_most_similar_count():
    """Long prompts say nothing about short ones where short ones are known, nor the other way round."""
    seen = [*seen_of(*[0.1] * NEIGHBOURS, length=8.0), *seen_of(*[9.0] * NEIGHBOURS, length=14.0)]

    assert estimate(seen, 8.0, 1, 100).seconds == pytest.approx(MARGIN * 0.1)
    assert estimate(seen, 14.0, 1, 100).seconds == pytest.approx(MARGIN * 9)


def test_of_equals_the_newest_count():
    """A service that has become quick is followed after twenty calls."""
    assert estimate(seen_of(*[9.0] * 80, *[1.0] * NEIGHBOURS), 10, 1, 100).seconds == MARGIN


def test_a_time_out_raises_the_estimate():
    """What was waited for in vain counts as a time, so the next attempt may take a multiple of it."""
    seen = [*seen_of(*[0.1] * NEIGHBOURS), Observation(5.0, 10, 1, 50, timed_out=True)]
    found = estimate(seen, 10, 1, 100)

    assert found.seconds == MARGIN * 5
    assert found.by.timed_out
