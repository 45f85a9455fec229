"""Slots: what a client may do at once."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.forks import forks, in_child
from support.slots import Holders, order_of_service, start
from support.waits import until

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded
from foundry_rest.resilience import concurrency
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.testing import FakeClock
from foundry_rest.transport.cancellation import CancelToken


@pytest.mark.parametrize("size", [0, -1, 1.0, "8", True, None])
def test_the_size_is_checked(size):
    """Only a whole number above 0 is a size; the message shows what was given."""
    with pytest.raises(ConfigError, match="max_concurrency must be a whole number, 1 or more, not"):
        Slots(size)


def test_as_many_as_there_are():
    """Free slots are given at once."""
    slots = Slots(2)
    first, _second = slots.acquire(), slots.acquire()
    assert slots.free == 0
    first.release()
    assert slots.free == 1


def test_releasing_twice_counts_once():
    """Whoever gives a slot back again gives back nothing, from however many threads."""
    slots = Slots(1)
    slot = slots.acquire()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: slot.release(), range(64)))

    assert slots.free == 1


def test_first_come_first_served():
    """Those who wait get their slots in the order in which they came."""
    slots = Slots(1)

    assert order_of_service(slots, 8, lambda: slots.waiting) == list(range(8))
    assert (slots.free, slots.waiting) == (1, 0)


def test_nobody_overtakes():
    """A slot that comes free goes to the one who waits, not to the one who asks just then."""
    slots, order = Slots(1), []
    held = slots.acquire()
    waiter = start(lambda: order.append(slots.acquire()))
    until(lambda: slots.waiting == 1)
    held.release()

    with pytest.raises(DeadlineExceeded):
        slots.acquire(clock.monotonic())
    waiter.join(2)
    assert len(order) == 1


def test_a_deadline_on_the_wait():
    """Waiting ends with the deadline; the error says that it was the slot that took the time."""
    slots = Slots(1)
    _held = slots.acquire()
    with FakeClock().installed() as fake, pytest.raises(DeadlineExceeded) as caught:
        slots.acquire(fake.monotonic() + 3)

    assert (caught.value.limit, fake.slept, slots.waiting) == ("slot", [3.0], 0)
    assert "max_concurrency" in caught.value.advice


def test_a_deadline_that_has_passed():
    """Time that is over waits for nothing, and is no negative wait."""
    slots = Slots(1)
    _held = slots.acquire()
    with pytest.raises(DeadlineExceeded):
        slots.acquire(clock.monotonic() - 5)


@pytest.mark.parametrize("which", [0, 1])
def test_any_token_ends_the_wait(which):
    """Either token ends it at once, and nobody is left in the queue."""
    slots, tokens, raised = Slots(1), (CancelToken(), CancelToken()), []
    _held = slots.acquire()

    def wait():
        try:
            slots.acquire(cancels=tokens)
        except Cancelled as error:
            raised.append(error)

    waiter = start(wait)
    until(lambda: slots.waiting == 1)
    begun = clock.monotonic()
    tokens[which].cancel()
    waiter.join(2)

    assert clock.monotonic() - begun < 0.5
    assert len(raised) == 1
    assert slots.waiting == 0
    assert not any(token._watchers for token in tokens)


def test_a_slot_given_to_one_who_was_cancelled_is_handed_on(monkeypatch):
    """What is granted in the same moment as the cancel goes to the next in the queue."""
    slots, token, order = Slots(1), CancelToken(), []
    held = slots.acquire()
    second = start(lambda: (until(lambda: slots.waiting == 1), order.append(slots.acquire())))

    def wait(_, __):
        until(lambda: slots.waiting == 2)
        held.release()
        token.cancel()

    real, mine = clock.wait, threading.get_ident()

    def choose(*arguments):
        return (wait if threading.get_ident() == mine else real)(*arguments)

    monkeypatch.setattr(clock, "wait", choose)
    with pytest.raises(Cancelled):
        slots.acquire(cancels=(token,))
    monkeypatch.undo()
    second.join(2)

    assert len(order) == 1
    order[0].release()
    assert slots.free == 1


@pytest.mark.parametrize("is_granted", [False, True])
def test_ctrl_c_while_waiting_loses_no_slot(monkeypatch, is_granted):
    """Who is interrupted leaves the queue, and a slot that was just granted is given back."""
    slots = Slots(1)
    held = slots.acquire()

    def interrupted(event, seconds):
        if is_granted:
            held.release()
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slots.acquire()
    held.release()

    assert (slots.free, slots.waiting) == (1, 0)


def test_a_release_within_the_lock():
    """The garbage collector may end a stream, and so release, while this thread holds the lock."""
    slots = Slots(1)
    slot = slots.acquire()
    done = start(lambda: [slot.release() for _ in (0,) if slots._lock.acquire()])
    done.join(2)

    assert not done.is_alive()


def test_no_slot_is_lost():
    """16 threads, 500 times each, some cancelled, some late: never too many, all back at the end."""
    slots, holders = Slots(4), Holders()

    def work(seed):
        chance = random.Random(seed)
        for _ in range(500):
            token = CancelToken()
            if chance.random() < 0.3:
                start(token.cancel)
            try:
                slot = slots.acquire(clock.monotonic() + chance.random() / 100, (token,))
            except (Cancelled, DeadlineExceeded):
                continue
            with holders.one_more():
                pass
            slot.release()
            slot.release()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))

    assert holders.most <= 4
    assert (slots.free, slots.waiting) == (4, 0)


@forks
def test_a_forked_child_begins_anew():
    """The parent's holders, queue and lock are nothing to the child; a parent's slot frees nothing there."""
    slots = Slots(1)
    held = slots.acquire()

    def child():
        mine = slots.acquire(clock.monotonic() + 1)
        held.release()
        assert slots.free == 0
        mine.release()
        assert slots.free == 1

    with slots._lock:
        assert in_child(child) == 0
    assert slots.free == 0
    held.release()
    assert slots.free == 1


# ---------------------------------------------------------------- a limit that changes


def test_a_smaller_limit_takes_nothing_away():
    """Who holds a slot keeps it; slots that come back above the limit stay unused."""
    slots = Slots(4)
    held = [slots.acquire() for _ in range(4)]
    slots.limit = 2
    assert slots.free == 0
    held[0].release()
    held[1].release()
    assert slots.free == 0
    held[2].release()

    assert (slots.free, slots.limit) == (1, 2)


def test_a_larger_limit_serves_who_waits():
    """Those who wait get the new slots at once, in their order."""
    slots, order = Slots(4), []
    slots.limit = 1
    _held = slots.acquire()
    threads = [start(lambda: order.append(slots.acquire())) for _ in range(3)]
    until(lambda: slots.waiting == 3)
    slots.limit = 3
    until(lambda: len(order) == 2)
    assert slots.waiting == 1
    slots.limit = 4
    for thread in threads:
        thread.join(2)

    assert (slots.waiting, slots.free, len(order)) == (0, 0, 3)


@pytest.mark.parametrize("limit", [0, 5, "2", True, None])
def test_the_limit_is_checked(limit):
    """It is a whole number from 1 to the size."""
    slots = Slots(4)
    with pytest.raises(ConfigError, match="limit"):
        slots.limit = limit

    assert slots.limit == 4


def test_no_slot_is_lost_while_the_limit_moves():
    """Threads of both lanes take slots while the limit jumps: never too many, all back at the end."""
    slots, holders, moving = Slots(6), Holders(), [True]

    def move():
        chance = random.Random(1)
        while moving[0]:
            slots.limit = chance.randint(1, 6)
            clock.sleep(0.0005)

    def work(seed):
        chance = random.Random(seed)
        for _ in range(100):
            try:
                slot = slots.acquire(clock.monotonic() + chance.random(), (), chance.choice(["", "batch"]))
            except DeadlineExceeded:
                continue
            with holders.one_more():
                pass
            slot.release()

    mover = start(move)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    moving[0] = False
    mover.join(2)
    slots.limit = 6

    assert holders.most <= 6
    assert (slots.free, slots.waiting) == (6, 0)


# ---------------------------------------------------------------- two lanes


def queue(slots, *lanes):
    """Let one thread for each lane wait; return the list in which they note that they were served."""
    served = []

    def wait(lane):
        slot = slots.acquire(lane=lane)
        served.append(lane)
        slot.release()

    for lane in lanes:
        before = slots.waiting
        start(wait, lane)
        until(lambda before=before: slots.waiting == before + 1)
    return served


def test_interactive_before_batch():
    """Whoever came first, interactive calls are served before those of a batch."""
    slots = Slots(1)
    held = slots.acquire()
    served = queue(slots, "batch", "batch", "", "interactive")
    held.release()
    until(lambda: len(served) == 4)

    assert served == ["", "interactive", "batch", "batch"]
    assert (slots.free, slots.waiting) == (1, 0)


def test_a_batch_alone_waits_for_nothing():
    """With no interactive call under way a free slot is given at once, up to the limit."""
    slots = Slots(2)
    held = [slots.acquire(lane="batch") for _ in range(2)]

    assert (len(held), slots.free, slots.waiting) == (2, 0, 0)


def test_a_batch_begins_nothing_beside_an_interactive_call():
    """A free slot is not used while an interactive call is under way; its end lets the batch go on."""
    slots = Slots(8)
    held = slots.acquire()
    served = queue(slots, "batch")
    assert (served, slots.free) == ([], 7)
    held.release()
    until(lambda: served == ["batch"])


def test_an_interactive_call_beside_a_batch():
    """It waits for no call of a batch where a slot is free."""
    slots = Slots(2)
    _batch = slots.acquire(lane="batch")

    assert slots.acquire(clock.monotonic()) is not None


@pytest.mark.parametrize("seconds", [2.0, 5.0, 1000.0])
def test_a_long_interactive_call_holds_up_a_batch_for_a_moment_only(seconds):
    """A stream that stays open for long, as at a prompt, does not stop a batch after two seconds."""
    slots = Slots(8)
    with FakeClock().installed() as fake:
        _open = slots.acquire()
        fake.advance(seconds)
        assert slots.acquire(fake.monotonic(), lane="batch") is not None
        _later = slots.acquire()
        slots.acquire(fake.monotonic() + 10, lane="batch")

        assert 1.9 < sum(fake.slept) < 2.6


def test_a_batch_ages():
    """Where interactive calls never cease, a batch gets a slot every two seconds."""
    slots = Slots(1)
    with FakeClock().installed() as fake:
        for _ in range(3):
            held, before = slots.acquire(), fake.monotonic()
            turn = slots._join([], is_batch=True)
            while not turn.held:
                rival = slots._join([], is_batch=False)
                held.release()
                held.held = rival.held
                fake.advance(0.1)
            assert 1.9 < fake.monotonic() - before < 2.3
            slots._leave(rival)
            slots.give_back(turn.held)
            held.release()

    assert (slots.free, slots.waiting) == (1, 0)


def test_a_batch_has_the_time_of_its_deadline():
    """The bound on the wait is for interactive calls: a batch waits behind them as long as it takes."""
    slots = Slots(1)
    _held = slots.acquire()
    with FakeClock().installed() as fake:
        with pytest.raises(DeadlineExceeded, match="none came within"):
            slots.acquire()
        begun = fake.monotonic()
        with pytest.raises(DeadlineExceeded, match="deadline passed"):
            slots.acquire(begun + 5000, lane="batch")

        assert fake.monotonic() - begun == pytest.approx(5000)


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("lane", ["", "batch"])
def test_a_signal_that_strikes_while_slots_are_handed_out(monkeypatch, lane, nth):
    """Before the slot is back or on its way to the next: nobody is left asleep beside a free slot."""
    slots = Slots(1)
    held = slots.acquire()
    served = queue(slots, lane)

    real, moves = concurrency._move, []

    def strike(source, target):
        moves.append(target)
        if len(moves) == nth:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(concurrency, "_move", strike)
    with pytest.raises(KeyboardInterrupt):
        held.release()
    monkeypatch.undo()
    held.release()
    until(lambda: served == [lane])

    assert (slots.free, slots.waiting) == (1, 0)


@pytest.mark.parametrize("nth", range(1, 7))
def test_a_release_while_slots_are_handed_out(monkeypatch, nth):
    """The slot of a stream that the garbage collector ends in between is not lost, nor given twice."""
    slots = Slots(3)
    first, second, third = (slots.acquire() for _ in range(3))
    served = queue(slots, "", "batch")
    real, seen, tokens = clock.monotonic, [], []

    def collected():
        seen.append(1)
        if len(seen) == nth and slots._lock.acquire(blocking=False):
            slots._lock.release()
            second.release()
        return real()

    leave = slots._leave
    monkeypatch.setattr(clock, "monotonic", collected)
    monkeypatch.setattr(slots, "_leave", lambda turn: (tokens.append(len(turn.held)), leave(turn)))
    first.release()
    monkeypatch.undo()
    second.release()
    third.release()
    until(lambda: sorted(served) == ["", "batch"])
    until(lambda: slots.free == 3)

    assert slots.waiting == 0
    assert max(tokens) == 1
