"""Open streams: what keeps a connection, what gives it up, and how much memory an answer may take."""

from __future__ import annotations

import gc
import itertools
import os
import socket
import tracemalloc

import pytest
import requests
from support.transports import BoundTransport

from foundry_rest.config import Timeouts
from foundry_rest.errors import (
    Cancelled,
    InvalidReply,
    NotFound,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.testing import (
    DONE,
    FaultServer,
    answer,
    chat_events,
    chat_stream,
    chunked,
    close_delimited,
    error_stream,
    event,
    json_answer,
    send,
    sse,
    stall,
)
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.session import body as body_module
from foundry_rest.transport.session import transport as module

GET = Call("GET", "/status")
CALL = Call(
    "POST",
    "/v1/chat/completions",
    b"{}",
    options=Options(timeouts=Timeouts(connect=1, first_token=1, idle=1)),
)
EVENTS = chat_events("one two")


@pytest.fixture
def server():
    """Run a server for one test."""
    with FaultServer() as running:
        yield running.otherwise(chat_stream("one two"))


def until_done(opened):
    """Read up to [DONE] and finish, as a reader of chunks does."""
    events = list(itertools.takewhile(lambda data: data != b"[DONE]", opened))
    opened.finish()
    return len(events)


def test_finished_streams_share_one_connection(server, transport):
    """What follows [DONE] is read, so that the connection serves the next call."""
    counts = [until_done(transport.open(CALL)) for _ in range(3)]

    assert (counts, server.connections, server.left) == ([5, 5, 5], 1, 0)


def test_plain_answers_share_one_connection(server, transport):
    """So do whole answers, empty ones and errors."""
    server.otherwise(
        json_answer({}), answer(200, b""), answer(404, b"no"), answer(500, b"x" * 100_000), json_answer({})
    )
    for _ in range(2):
        transport.send(GET)
    for error in (NotFound, ServerError):
        with pytest.raises(error):
            transport.send(GET)
    transport.send(GET)

    assert server.connections == 1


def test_an_error_event_keeps_the_connection(server, transport):
    """The service goes on after it reported an error; so do we."""
    server.otherwise(error_stream("Inference failed"), chat_stream())
    with pytest.raises(ServerError):
        transport.open(CALL)

    assert (until_done(transport.open(CALL)), server.connections) == (5, 1)


@pytest.mark.parametrize(
    "script",
    [
        sse((*EVENTS, DONE, event("more")), done=False)[:-1] + stall(),
        sse(EVENTS)[:-1] + stall(),
        sse((*EVENTS, DONE, *[event("more")] * 9), done=False),
    ],
)
def test_a_stream_that_goes_on_after_its_end_is_left(script, server, transport, monkeypatch):
    """Bytes that remain cost a bounded time, then the connection is given up."""
    monkeypatch.setattr(body_module, "DRAIN", 0.05)
    server.otherwise(script, chat_stream())
    until_done(transport.open(CALL))
    until_done(transport.open(CALL))

    assert server.connections == 2


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        (close_delimited((*EVENTS, DONE)), 2),
        (sse(EVENTS, headers={"Connection": "close"}), 2),
        (sse(EVENTS)[:-1] + send(b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n"), 1),
    ],
)
def test_other_ways_to_frame_a_stream(script, connections, server, transport):
    """HTTP/1.0, ``Connection: close`` and trailers are read as what they are."""
    server.otherwise(script)

    assert [until_done(transport.open(CALL)) for _ in range(2)] == [5, 5]
    assert server.connections == connections


def test_reading_on_goes_on(transport):
    """A second loop over the same stream loses nothing of what had already arrived."""
    opened = transport.open(CALL)
    first = next(iter(opened))
    rest = list(opened)

    assert (b"assistant" in first, len(rest)) == (True, 5)
    assert list(opened) == []


def test_finish_and_close_may_come_twice_and_late(server, transport):
    """Closing a stream that has ended does nothing to the connection, which another call may use."""
    opened = transport.open(CALL)
    until_done(opened)
    second = transport.open(CALL)
    for again in (opened.close, opened.finish, opened.close):
        again()

    assert (until_done(second), server.connections, server.left) == (5, 1, 0)


def test_a_closed_stream_raises_cancelled(transport):
    """Reading what was closed is no end of the stream."""
    opened = transport.open(CALL)
    opened.close()
    opened._waiting.clear()
    with pytest.raises(Cancelled) as caught:
        list(opened)

    assert caught.value.url == opened.url


def test_the_time_for_the_rest_may_be_over_at_once(server, transport):
    """What is already there is still given; then the wait for more is a time-out."""
    server.otherwise(chat_stream()[:3] + stall())
    opened = transport.open(CALL)
    opened.set_idle(0.0)
    with pytest.raises(ServiceTimeout, match="the end of the answer did not come") as caught:
        list(opened)

    assert caught.value.phase == "idle"


def test_a_dropped_stream_gives_its_connection_up(server, transport):
    """A stream that nobody holds any more is closed, deadline or not, and the pool goes on."""
    server.otherwise(sse(EVENTS[:2])[:-1] + stall())
    for until in (float("inf"), 1e9):
        opened = transport.open(Call("POST", "/x", b"{}", options=Options(until=until)))
        del opened
    gc.collect()

    assert server.wait_left(count=2)


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_an_endless_answer_ends_in_an_error(kind, server, transport, monkeypatch):
    """Neither a plain body, nor one event, nor a page in place of a stream fills the memory."""
    monkeypatch.setattr(module, "MAX_ANSWER", 300_000)
    monkeypatch.setattr("foundry_rest.transport.sse.SSEDecoder.__init__.__defaults__", (300_000,))
    server.otherwise(chunked([b"x" * 65536] * 300, content_type=kind))
    tracemalloc.start()
    with pytest.raises(InvalidReply, match="larger than 300,000 bytes"):
        (transport.send if kind == "application/json" else transport.open)(CALL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 3_000_000
    assert server.wait_closed() or server.left


def test_an_endless_page_in_place_of_a_stream_is_left(server, transport):
    """The start of it is enough to say what it is."""
    server.otherwise(chunked([b"x" * 65536] * 9, content_type="text/html")[:-1] + stall())
    with pytest.raises(InvalidReply, match="expected an event stream, got text/html") as caught:
        transport.open(CALL)

    assert (len(caught.value.body), caught.value.where) == (2048, "content-type")
    assert server.wait_left()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can be asked")
def test_every_answer_is_acknowledged_at_once(server, transport, monkeypatch):
    """TCP_QUICKACK does not last: it is set for each answer, reused connection or not."""
    seen = []
    real = socket.socket.setsockopt

    def record(sock, *option):
        seen.append(option)
        return real(sock, *option)

    monkeypatch.setattr(socket.socket, "setsockopt", record)
    for _ in range(3):
        until_done(transport.open(CALL))

    assert seen.count((socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)) == 3


def in_child(work):
    """Run ``work`` in a forked child; return what it returns, as text."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, str(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("given", [False, True])
def test_a_forked_child_uses_sockets_of_its_own(given, server):
    """Sharing a pooled connection swaps answers; and what the child closes stays open in the parent."""
    server.otherwise(lambda request: json_answer([request.path, request.connection]))
    server.on("POST", "/sse", sse(EVENTS[:2])[:-1] + stall())
    session = requests.Session() if given else None
    transport = BoundTransport(lambda: server.url, session=session)
    assert transport.send(Call("GET", "/parent")).raw == ["/parent", 1]
    stream = transport.open(Call("POST", "/sse", b"{}"))

    def work():
        said = transport.send(Call("GET", "/child")).raw
        stream.close()
        transport.close()
        return said

    said = in_child(work)

    assert said == "['/child', 2]"
    assert transport.send(Call("GET", "/parent")).raw[0] == "/parent"
    assert server.left == 0
    stream.close()
    assert server.wait_left()
    transport.close()


def test_a_connection_that_was_reset_while_idle_is_not_used(server, transport):
    """The pool notices an end that came between two calls; only one in the middle is an error."""
    until_done(transport.open(CALL))
    server.stop()
    server.start()

    assert until_done(transport.open(CALL)) == 5
    server.stop()
    with pytest.raises(ServiceUnreachable) as caught:
        transport.open(CALL)
    assert caught.value.sent is False
