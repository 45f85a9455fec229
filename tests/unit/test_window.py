"""The bounded window: order, bounds, prompt results, and an end that leaves no thread behind."""

from __future__ import annotations

import contextvars
import itertools
import threading
import tracemalloc
from contextlib import suppress

import pytest
from support.forks import forks, in_child
from support.waits import until

from foundry_rest import clock
from foundry_rest.endpoints import window
from foundry_rest.endpoints.window import Window
from foundry_rest.errors import Cancelled


@pytest.fixture(autouse=True)
def _leaves_no_thread():
    """Fail a test after which a thread of a window still runs."""
    yield
    assert not workers()


@pytest.fixture
def quick(monkeypatch):
    """Make silences short."""
    monkeypatch.setattr(window, "TICK", 0.01)


def workers() -> list[threading.Thread]:
    """Return the threads of windows."""
    return [thread for thread in threading.enumerate() if thread.name == "foundry_rest-window"]


def flat(groups):
    """Yield each result of the groups."""
    for group in groups:
        yield from group


def double(number):
    """Return twice a number."""
    return 2 * number


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 300])
@pytest.mark.parametrize("ordered", [False, True])
def test_each_item_once(size, count, ordered):
    """Each item has one result, whatever the size; in order when asked for, and always with one thread."""
    found = list(flat(Window(double, range(count), size, ordered=ordered).groups()))

    assert sorted(found) == [2 * number for number in range(count)]
    if ordered or size == 1:
        assert found == sorted(found)


def test_size_is_the_number_of_calls():
    """Just so many calls run at a time, and no thread more is made than there are items."""
    gate, running, most = threading.Barrier(3), [], []

    def call(number):
        running.append(number)
        most.append(len(running))
        gate.wait(5)
        running.remove(number)

    assert len(list(flat(Window(call, range(9), 3).groups()))) == 9
    assert max(most) == 3
    groups = Window(double, range(2), 64).groups()
    next(groups)
    assert len(workers()) <= 2
    groups.close()


def test_order_in_spite_of_time():
    """Results that are early wait for those before them."""
    gates = [threading.Event() for _ in range(4)]

    def call(number):
        gates[number].wait(5)
        if number:
            gates[number - 1].set()
        return number

    gates[3].set()

    assert list(flat(Window(call, range(4), 4, ordered=True).groups())) == [0, 1, 2, 3]


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(("ordered", "factor"), [(False, 2), (True, 16)])
def test_read_ahead_is_bounded(quick, ordered, factor):
    """While nothing is done, or all wait for the first item, so many items are taken and no more."""
    gate, taken = threading.Event(), []

    def items():
        for number in itertools.count():
            taken.append(number)
            yield number

    def call(number):
        if not ordered or not number:
            gate.wait(5)
        return number

    groups = Window(call, items(), 3, ordered=ordered).groups()
    while len(taken) < 3 * factor:
        assert next(groups) == []
    for _ in range(3):
        assert next(groups) == []
    assert len(taken) == 3 * factor
    gate.set()
    found = list(itertools.islice(flat(groups), 100))
    groups.close()

    assert sorted(found) == found if ordered else len(set(found)) == 100


def test_results_wait_for_a_slow_reader():
    """Nothing is taken while nobody asks for results: a reader that stops stops the source."""
    taken = []
    groups = Window(double, (taken.append(number) or number for number in itertools.count()), 2).groups()
    next(groups)
    before = len(taken)
    done = threading.Event()
    assert not done.wait(0.02)
    groups.close()

    assert len(taken) == before <= 4


@pytest.mark.parametrize("ordered", [False, True])
def test_an_endless_source_needs_constant_memory(ordered):
    """After 5,000 items of an endless generator nothing is held that was not after 1,000."""
    results = flat(Window(double, itertools.count(), 4, ordered=ordered).groups())
    for _ in range(1000):
        next(results)
    tracemalloc.start()
    try:
        for _ in range(4000):
            next(results)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        results.close()

    assert held < 100_000


# ---------------------------------------------------------------- time


def test_a_slow_source_does_not_hold_results_back():
    """A result that is there is given before the next item but one is waited for."""
    given: list[int] = []
    given_before: list[int] = []

    def items():
        for number in range(5):
            given_before.append(len(given))
            yield number
            until(lambda: not made._done.empty())  # the next item comes after the result of this one

    made = Window(double, items(), 2)
    for result in flat(made.groups()):
        given.append(result)  # noqa: PERF402 (the source looks at it)

    assert given == [0, 2, 4, 6, 8]
    assert given_before == [0, 0, 1, 2, 3]


def test_silence_is_an_empty_group(quick):
    """While no result comes the caller is given an empty group, so that it can look at the time."""
    gate = threading.Event()
    groups = Window(lambda _: gate.wait(5), [1], 1).groups()

    assert next(groups) == []
    gate.set()
    assert list(flat(groups)) == [True]


def test_gathered_results_are_one_group(monkeypatch):
    """With ``gather`` what comes within that time is given together, and more is read ahead."""
    taken, slept, gate, gathered = [], [], threading.Event(), threading.Event()

    def items():
        for number in range(20):
            taken.append(number)
            if number == 19:
                gate.set()
            yield number

    def call(number):
        gate.wait(5)
        if number == 19:
            gathered.set()
        return number

    monkeypatch.setattr(clock, "sleep", lambda seconds: slept.append(seconds) or gathered.wait(5))
    found = list(Window(call, items(), 2, gather=0.5).groups())

    assert set(slept) == {0.5}
    assert len(found[0]) >= 17
    assert sorted(itertools.chain(*found)) == list(range(20))


def test_gathering_fills_all_the_room(monkeypatch):
    """Between two groups everything that there is room for is read, though results wait already."""
    pause = clock.sleep

    def gather(seconds):
        while window._done.qsize() < window._taken - window._given - 1:  # all but the one that was taken out
            pause(0.001)

    def items():
        for number in range(300):
            yield number
            while window._done.empty() and window._taken > window._given:
                pause(0.001)

    monkeypatch.setattr(clock, "sleep", gather)
    window = Window(lambda number: number, items(), 1, gather=0.5)
    sizes = [len(group) for group in window.groups()]

    assert sum(sizes) == 300
    assert len(sizes) <= 300 // 60 + 1


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("ordered", [False, True])
def test_closing_waits_for_calls_under_way(quick, ordered):
    """After a close no call runs, none begins, and what waited for a thread is dropped."""
    begun, ended, gate = [], [], threading.Event()

    def call(number):
        begun.append(number)
        gate.wait(5)
        ended.append(number)

    groups = Window(call, itertools.count(), 2, ordered=ordered).groups()
    while len(begun) < 2:
        assert next(groups) == []
    closing = threading.Thread(target=groups.close)
    closing.start()
    assert not threading.Event().wait(0.02)
    assert closing.is_alive()
    assert not ended
    gate.set()
    closing.join(5)

    assert sorted(ended) == sorted(begun) == [0, 1]
    assert not workers()


class Odd(BaseException):
    """What is no Exception."""


@pytest.mark.parametrize("error", [ValueError("no"), Odd("no"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["function", "items"])
@pytest.mark.parametrize("ordered", [False, True])
def test_errors_are_raised_to_the_caller(error, where, ordered):
    """What the function or the iterable raises comes out here, as it is, and ends the window."""

    def call(number):
        if where == "function" and number == 5:
            raise error
        return number

    def items():
        for number in itertools.count():
            if where == "items" and number == 5:
                raise error
            yield number

    results = flat(Window(call, items(), 2, ordered=ordered).groups())
    with pytest.raises(type(error)) as raised:
        list(results)

    assert raised.value is error
    assert list(results) == []


@pytest.mark.parametrize("ordered", [False, True])
def test_nothing_is_called_after_an_error(ordered):
    """No further item is begun once the function has raised: nobody would take its result."""
    called = []

    def fail(number):
        called.append(number)
        raise ZeroDivisionError

    groups = Window(fail, range(100), 1, ordered=ordered, gather=0.01).groups()
    with pytest.raises(ZeroDivisionError):
        next(groups)

    assert called == [0]


def refuse_threads(monkeypatch, after: int) -> None:
    """Let only so many threads start."""
    starts = itertools.count()
    start = threading.Thread.start

    def limited(thread):
        if thread.name == "foundry_rest-window" and next(starts) >= after:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)


def test_fewer_threads_than_asked_for(monkeypatch):
    """Where the system gives fewer threads, those that run do the work."""
    refuse_threads(monkeypatch, 2)

    assert sorted(flat(Window(double, range(100), 8).groups())) == [2 * number for number in range(100)]


def test_no_thread_at_all(monkeypatch):
    """Without a single thread the system's error comes out: nobody would ever answer."""
    refuse_threads(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(Window(double, range(3), 8).groups())


def test_nothing_begins_before_the_first_step():
    """Making the iterator takes no item and starts no thread."""
    taken = []
    groups = Window(double, (taken.append(1) or 1 for _ in range(3)), 2).groups()

    assert not taken
    groups.close()
    assert not taken


# ---------------------------------------------------------------- forks


@forks
@pytest.mark.parametrize("work", [list, lambda groups: groups.close()], ids=["goes on", "closes"])
def test_a_forked_child_leaves_the_window_to_its_parent(work):
    """A child neither reads items, nor starts threads, nor ends the calls: all of it is the parent's."""
    read, ended = [], []

    def items():
        for number in range(100):
            read.append(number)
            yield number

    groups = Window(double, items(), 8, end_calls=lambda: ended.append(1)).groups()
    found = list(next(groups))
    before = len(read)

    def in_the_child():
        with suppress(Cancelled):
            work(groups)
        assert (len(read), ended, len(threading.enumerate())) == (before, [], 1)

    assert in_child(in_the_child) == 0
    found += flat(groups)
    assert sorted(found) == [2 * number for number in range(100)]
    assert ended == [1]


# ---------------------------------------------------------------- the caller's context


def test_the_context():
    """The function sees the caller's context, and what it changes there nobody else sees."""
    variable = contextvars.ContextVar("variable", default="")
    variable.set("the caller's")
    barrier = threading.Barrier(4, timeout=5)

    def change(number):
        seen = variable.get()
        variable.set(f"{number}")
        barrier.wait()
        mine = variable.get()
        variable.set(seen)
        return seen, mine == f"{number}"

    found = list(flat(Window(change, range(8), 4).groups()))

    assert found == [("the caller's", True)] * 8
    assert variable.get() == "the caller's"
