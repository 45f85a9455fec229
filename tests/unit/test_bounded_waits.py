"""Every wait has an end, and its error tells which bound it was."""

from __future__ import annotations

import threading

import pytest

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.errors import Cancelled, DeadlineExceeded, ServiceTimeout
from foundry_rest.resilience import model_locks
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.testing import (
    DEMO_MODEL,
    FakeClock,
    FakeOpenReply,
    FaultServer,
    chat_stream,
    dead_address,
    dribble,
    json_answer,
    stall,
    unavailable,
)
from foundry_rest.transport.cancellation import CancelToken


@pytest.mark.parametrize(
    ("deadline", "words", "advice"),
    [
        (5, "the deadline passed while waiting for a free slot", "larger deadline="),
        (float("inf"), "none came within 600 s of waiting for a free slot", "larger max_concurrency="),
    ],
)
def test_a_wait_for_a_slot_names_its_bound(deadline, words, advice):
    """Without a deadline nobody is advised to give a larger one: the wait's own bound struck."""
    with FakeClock().installed() as time:
        slots = Slots(1)
        _held = slots.acquire()
        with pytest.raises(DeadlineExceeded) as caught:
            slots.acquire(time.monotonic() + deadline)

    assert (caught.value.message, caught.value.limit) == (words, "slot")
    assert advice in caught.value.advice
    assert ("deadline" in caught.value.advice) == (deadline == 5)


@pytest.mark.parametrize("how", ["close", "token"])
def test_waiting_until_ready_can_be_ended(how):
    """Closing the client, or the call's token, ends the wait at once."""
    token = CancelToken()
    with dead_address() as url, FoundryAPIClient(url) as client:
        end = client.close if how == "close" else token.cancel
        timer = threading.Timer(0.02, end)
        timer.start()
        began = clock.monotonic()
        with pytest.raises(Cancelled):
            client.health.wait_until_ready(60, cancel=token)
        timer.join()

    assert clock.monotonic() - began < 5


@pytest.mark.parametrize("how", ["close", "token"])
def test_waiting_to_unload_can_be_ended(how, monkeypatch):
    """A model in use is waited for until the client closes, or the call's token is cancelled."""
    token = CancelToken()
    wait_for, timers = model_locks.wait_for, []

    def wait_and_end(*arguments):
        timers.append(threading.Timer(0.01, client.close if how == "close" else token.cancel))
        timers[0].start()
        wait_for(*arguments)

    monkeypatch.setattr(model_locks, "wait_for", wait_and_end)
    with FaultServer() as server, FoundryAPIClient(server.url, dialect="1.x") as client:
        server.on("GET", "/models/loaded", json_answer([DEMO_MODEL]))
        server.on("GET", "/v1/models", json_answer({"data": [{"id": DEMO_MODEL}]}))
        server.on("GET", "/status", json_answer({"modelDirPath": ""}))
        server.otherwise(chat_stream())
        stream = client.stream_complete("Hi", model=DEMO_MODEL)
        began = clock.monotonic()
        with pytest.raises(Cancelled, match="requests that still run on the model"):
            client.models.unload(DEMO_MODEL, cancel=token)
        timers[0].join()
        stream.close()

    assert clock.monotonic() - began < 5


def test_a_number_given_to_a_check_is_its_deadline():
    """A status that dribbles is not silent; the time that was given is over all the same."""
    with FaultServer() as server, FoundryAPIClient(server.url, dialect="2.x") as client:
        server.otherwise(dribble(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b" " * 99, 0.01))
        began = clock.monotonic()
        with pytest.raises(ServiceTimeout, match=r"no whole answer within 0\.1 s"):
            client.health.check(timeout=0.1)
        assert not client.health.is_alive(timeout=0.1)

    assert clock.monotonic() - began < 5


def test_a_deadline_given_to_a_check_is_told_as_such():
    """It is not the timeout that struck."""
    with FaultServer() as server, FoundryAPIClient(server.url, dialect="2.x") as client:
        server.otherwise(stall())
        with pytest.raises(DeadlineExceeded):
            client.health.check(timeout=9, deadline=0.05)


def test_a_check_may_be_repeated():
    """It asks once by itself, and as often more as it is told to."""
    with FaultServer() as server, FoundryAPIClient(server.url, dialect="2.x") as client:
        server.on("GET", "/status", unavailable())
        assert not client.health.is_alive()
        assert len(server.asked("/status")) == 1
        assert not client.health.is_alive(retries=2)
        assert len(server.asked("/status")) == 4


def test_a_fake_stream_has_not_failed_before_it_fails():
    """The attribute is there from the start."""
    opened = FakeOpenReply([])
    assert opened.failed is None
    error = DeadlineExceeded("over")
    opened.fail(error)

    assert opened.failed is error
