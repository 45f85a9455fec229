"""The end of a client: close() ends every wait at once, whatever it is for."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import nullcontext

import pytest
from support.servers import CHAT
from support.waits import until

from foundry_rest import RetryPolicy, clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import (
    Cancelled,
    FoundryError,
)
from foundry_rest.testing import DEMO_MODEL, chat_stream, dead_address, deaf_address, stall


class Caller:
    """Make one call in a thread of its own and note how and when it ended."""

    def __init__(self, call):
        self._call, self.error, self.ended = call, None, 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self._call()
        except FoundryError as error:
            self.error = error
        self.ended = clock.monotonic()


def closed(client, what, *callers):
    """Close from this thread; assert that every caller ended at once, and print how fast."""
    begun = clock.monotonic()
    client.close()
    took = clock.monotonic() - begun
    for caller in callers:
        caller.thread.join(2)
        assert isinstance(caller.error, Cancelled), caller.error
        assert caller.ended - begun < 0.5
    slowest = max(caller.ended for caller in callers) - begun
    sys.stdout.write(
        f"close() during {what}: returned after {took * 1000:.2f} ms, calls over {slowest * 1000:.2f} ms\n"
    )
    assert took < 0.5


def test_close_ends_connecting():
    """A service whose queue is full."""
    with deaf_address() as url:
        client = FoundryAPIClient(url, model=DEMO_MODEL, dialect="2.x")
        caller = Caller(lambda: client.complete("Hi"))
        until(lambda: any(handle.held for handle in list(client._core.transport._deadlines._handles)))
        closed(client, "connect", caller)


@pytest.mark.parametrize("address", [deaf_address, nullcontext], ids=["deaf", "silent"])
def test_close_before_connecting(server, monkeypatch, address):
    """A call that was ended while its host name was looked up does not go on to connect, or to wait."""
    server.otherwise(stall())
    real = socket.getaddrinfo

    def closes(*arguments, **more):
        client.close()
        return real(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", closes)
    with address() as url:
        client = FoundryAPIClient(url or server.url, model=DEMO_MODEL, dialect="2.x", timeout=3)
        begun = clock.monotonic()
        with pytest.raises(Cancelled):
            client.complete("Hi")

    assert clock.monotonic() - begun < 0.5


@pytest.mark.parametrize(
    ("what", "script"),
    [("header wait", stall()), ("first token", chat_stream("a b")[:1] + stall())],
)
def test_close_ends_the_wait_for_an_answer(server, what, script):
    """A service that is silent before or after its headers."""
    server.on("POST", CHAT, script)
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x")
    caller = Caller(lambda: client.complete("Hi"))
    assert server.wait_requests(1)
    closed(client, what, caller)
    assert server.wait_left()


def test_close_ends_a_stall(server):
    """A stream that fell silent; its text is kept."""
    server.on("POST", CHAT, chat_stream(["one", " two", " three"])[:4] + stall())
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x")
    texts: list[str] = []

    def read():
        texts.extend(chunk.content for chunk in client.stream_complete("Hi"))

    caller = Caller(read)
    until(lambda: "two" in "".join(texts))
    closed(client, "stall", caller)
    assert caller.error.text.startswith("one two")


def test_close_ends_a_back_off():
    """A call that sleeps before its next try."""
    patient = RetryPolicy(base=60, longest=60, floor=60)
    with dead_address() as url:
        client = FoundryAPIClient(url, model=DEMO_MODEL, dialect="2.x", retries=patient)
        caller = Caller(lambda: client.complete("Hi"))
        until(lambda: client._core.bounds.closing._watchers)
        closed(client, "back-off", caller)
    assert [attempt.error for attempt in caller.error.attempts] == ["ServiceUnreachable"]


def test_close_ends_the_wait_for_a_slot(server):
    """Calls that wait for their turn, and the one that has it."""
    server.on("POST", CHAT, stall())
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x", max_concurrency=1)
    callers = [Caller(lambda: client.complete("Hi")) for _ in range(4)]
    until(lambda: client._core.bounds.slots.waiting == 3)
    assert server.wait_requests(1)
    closed(client, "slot wait", *callers)
    assert len(server.asked(CHAT)) == 1


def test_after_the_end(server):
    """Nothing is sent any more; closing again does nothing."""
    client = FoundryAPIClient(server.url, model=DEMO_MODEL)
    client.close()
    client.close()
    with pytest.raises(Cancelled):
        client.complete("Hi")

    assert server.requests == []
