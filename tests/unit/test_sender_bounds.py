"""What bounds a call: slots, the breaker, the budget, cancellation, and how often a connection may die."""

from __future__ import annotations

import gc

import pytest
from support.senders import CALL, FAILURE, NEUTRAL, OK, REFUSED, SUCCESS, AnyTarget, Bench, OneTarget, died

from foundry_rest.client import FoundryAPIClient
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    CircuitOpen,
    DeadlineExceeded,
    ServerError,
    ServiceUnreachable,
    StreamInterrupted,
    ToolCallFailed,
)
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.slot_lease import LeasedReply
from foundry_rest.resilience.terms import Terms
from foundry_rest.stream import ChatStream
from foundry_rest.testing import (
    DEMO_MODEL,
    FakeOpenReply,
    FakeSender,
    FaultServer,
    chat_stream,
    cut,
)
from foundry_rest.transport.call import Call, Options

# ---------------------------------------------------------------- slots


@pytest.mark.parametrize(
    ("item", "raised"),
    [(OK, None), (BadRequest("x", status=400), BadRequest), (KeyboardInterrupt, KeyboardInterrupt)],
)
def test_a_slot_is_taken_first_and_always_given_back(time, item, raised):
    """The breaker is asked within the slot, and however the attempt ends the slot is free again."""
    bench = Bench(item)
    if raised is None:
        assert bench.sender.send(CALL) is OK
    else:
        with pytest.raises(raised):
            bench.sender.send(CALL)

    assert bench.breaker.free == [0]
    assert bench.slots.free == 1


def test_each_attempt_takes_a_slot_anew(time):
    """While a call waits to try again, its slot serves others."""
    bench = Bench(REFUSED, OK)
    free = []
    time.sleep, real = lambda seconds: (free.append(bench.slots.free), real(seconds)), time.sleep
    bench.sender.send(CALL)

    assert (bench.breaker.free, free, bench.slots.free) == ([0, 0], [1], 1)


def test_a_refusal_leaves_at_once(time):
    """CircuitOpen is not retried: it says itself when to come back."""
    bench = Bench(refusal=CircuitOpen("open", retry_in=7.5))
    with pytest.raises(CircuitOpen) as caught:
        bench.sender.send(CALL)

    assert (caught.value.retry_in, len(caught.value.attempts)) == (7.5, 1)
    assert (bench.inner.calls, time.slept, bench.breaker.seen, bench.slots.free) == ([], [], [], 1)


def test_the_wait_for_a_slot_keeps_to_the_deadline(time):
    """A call that never got its slot names it, and is not tried again."""
    bench = Bench(OK)
    _held = bench.slots.acquire()
    with pytest.raises(DeadlineExceeded) as caught:
        bench.sender.send(Call("GET", "/x", options=Options(until=time.monotonic() + 2)))

    assert (caught.value.limit, time.slept, bench.inner.calls) == ("slot", [2.0], [])


@pytest.mark.parametrize("end", ["finish", "close"])
def test_a_stream_keeps_its_slot(time, end):
    """Until it is read to its end or abandoned; then it gives the slot back, once."""
    opened = FakeOpenReply([b"1"])
    bench = Bench(opened)
    held = bench.sender.open(CALL)
    held.set_idle(3)
    assert (list(held), bench.slots.free, opened.idle) == ([b"1"], 0, [3])
    assert (held.headers, held.url) == (opened.headers, opened.url)
    getattr(held, end)()
    held.close()

    assert bench.slots.free == 1
    assert opened.finished is (end == "finish")


def test_a_dropped_stream_gives_its_slot_back(time):
    """What nobody reads any more ends with the garbage collector."""
    bench = Bench(FakeOpenReply([b"1"]))
    stream = ChatStream(bench.sender.open(CALL), Operation(CALL, lambda event: None), time.monotonic())
    circle = [stream]
    circle.append(circle)
    del stream, circle
    gc.collect()

    assert bench.slots.free == 1


def test_no_bounds_at_all(time):
    """Without slots and breaker a call and a stream go straight through."""
    opened = FakeOpenReply([b"1", StreamInterrupted("cut")])
    sender = ResilientSender(FakeSender([OK, opened]), Terms(RetryPolicy(), OneTarget()))
    assert sender.send(CALL) is OK
    held = sender.open(CALL)
    with pytest.raises(StreamInterrupted):
        list(held)
    held.close()
    sender.close()

    assert opened.closed
    assert sender.terms.bounds.closing.cancelled


# ---------------------------------------------------------------- what the breaker is told


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ([OK], [SUCCESS]),
        ([REFUSED, OK], [FAILURE, SUCCESS]),
        ([BadRequest("x", status=400)], [NEUTRAL]),
        ([ServerError("x", status=502)] * 3, [FAILURE, NEUTRAL, NEUTRAL]),
        ([ToolCallFailed("bad tool call", status=500)] * 3, [NEUTRAL] * 3),
        ([REFUSED] * 4, [FAILURE] * 4),
        ([ServerError("x", status=502), REFUSED, OK], [FAILURE, FAILURE, SUCCESS]),
        ([KeyboardInterrupt], [NEUTRAL]),
        ([Cancelled("x")], [NEUTRAL]),
        ([DeadlineExceeded("x")], [NEUTRAL]),
    ],
)
def test_what_is_told(time, script, told):
    """Each attempt is reported once, by its own ticket; answers with a status count once per call."""
    bench = Bench(*script)
    try:
        bench.sender.send(CALL)
    except BaseException as error:  # noqa: BLE001  # Ctrl-C is one of the rows
        assert type(error) in {type(item) for item in script} | {script[-1]}  # noqa: PT017

    assert bench.breaker.seen == list(enumerate(told, 1))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ([StreamInterrupted("cut")], [FAILURE]),
        ([died()], [FAILURE]),
        ([Cancelled("closed")], [NEUTRAL]),
        ([], []),
    ],
)
def test_a_break_after_the_first_event(time, end, told):
    """A stream that breaks is a failure, that is ended from elsewhere tells nothing, whenever it opened."""
    bench = Bench(FakeOpenReply([b"1", *end]))
    held = bench.sender.open(CALL)
    try:
        list(held)
    except (StreamInterrupted, ServiceUnreachable, Cancelled) as error:
        held.fail(error)
    finally:
        held.close()

    assert bench.breaker.seen == [(1, outcome) for outcome in told]


def test_a_stream_that_the_user_closes(time):
    """Giving up on an answer says nothing about the service."""
    bench = Bench(FakeOpenReply([b"1", b"2"]))
    held = bench.sender.open(CALL)
    events = iter(held)
    next(events)
    held.close()
    events.close()

    assert bench.breaker.seen == []
    assert isinstance(held, LeasedReply)


def test_a_real_breaker_opens(time):
    """Five failures in a row, over as many calls as it takes; then nothing reaches the wire."""
    inner = FakeSender([REFUSED] * 9)
    breaker = Breaker(BreakerPolicy(), address="http://h")
    sender = ResilientSender(inner, Terms(RetryPolicy(), OneTarget(AnyTarget("http://h", breaker))))
    with pytest.raises(ServiceUnreachable):
        sender.send(CALL)
    with pytest.raises(CircuitOpen) as caught:
        sender.send(CALL)

    assert len(inner.calls) == 5
    assert caught.value.retry_in == pytest.approx(30, abs=1)
    assert [attempt.error for attempt in caught.value.attempts] == ["ServiceUnreachable", "CircuitOpen"]
    assert isinstance(caught.value.__cause__, ServiceUnreachable)


def test_a_stream_that_comes_whole(time):
    """Success is told at the end, once."""
    bench = Bench(FakeOpenReply([b"1", b"2"]))
    held = bench.sender.open(CALL)
    list(held)
    held.finish()

    assert bench.breaker.seen == [(1, SUCCESS)]


def test_streams_that_break_in_the_middle_open_the_circuit():
    """A service that begins every answer and finishes none is found out."""
    with FaultServer() as server, FoundryAPIClient(server.url, retries=0, auto_load=False) as client:
        server.on("POST", "/v1/chat/completions", chat_stream("one two")[:3] + cut())
        for _ in range(5):
            with pytest.raises(StreamInterrupted):
                client.complete("Hello", model=DEMO_MODEL)
        with pytest.raises(CircuitOpen):
            client.complete("Hello", model=DEMO_MODEL)

        assert len(server.asked("/v1/chat/completions")) == 5


def test_a_failure_found_by_reading():
    """What only the reader sees, such as an error event, is a failure, however tidily the stream ends."""
    bench = Bench(FakeOpenReply([b"1"]))
    held = bench.sender.open(CALL)
    list(held)
    held.fail(ServerError("out of memory", status=500))
    held.finish()

    assert bench.breaker.seen == [(1, FAILURE)]


def test_a_failure_names_the_address(time):
    """One that does not know where it happened has the address of the attempt's target."""
    bench = Bench(DeadlineExceeded("too late"))
    with pytest.raises(DeadlineExceeded) as caught:
        bench.sender.send(CALL)

    assert caught.value.url == "http://h"
