"""What ends a batch early: who asks first, how long calls have, how long a service may be away."""

from __future__ import annotations

import threading

import pytest

from foundry_rest import clock
from foundry_rest.batch.stop import INTERRUPTED, OUT_OF_TIME, SERVICE_DOWN, TERMINATED, Outage, Stop
from foundry_rest.errors import (
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    ExecutorBroken,
    InvalidReply,
    ServerError,
    ServiceNotFound,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
    TransportError,
)


def test_nobody_has_asked():
    """At the start there is no reason, and nothing ends."""
    stop = Stop()
    stop.check()

    assert stop.reason == ""
    assert not stop.asked.cancelled
    assert not stop.now.cancelled


def test_the_first_reason_counts(time):
    """Nothing more is sent; what is under way goes on, and a later reason does not replace the first."""
    stop = Stop()
    stop.ask(INTERRUPTED)
    stop.ask(SERVICE_DOWN)
    time.advance(1e6)
    stop.check()

    assert stop.reason == INTERRUPTED
    assert stop.asked.cancelled
    assert not stop.now.cancelled


def test_grace(time):
    """What is under way is ended when the grace is over, to the second."""
    stop = Stop()
    stop.ask(TERMINATED, 10)
    time.advance(9.9)
    stop.check()
    assert not stop.now.cancelled
    time.advance(0.1)
    stop.check()
    assert stop.now.cancelled


@pytest.mark.parametrize("graces", [(10, 2), (2, 10)])
def test_the_shorter_grace_counts(time, graces):
    """Whoever gives less time is heard, before or after another: SIGTERM after Ctrl-C ends in time."""
    stop = Stop()
    for grace in graces:
        stop.ask(TERMINATED, grace)
    time.advance(2)
    stop.check()

    assert stop.now.cancelled


def test_no_grace(time):
    """A grace of 0 ends what is under way at the next look."""
    stop = Stop()
    stop.ask(OUT_OF_TIME, 0)
    stop.check()

    assert stop.now.cancelled


# ---------------------------------------------------------------- outages


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (CircuitOpen("open"), True),
        (ServiceNotFound("none"), True),
        (ServiceUnreachable("refused", sent=False), True),
        (ServiceTimeout("no connection", sent=False), True),
        (ServiceUnreachable("reset", sent=True), False),
        (ServiceTimeout("silent", sent=True), False),
        (StreamInterrupted("cut"), False),
        (TransportError("odd"), False),
        (DeadlineExceeded("late"), False),
        (ServerError("no", status=503), False),
        (InvalidReply("what"), False),
        (ConfigError("wrong"), False),
        (Cancelled("ended"), False),
    ],
)
def test_what_is_an_outage(error, is_one):
    """Only what says that no service was there: a request that may have begun has failed."""
    assert Outage(300, Stop()).is_one(error) is is_one


REFUSED = ServiceUnreachable("refused", sent=False)


def test_an_outage_is_waited_for(time):
    """While nothing listens there is a try each second; the batch stops when the longest time is over."""
    stop = Stop()
    outage = Outage(10, stop)
    waits = 0
    while outage.wait(REFUSED):
        waits += 1
        assert not stop.asked.cancelled

    assert (waits, sum(time.slept)) == (10, 10)
    assert stop.reason == SERVICE_DOWN
    assert outage.error is REFUSED
    assert not stop.now.cancelled


@pytest.mark.parametrize(("retry_in", "slept"), [(7.0, 7.0), (0.5, 0.5), (0.0, 0.01), (500.0, 60.0)])
def test_an_open_circuit_says_how_long(time, retry_in, slept):
    """The next try is when the circuit lets a probe pass, and at the latest when the time is over."""
    outage = Outage(60, Stop())

    assert outage.wait(CircuitOpen("open", retry_in=retry_in))
    assert time.slept == [slept]


def test_the_last_wait_is_cut(time):
    """The last try comes exactly when the longest time is over."""
    outage = Outage(1.5, Stop())

    assert outage.wait(REFUSED)
    assert outage.wait(REFUSED)
    assert not outage.wait(REFUSED)
    assert time.slept == [1.0, 0.5]


def test_an_answer_ends_an_outage(time):
    """After an answer the time begins anew."""
    stop = Stop()
    outage = Outage(10, stop)
    outage.end()
    for _ in range(9):
        assert outage.wait(REFUSED)
    outage.end()
    assert outage.error is None
    for _ in range(10):
        assert outage.wait(REFUSED)
    assert not outage.wait(REFUSED)
    assert stop.reason == SERVICE_DOWN


def test_an_answer_wakes_the_others():
    """Where several services answer, one that is down keeps nobody from the others for long."""
    outage = Outage(300, Stop())
    timer = threading.Timer(0.01, outage.end)
    timer.start()
    began = clock.monotonic()

    assert outage.wait(CircuitOpen("open", retry_in=100.0))
    assert clock.monotonic() - began < 5
    timer.join(5)


@pytest.mark.parametrize("error", [CircuitOpen("open", retry_in=100.0), REFUSED])
def test_a_bounded_pause(time, error):
    """One circuit of several says nothing about the others."""
    assert Outage(300, Stop(), pause=0.1).wait(error)
    assert time.slept == [0.1]


def test_a_broken_executor_is_not_waited_for(time):
    """It never comes back: the batch is stopped at once."""
    stop, broken = Stop(), ExecutorBroken("gone")
    outage = Outage(300, stop)

    assert outage.is_one(broken)
    assert not outage.wait(broken)
    assert (stop.reason, outage.error, time.slept) == (SERVICE_DOWN, broken, [])


def test_no_time_for_outages(time):
    """With 0 seconds the first outage stops the batch."""
    stop = Stop()

    assert not Outage(0, stop).wait(REFUSED)
    assert stop.reason == SERVICE_DOWN
    assert not time.slept


def test_a_stop_ends_the_wait():
    """Whoever waits for a service is woken when the batch is asked to stop, from any thread."""
    stop = Stop()
    outage = Outage(300, stop)
    timer = threading.Timer(0.01, stop.ask, [INTERRUPTED])
    timer.start()

    assert not outage.wait(CircuitOpen("open", retry_in=100.0))
    assert stop.reason == INTERRUPTED
    timer.join(5)


def test_the_end_of_the_calls_ends_the_wait():
    """An error that ends the run waits for all its threads: none may wait for a service meanwhile."""
    stop = Stop()
    timer = threading.Timer(0.02, stop.now.cancel)
    timer.start()
    began = clock.monotonic()

    assert not Outage(300, stop).wait(CircuitOpen("open", retry_in=3.0))
    assert clock.monotonic() - began < 2
    timer.join(5)
