"""Slots whose number is found out, in a simulation of services, and what of the calls they take in."""

from __future__ import annotations

import threading

import pytest
from support.forks import forks, in_child
from support.limiters import SHAPES, Service, compared, fixed
from support.waits import until

from foundry_rest import clock
from foundry_rest.errors import ServerError
from foundry_rest.events import ABANDONED, ERROR, OK, AttemptFailed, CallFinished
from foundry_rest.resilience.adaptive_slots import AdaptiveSlots
from foundry_rest.testing import FakeClock

#: Calls of one simulated run, which begins with one call at a time.
CALLS = 8000
KINDS = {
    "long tail": {"spread": 1.0},
    "work besides the answer": {"spread": 0.7, "overhead": 40.0, "jitter": 0.1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_throughput_and_latency(shape, kind):
    """Nearly all the throughput there is, from the first call on, at nearly the least latency for it."""
    throughput, p50, _ = compared(SHAPES[shape], CALLS, seed=len(shape), **KINDS[kind])

    assert throughput >= 0.95
    assert p50 <= 1.5


def test_a_service_that_changes():
    """When a service has other cores than before, the number that is right then is held soon."""
    slots = AdaptiveSlots(64)
    service = Service(SHAPES["batching, 16 fill it"], seed=3)
    service.run(2500, slots)
    assert slots.settled in range(14, 21)
    service.power = SHAPES["one core"]
    service.run(3000, slots)

    assert slots.settled in {1, 2}


def test_fewer_callers_than_slots():
    """Callers who do not fill the slots are not held up by a search."""
    power = SHAPES["batching, 16 fill it"]
    found = Service(power, 5).run(1500, AdaptiveSlots(64), callers=10)
    best = fixed(power, 10, 1500, 5)

    assert found.throughput >= 0.9 * best.throughput
    assert found.limits[-1] >= 10


def test_the_simulation_is_right():
    """A fixed number of calls gets the throughput that the shape says."""
    for shape, number in (("one core", 3), ("two cores", 2), ("batching, 16 fill it", 12)):
        found = fixed(SHAPES[shape], number, 3000)
        assert found.throughput == pytest.approx(SHAPES[shape](number), rel=0.03)


# ---------------------------------------------------------------- what is taken in


def used(slots, seconds=1.0, times=1):
    """Hold a slot for so long, several times."""
    for _ in range(times):
        slot = slots.acquire()
        clock.sleep(seconds)
        slot.release()


def ended(outcome=OK, label="chat.complete", tokens=(5, 50)):
    """Return the event of a call's end."""
    return CallFinished("http://h", "id", label, "m", 1, outcome, 1.0, None, None, *tokens)


@pytest.fixture
def slots(monkeypatch):
    """Slots that note what their decision is told."""
    made = AdaptiveSlots(4)
    made.told = []
    monkeypatch.setattr(
        made._decision,
        "completed",
        lambda now, tokens, seconds, is_full: made.told.append((tokens, seconds, is_full)),
    )
    with FakeClock().installed():
        yield made


def test_the_end_of_a_call(slots):
    """Its tokens count over the time for which it held its slot; of those without any, what was asked."""
    for event in (ended(), ended(tokens=(7, 0)), ended(tokens=(0, 0))):
        used(slots, 2.0)
        slots.observe(event)

    assert slots.told == [(50, 2.0, False), (7, 2.0, False), (1, 2.0, False)]


@pytest.mark.parametrize(
    "event",
    [
        ended(ERROR),
        ended(ABANDONED),
        ended(label="models.load"),
        ended(label="health.check"),
        AttemptFailed("http://h", "id", "chat.complete", "m", 1, ServerError("no", status=500), 1.0, None),
    ],
)
def test_what_does_not_count(slots, event):
    """A call that failed or was left, one that runs no model, and an attempt are not taken in."""
    used(slots)
    slots.observe(event)

    assert slots.told == []


def test_a_failure_leaves_nothing_for_the_next():
    """The time of a call that failed is not taken for that of one that had no slot."""
    slots = AdaptiveSlots(4)
    used(slots, 0.001)
    slots.observe(ended(ERROR))
    slots.observe(ended())

    assert slots._decision._window.calls == 0


def test_all_slots_are_taken_while_somebody_waits():
    """A call counts only if its slot went on to somebody who waited for it."""
    slots, held = AdaptiveSlots(4, start=1), []
    used(slots, 0.001)
    slots.finished(5)
    assert slots._decision._window.calls == 0

    slot = slots.acquire()
    waiter = threading.Thread(target=lambda: held.append(slots.acquire()), daemon=True)
    waiter.start()
    until(lambda: slots.waiting == 1)
    clock.sleep(0.001)
    slot.release()
    waiter.join(2)
    slots.finished(5)

    assert slots._decision._window.calls == 1


def test_a_service_that_bounds_itself():
    """Where the number is not ours to find it is the given one from the first end of a call on."""
    for instead, expected in ((None, 8), (4, 4), (99, 8)):
        slots = AdaptiveSlots(8, fixed=lambda: True, instead=instead)
        assert slots.limit == 2
        used(slots, 0.0)
        slots.finished(5)
        assert slots.limit == slots.settled == expected


@forks
def test_a_forked_child_goes_on():
    """The child has all slots of the number that was reached, whoever held the lock."""
    slots = AdaptiveSlots(8, start=3)
    held = slots.acquire()

    def child():
        assert slots.free == slots.limit == 3
        used(slots, 0.0)
        slots.finished(5)

    with slots._lock:
        assert in_child(child) == 0
    held.release()
