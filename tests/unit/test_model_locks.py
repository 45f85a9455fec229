"""Requests on a model and its way out of memory are kept apart."""

from __future__ import annotations

import gc
import os
import threading

import pytest

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.resilience.model_locks import ModelLocks, _ExclusiveLock
from foundry_rest.transport.cancellation import CancelToken


@pytest.fixture
def uses():
    """Nothing is under way."""
    return ModelLocks()


def in_thread(work):
    """Start ``work`` in a thread; return it and the list that its result comes into."""
    results: list[object] = []

    def run():
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  # what it raises is the result
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def soon(seconds: float = 0.01) -> float:
    """Return an instant that comes soon."""
    return clock.monotonic() + seconds


def test_nothing_runs(uses):
    """An unused model is dropped at once, even when the time is over."""
    with uses.exclusive(lambda model: True, until=0.0):
        pass


def test_a_drop_waits_for_the_running_request(uses):
    """The block begins when the last request on the model has ended."""
    first, second = uses.shared("m"), uses.shared("m")
    order: list[str] = []

    def drop():
        with uses.exclusive(lambda model: model == "m", soon(5)):
            order.append("dropped")

    thread, _ = in_thread(drop)
    for use in (first, second):
        order.append("ended")
        use.release()
    thread.join(5)

    assert order == ["ended", "ended", "dropped"]


def test_other_models_are_not_waited_for(uses):
    """Only requests that a name covers count, and only those are held back."""
    _held = uses.shared("other")
    with uses.exclusive(lambda model: model == "m", soon()):
        _held = uses.shared("other", soon()).release()


def test_a_request_waits_while_the_model_is_dropped(uses):
    """What begins meanwhile begins when the model is gone."""
    with uses.exclusive(lambda model: model == "m", soon()):
        thread, results = in_thread(lambda: uses.shared("m", soon(5)))
        assert not results
    thread.join(5)

    assert results[0].model == "m"


def test_time_is_bounded(uses):
    """Neither side waits longer than it may; the error says what to do."""
    _held = uses.shared("m")
    with pytest.raises(DeadlineExceeded, match="Close open streams") as caught:
        uses.exclusive(lambda model: True, soon()).__enter__()
    assert caught.value.limit == "in use"
    uses.shared("m", soon())  # who gave up holds nobody back

    blocked = ModelLocks()
    with blocked.exclusive(lambda model: True, soon()), pytest.raises(DeadlineExceeded, match="unloaded"):
        blocked.shared("m", soon())


def test_cancellation_ends_both_waits(uses):
    """A token ends the waiting of its own call."""
    token = CancelToken()
    _held = uses.shared("m")
    thread, results = in_thread(lambda: uses.exclusive(lambda model: True, soon(5), [token]).__enter__())
    token.cancel()
    thread.join(5)
    assert isinstance(results[0], Cancelled)

    other = ModelLocks()
    with other.exclusive(lambda model: True, soon()):
        thread, results = in_thread(lambda: other.shared("m", soon(5), [token]))
        thread.join(5)
    assert isinstance(results[0], Cancelled)


def test_an_end_counts_once(uses):
    """A stream that is closed twice ends one use."""
    one, other = uses.shared("m"), uses.shared("m")
    one.release()
    one.release()

    with pytest.raises(DeadlineExceeded):
        uses.exclusive(lambda model: True, soon()).__enter__()
    other.release()
    with uses.exclusive(lambda model: True, soon()):
        pass


def test_an_end_within_the_lock(uses):
    """The garbage collector may end a use in the thread that holds the lock."""
    doomed = [uses.shared("m")]

    def covers(_):
        if doomed:
            doomed.pop().release()
            gc.collect()
        return False

    uses._exclusive.append(_ExclusiveLock(covers))
    assert uses.shared("m").model == "m"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_begins_anew(uses):
    """The parent's requests hold nothing up in the child, and what the child ends counts nowhere else."""
    use = uses.shared("m")
    child = os.fork()
    if not child:
        use.release()
        with uses.exclusive(lambda model: True, soon()):
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

    with pytest.raises(DeadlineExceeded):
        uses.exclusive(lambda model: True, soon()).__enter__()
