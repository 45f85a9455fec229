"""One thread watches all deadlines of a transport: on time, started when needed, gone when not."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.testing import chat_stream, stall
from foundry_rest.transport.session import deadlines as module
from foundry_rest.transport.session.deadlines import Deadlines
from foundry_rest.transport.session.socket_handle import SocketHandle

#: Threads that another test's transport left to linger.
earlier = set()


@pytest.fixture(autouse=True)
def _briefly(monkeypatch):
    """Let the thread go soon after its last deadline; look at this test's alone."""
    monkeypatch.setattr(module, "LINGER", 0.02)
    earlier.update(threads())


@pytest.fixture
def watch():
    """Give a watch that is closed in the end."""
    watch = Deadlines()
    yield watch
    watch.close()
    assert gone()


def threads():
    """Return the threads that watch deadlines."""
    named = {thread for thread in threading.enumerate() if thread.name == "foundry_rest deadlines"}
    return list(named - earlier)


def gone():
    """Wait for every watching thread; tell whether all are gone."""
    for thread in threads():
        thread.join(1)
    return not threads()


def ended_after(line, began):
    """Wait until a line is ended; return after how many seconds from ``began``, and by what."""
    while line.failure is None and time.monotonic() - began < 1:
        time.sleep(0.001)
    return time.monotonic() - began, type(line.failure)


def test_without_a_deadline_there_is_no_thread(watch):
    """Most calls have none and pay nothing."""
    line = watch.new_handle(float("inf"))

    assert (threads(), line.failure) == ([], None)


def test_each_deadline_is_met_in_any_order(watch):
    """A nearer deadline that comes later is not slept over."""
    began = time.monotonic()
    lines = {left: watch.new_handle(left) for left in (0.12, 0.04, 0.08, 1e12)}

    assert len(threads()) == 1
    for left in (0.04, 0.08, 0.12):
        seconds, why = ended_after(lines[left], began)
        assert abs(seconds - left) < 0.03
        assert why is DeadlineExceeded
    assert lines[1e12].failure is None


def test_calls_in_a_row_share_the_thread(watch):
    """It lingers a moment, then goes; the next deadline starts another."""
    watch.new_handle(5).release()
    (first,) = threads()
    line = watch.new_handle(0.04)

    assert threads() == [first]
    assert ended_after(line, time.monotonic())[1] is DeadlineExceeded
    assert gone()
    again = watch.new_handle(0.01)
    assert ended_after(again, time.monotonic())[1] is DeadlineExceeded


def test_what_is_over_is_not_ended(watch):
    """A line that was let go serves nobody any more, and one that was dropped is forgotten."""
    with watch._changed:  # the thread waits, so that a slow machine does not let the deadline pass first
        over = watch.new_handle(0.02)
        over.release()
    watch.new_handle(0.02)
    gc.collect()

    assert gone()
    assert over.failure is None


def test_close_ends_all_and_what_begins_later(watch):
    """Lines with and without a deadline, and one that comes after."""
    lines = [watch.new_handle(5), watch.new_handle(float("inf"))]
    watch.close()
    watch.close()
    lines.append(watch.new_handle(5))

    assert [type(line.failure) for line in lines] == [Cancelled] * 3
    assert gone()


def test_the_first_reason_stays():
    """A deadline that passes while the caller closes does not rename the end, nor the other way round."""
    line = SocketHandle()
    assert line.failure is None
    line.end(DeadlineExceeded)
    line.end(Cancelled)

    assert type(line.failure) is DeadlineExceeded


def test_a_thread_that_cannot_be_started(watch, monkeypatch):
    """The socket looks at its deadline itself, and the next call tries again to start the thread."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        first = watch.new_handle(5)
    second = watch.new_handle(0.01)

    assert (first.is_watched, second.is_watched) == (False, True)
    assert ended_after(second, time.monotonic())[1] is DeadlineExceeded


started = threading.Thread.start


def refuse(thread):
    """Refuse to start, as a process at its limit does; the server's threads are another process's."""
    if thread.name == "foundry_rest deadlines":
        raise RuntimeError("can't start new thread")
    started(thread)


def test_a_deadline_without_a_thread(server, monkeypatch):
    """It holds all the same."""
    server.on("POST", "/v1/chat/completions", chat_stream("a b c")[:2] + stall())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    client = FoundryAPIClient(server.url, model="m", dialect="2.x", retries=0, auto_load=False)
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.complete("Hi", deadline=0.2)
    monkeypatch.undo()
    client.close()

    assert time.monotonic() - began < 1
