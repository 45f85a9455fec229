"""Slots of the machine: who holds one, who comes next, and what ends a wait."""

from __future__ import annotations

import gc
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from support.slots import Holders, order_of_service, start
from support.waits import until

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded
from foundry_rest.resilience import host_slots
from foundry_rest.resilience.host_slots import MOST, HostSlots
from foundry_rest.transport.cancellation import CancelToken

#: Longest time in seconds to the end of a wait that is cancelled.
AT_ONCE = 0.05 if clock.SLICE is None else 0.1


@pytest.fixture
def process(tmp_path):
    """Return a function that makes the slots as one more process would: it opens all files anew."""
    return lambda size=1: HostSlots(size, tmp_path / "slots")


def assert_none_free(slots, seconds=0.01):
    """Check that no slot can be had."""
    with pytest.raises(DeadlineExceeded):
        slots.acquire(clock.monotonic() + seconds)


def wait_until_cancelled(slots, token):
    """Wait for a slot that does not come."""
    with pytest.raises(Cancelled):
        slots.acquire(cancels=[token])


def waits_at(slots, place):
    """Return whether the first call of a process has this place in the queue of the machine."""
    return bool(slots._turns) and slots._turns[0].place == place


# ---------------------------------------------------------------- holders


@pytest.mark.parametrize("size", [0, -1, 1.0, "8", True, None, MOST + 1])
def test_the_size_is_checked(tmp_path, size):
    """Only a whole number from 1 on is a size; the message shows what was given."""
    with pytest.raises(ConfigError, match=f"host_slots must be a whole number from 1 to {MOST}, not"):
        HostSlots(size, tmp_path)


@pytest.mark.parametrize("size", [1, 3, MOST])
def test_as_many_as_there_are(process, size):
    """Free slots are given at once, to whichever process asks; then there is none."""
    mine, theirs = process(size), process(size)
    held = [(mine, theirs)[number % 2].acquire() for number in range(size)]
    for slots in (mine, theirs):
        assert_none_free(slots)
    held.pop().release()

    theirs.acquire(clock.monotonic() + 1)


def test_a_slot_is_given_back_once(process):
    """Whoever gives it back again gives back nothing, least of all what another one holds by now."""
    mine, theirs = process(), process()
    slot = mine.acquire()
    slot.release()
    other = mine.acquire(clock.monotonic() + 1)
    slot.release()
    del slot

    assert_none_free(theirs)
    other.release()
    theirs.acquire(clock.monotonic() + 1)


@pytest.mark.parametrize("how", ["end", "return", "raise"])
def test_a_block_gives_it_back(process, how):
    """However the block ends, and not before."""
    mine, theirs = process(), process()

    def work():
        with mine.acquire():
            assert_none_free(theirs)
            if how == "raise":
                raise ValueError
            if how == "return":
                return

    with suppress(ValueError):
        work()
    theirs.acquire(clock.monotonic() + 1)


def test_a_slot_that_is_dropped(process):
    """It needs no garbage collector."""
    mine, theirs = process(), process()
    gc.disable()
    try:
        mine.acquire()
        theirs.acquire(clock.monotonic() + 1)
    finally:
        gc.enable()


def test_a_slot_outlives_the_object_that_gave_it(process):
    """It is held as long as somebody has it."""
    slot = process().acquire()
    gc.collect()
    assert_none_free(process())
    slot.release()

    process().acquire(clock.monotonic() + 1)


def test_many_threads_release_at_once(process):
    """Only one of them gives the slot back: the next holder's stays."""
    slots, other = process(), process()
    for _ in range(20):
        slot = slots.acquire()
        with ThreadPoolExecutor(8) as pool:
            releases = [pool.submit(slot.release) for _ in range(16)]
            taken = slots.acquire(clock.monotonic() + 2)
            [release.result() for release in releases]
        assert slots.held == 1
        assert_none_free(other, 0.002)
        taken.release()


def test_never_too_many_and_none_lost(process):
    """Three processes of four threads, some cancelled, some late: two slots are never three."""
    processes, holders = [process(2) for _ in range(3)], Holders()

    def work(seed):
        chance, slots = random.Random(seed), processes[seed % 3]
        for _ in range(40):
            token = CancelToken()
            if chance.random() < 0.2:
                start(token.cancel)
            try:
                slot = slots.acquire(clock.monotonic() + chance.random() / 20, [token])
            except (Cancelled, DeadlineExceeded):
                continue
            with holders.one_more():
                pass
            slot.release()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))

    assert 1 <= holders.most <= 2
    assert [slots.held for slots in processes] == [0, 0, 0]
    assert not any(slots._turns for slots in processes)
    _both = [process(2).acquire(clock.monotonic() + 1) for _ in range(2)]


# ---------------------------------------------------------------- who comes next


def test_processes_in_the_order_in_which_they_came(process):
    """The queue of the machine is served from the front; who holds a slot and wants another comes last."""
    holder, order = process(), []
    held, processes = holder.acquire(), [process() for _ in range(4)]

    def wait(slots, name):
        slot = slots.acquire()
        order.append(name)
        slot.release()

    threads = []
    for place, slots in enumerate([*processes, holder]):
        threads.append(start(wait, slots, place))
        until(lambda slots=slots, place=place: waits_at(slots, place))
    held.release()
    for thread in threads:
        thread.join(2)

    assert order == [0, 1, 2, 3, 4]


def test_calls_of_a_process_in_the_order_in_which_they_came(process):
    """Within a process the calls wait in a queue of its own."""
    slots = process()

    assert order_of_service(slots, 6, lambda: len(slots._turns)) == list(range(6))


def test_no_process_starves(process):
    """One call at a time gets its turns beside a process that has eight and takes them again at once."""
    greedy, modest, over = process(2), process(2), threading.Event()
    taken = []

    def take_again():
        while not over.is_set():
            with greedy.acquire():
                taken.append(clock.sleep(0.001))

    threads = [start(take_again) for _ in range(8)]
    until(lambda: len(taken) > 20)
    before = len(taken)
    for _ in range(10):
        modest.acquire(clock.monotonic() + 2).release()
    between = len(taken) - before
    over.set()
    for thread in threads:
        thread.join(2)

    assert between < 100


def test_a_process_that_is_stopped_in_the_queue(process, monkeypatch):
    """It keeps its place, and the others pass by: a slot that lies free is taken from any place."""
    monkeypatch.setattr(host_slots, "_LEFT_LYING", 0.03)
    stopped, slots = process(), process()
    for place in (0, 3):
        assert stopped._queue[place].take(stopped)
    began = clock.monotonic()
    slots.acquire(began + 2).release()

    assert clock.monotonic() - began >= 0.03
    assert not any(file.key for file in (*slots._queue, *slots._slots))


def test_more_processes_than_places(process, monkeypatch):
    """Who has found no place at all waits for the last one."""
    monkeypatch.setattr(host_slots, "_LEFT_LYING", 0.03)
    crowd, slots = process(), process()
    assert all(file.take(crowd) for file in crowd._queue)
    held = crowd.acquire(clock.monotonic() + 2)
    waiter = start(lambda: slots.acquire().release())
    until(lambda: bool(slots._turns))
    held.release()
    waiter.join(2)

    assert not waiter.is_alive()


def test_a_process_with_fewer_slots_in_front(process, monkeypatch):
    """It waits for one of its own; who has more takes what is left, up to the larger number in all."""
    monkeypatch.setattr(host_slots, "_LEFT_LYING", 0.03)
    few, many = process(1), process(3)
    held = few.acquire()
    waiter = start(lambda: few.acquire().release())
    until(lambda: waits_at(few, 0))
    taken = [many.acquire(clock.monotonic() + 2) for _ in range(2)]
    assert_none_free(many, 0.05)
    held.release()
    waiter.join(2)

    assert not waiter.is_alive()
    assert (few.held, many.held, len(taken)) == (0, 2, 2)


# ---------------------------------------------------------------- the end of a wait


def seconds_to_cancel(holder, slots, where):
    """Return how long a wait goes on after it was cancelled; check that nothing is left of it."""
    held, ahead, token, ended = holder.acquire(), CancelToken(), CancelToken(), []
    threads = []
    if where != "first":
        ahead_in = slots if where == "behind a call" else holder
        threads.append(start(wait_until_cancelled, ahead_in, ahead))
        until(lambda: waits_at(ahead_in, 0))

    def wait():
        with pytest.raises(Cancelled, match="while it waited for a slot of the machine"):
            slots.acquire(cancels=[CancelToken(), token])
        ended.append(clock.monotonic())

    threads.append(start(wait))
    until(lambda: len(slots._turns) == (2 if where == "behind a call" else 1))
    clock.sleep(0.03)
    began = clock.monotonic()
    token.cancel()
    until(lambda: ended)
    ahead.cancel()
    for thread in threads:
        thread.join(2)
    held.release()

    assert not slots._turns
    assert not any(file.key for file in (*slots._queue, *slots._slots))
    return ended[0] - began


@pytest.mark.parametrize("where", ["first", "behind a call", "behind a process"])
def test_a_wait_can_be_cancelled(process, where):
    """At once, from any place, and nothing is left of it; the best of some tries, for the machine is busy."""
    holder, slots = process(), process()

    assert min(seconds_to_cancel(holder, slots, where) for _ in range(3)) < AT_ONCE


def test_a_deadline_ends_a_wait(process):
    """The error says which bound it was, and of how many slots."""
    slots = process(2)
    _held = [slots.acquire() for _ in range(2)]
    began = clock.monotonic()
    with pytest.raises(DeadlineExceeded, match="waiting for one of the 2 slots of the machine") as caught:
        slots.acquire(began + 0.03)

    assert 0.03 <= clock.monotonic() - began < 1
    assert caught.value.limit == "slot"
    assert "larger deadline=" in caught.value.advice


def test_looks_become_rarer(process, monkeypatch):
    """The first of a process looks again after a millisecond, later every 25; the others do not look."""
    pauses, time = [], [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time[0])

    def wait(event, seconds, tokens):
        pauses.append(seconds)
        time[0] += seconds

    monkeypatch.setattr(host_slots, "wait_watched", wait)
    slots = process()
    _held = slots.acquire()
    with pytest.raises(DeadlineExceeded):
        slots.acquire(until=2.0)

    assert pauses[0] <= 0.001
    assert 0.0125 <= pauses[-2] <= 0.025 >= max(pauses)
    assert all(pause >= 0.0005 for pause in pauses[:-1])
    assert 80 < len(pauses) < 300


def test_who_releases_wakes_the_next_of_the_process(process, monkeypatch):
    """It does not wait for its next look."""
    monkeypatch.setattr(host_slots, "_SHORTEST", 10.0)
    monkeypatch.setattr(host_slots, "_LONGEST", 10.0)
    slots = process()
    held = slots.acquire()
    waiter = start(lambda: slots.acquire().release())
    until(lambda: waits_at(slots, 0))
    held.release()
    waiter.join(2)

    assert not waiter.is_alive()


def test_what_is_told_to_people(process, monkeypatch):
    """Only that others hold all slots is worth a word, and only after a while."""
    mine, theirs = process(), process()
    held, token = theirs.acquire(), CancelToken()
    waiters = [start(wait_until_cancelled, slots, token) for slots in (mine, theirs)]
    try:
        until(lambda: bool(mine._turns and theirs._turns))
        monkeypatch.setattr(host_slots, "_A_WHILE", 3600.0)
        assert not mine.is_kept_waiting
        monkeypatch.setattr(host_slots, "_A_WHILE", 0.02)
        until(lambda: mine.is_kept_waiting)
        assert not theirs.is_kept_waiting
    finally:
        token.cancel()
        for waiter in waiters:
            waiter.join(2)
    assert not mine.is_kept_waiting
    held.release()
