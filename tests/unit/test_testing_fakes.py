"""The doubles without I/O do what they are told and record what they are asked."""

from __future__ import annotations

import contextlib

import pytest

from foundry_rest import clock
from foundry_rest.testing import FakeClock, FakeOpenReply, FakeSender


def test_time_passes_only_when_told():
    """``sleep`` and ``advance`` move both clocks; only ``sleep`` is recorded."""
    fake = FakeClock(start=10.0, epoch=100.0)
    fake.sleep(1.5)
    fake.advance(2.0)

    assert (fake.monotonic(), fake.now(), fake.slept) == (13.5, 103.5, [1.5])


def test_time_does_not_go_back():
    """A negative sleep is an error, as for the real one, and is not recorded."""
    fake = FakeClock()
    with pytest.raises(ValueError, match="does not go back"):
        fake.sleep(-1)

    assert fake.slept == []


def test_the_clock_takes_the_real_ones_place_for_a_block():
    """All three names of ``foundry_rest.clock`` are replaced and given back, also after an error."""
    real = (clock.monotonic, clock.sleep, clock.now)
    with contextlib.suppress(KeyError), FakeClock(start=5.0).installed() as fake:
        clock.sleep(1.0)
        seen = (clock.monotonic(), clock.now())
        raise KeyError

    assert seen == (6.0, fake.now())
    assert (clock.monotonic, clock.sleep, clock.now) == real


def test_a_sender_follows_its_script():
    """Values are returned, exceptions raised, functions called with the call."""
    sender = FakeSender([1, KeyError("gone"), TimeoutError, lambda call: call * 2, _late])

    assert sender.send("a") == 1
    for error in (KeyError, TimeoutError):
        with pytest.raises(error):
            sender.send("b")
    assert sender.open("c") == "cc"
    with pytest.raises(KeyError, match="d"):
        sender.open("d")
    assert (sender.calls, sender.opened) == (["a", "b", "b", "c", "d"], ["c", "d"])


def _late(call):
    return KeyError(call)


def test_a_sender_that_runs_out_says_so():
    """One call too many is a failed test, and is on record."""
    sender = FakeSender([1])
    sender.send("a")
    with pytest.raises(AssertionError, match="ran out of script at call 2: 'b'"):
        sender.send("b")

    assert sender.calls == ["a", "b"]


def test_a_sender_counts_what_is_left_and_takes_more():
    """``remaining`` shows that a script was used up; ``enqueue`` goes on with it."""
    sender = FakeSender([1])
    sender.enqueue(2, 3)
    sender.send("a")

    assert sender.remaining == 2
    assert [sender.send("b"), sender.send("c")] == [2, 3]


def test_a_sender_notes_that_it_was_closed():
    """Owners close what they were given."""
    sender = FakeSender()
    assert not sender.closed
    sender.close()

    assert sender.closed


def test_an_open_reply_yields_breaks_and_acts_in_its_place():
    """Data are yielded, functions called when their turn comes, exceptions raised there."""
    done = []
    reply = FakeOpenReply([b"1", lambda: done.append("acted"), lambda: b"2", ConnectionError("cut")])
    seen = []
    with pytest.raises(ConnectionError, match="cut"):
        seen.extend(reply)

    assert (seen, done) == ([b"1", b"2"], ["acted"])


def test_an_open_reply_records_how_it_was_ended():
    """Finishing, closing and bounds on silence are on record; headers and address can be given."""
    reply = FakeOpenReply([], {"x": "1"}, "http://127.0.0.1:1")
    reply.set_idle(2.0)
    reply.finish()
    reply.close()

    assert (reply.idle, reply.finished, reply.closed) == ([2.0], True, True)
    assert (reply.headers, reply.url) == ({"x": "1"}, "http://127.0.0.1:1")
    assert FakeOpenReply([]).headers["content-type"] == "text/event-stream"
