"""Every wait of an attempt ends on time: by its deadline, however the bytes dribble, and by close()."""

from __future__ import annotations

import signal
import threading
import time

import pytest
import requests
from support.transports import BoundTransport

from foundry_rest import FoundryAPIClient
from foundry_rest.config import Timeouts
from foundry_rest.errors import Cancelled, DeadlineExceeded, FoundryError
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_stream,
    close_delimited,
    deaf_address,
    dribble,
    json_answer,
    json_error,
    send,
    stall,
)
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.session.event_stream import EventStream

PATIENT = Timeouts(connect=5, first_token=5, idle=5)
LIMIT, SLACK = 0.08, 0.1


def call(left=float("inf")):
    """Return a call that has so many seconds left."""
    return Call(
        "POST",
        "/v1/chat/completions",
        b"{}",
        options=Options(timeouts=PATIENT, until=time.monotonic() + left),
    )


def timed(work):
    """Return what ``work`` raises, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(FoundryError) as caught:
        work()
    return caught.value, time.monotonic() - began


def ask(transport, how, call):
    """Send, or open and read all."""
    reply = getattr(transport, how)(call)
    return list(reply) if isinstance(reply, EventStream) else reply


LONG = json_answer({"text": "x" * 500})
#: What the server does for longer than the deadline -> (how it is asked, script).
SLOW = {
    "silent": ("send", stall()),
    "head dribbles": ("open", dribble(chat_stream(), 0.01)),
    "status line dribbles": ("send", dribble(send(b"HTTP/1.1 200 OK" + b" " * 99), 0.03)),
    "body dribbles": ("send", LONG[:1] + dribble(LONG[1:], 0.01)),
    "chunk size dribbles": ("open", chat_stream()[:2] + dribble(send(b"0" * 99), 0.03)),
    "events dribble": ("open", chat_stream()[:2] + dribble(chat_stream()[2:], 0.01)),
    "close-delimited dribbles": ("open", close_delimited(())[:1] + dribble(chat_stream()[1:], 0.01)),
    "stalls in the stream": ("open", chat_stream()[:3] + stall()),
}


@pytest.mark.parametrize("row", SLOW)
def test_a_deadline_holds(row, server):
    """The whole attempt ends when its time is over, in whichever phase it is."""
    how, script = SLOW[row]
    server.otherwise(script)
    transport = BoundTransport(lambda: server.url)
    error, seconds = timed(lambda: ask(transport, how, call(LIMIT)))
    transport.close()

    assert type(error) is DeadlineExceeded
    assert abs(seconds - LIMIT) < SLACK
    assert server.wait_left()


def test_a_deadline_holds_while_connecting():
    """Connecting in vain is over at the deadline too."""
    with deaf_address() as url:
        error, seconds = timed(lambda: BoundTransport(lambda: url).send(call(LIMIT)))

    assert type(error) is DeadlineExceeded
    assert abs(seconds - LIMIT) < SLACK


@pytest.mark.parametrize(
    "script",
    [
        chat_stream()[:2] + dribble(send(b"0" * 99), 0.03),
        close_delimited(())[:1] + dribble(chat_stream()[1:], 0.01),
    ],
)
def test_a_deadline_holds_for_the_body_of_a_given_session(script, server):
    """The socket of a session that was given is known from the head on, whatever frames the body."""
    server.otherwise(script)
    with requests.Session() as session:
        transport = BoundTransport(lambda: server.url, session=session)
        error, seconds = timed(lambda: ask(transport, "open", call(LIMIT)))

    assert type(error) is DeadlineExceeded
    assert abs(seconds - LIMIT) < SLACK


def test_an_error_body_that_dribbles_does_not_outlive_the_deadline(server):
    """Although the status is known: it was the deadline that ended the call, and not the service."""
    script = json_error(400, "x" * 500)
    server.otherwise(script[:1] + dribble(script[1:], 0.01))
    error, seconds = timed(lambda: BoundTransport(lambda: server.url).send(call(LIMIT)))

    assert isinstance(error, DeadlineExceeded)
    assert seconds < LIMIT + SLACK


def test_the_deadline_error_holds_the_text_so_far(server):
    """Through the client: DeadlineExceeded with text, usage and count of what came."""
    script = chat_stream("one two three")
    server.on("POST", "/v1/chat/completions", script[:3] + dribble(script[3:], 0.01))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x", retries=0) as client:
        error, seconds = timed(lambda: client.complete("hi", deadline=LIMIT))

    assert type(error) is DeadlineExceeded
    assert (error.text, error.chunks, error.limit) == ("one", 2, "deadline")
    assert abs(seconds - LIMIT) < SLACK


def test_an_answer_within_the_deadline_is_whole(server):
    """A deadline that does not pass changes nothing, and a very far one is no error."""
    transport = BoundTransport(lambda: server.url)

    assert (
        transport.send(Call("GET", "/status", options=Options(until=time.monotonic() + 1e12))).status == 200
    )
    assert transport.send(Call("GET", "/status", options=Options(until=time.monotonic() + 1))).status == 200
    assert server.connections == 1
    transport.close()


#: Where the attempt is when it is ended -> (how it is asked, script, requests before).
WAITS = {
    "headers": ("send", stall()),
    "headers of a stream": ("open", stall()),
    "first event": ("open", chat_stream()[:1] + stall()),
    "next event": ("open", chat_stream()[:3] + stall()),
    "body": ("send", LONG[:1] + stall()),
    "close-delimited body": ("open", close_delimited(())[:1] + stall()),
}


@pytest.mark.parametrize("row", WAITS)
def test_closing_the_client_ends_every_wait(row, server):
    """close() from another thread: Cancelled at once, and the service sees the connection end."""
    how, script = WAITS[row]
    server.otherwise(script)
    transport = BoundTransport(lambda: server.url)
    closer = threading.Timer(0.02, transport.close)
    closer.start()
    error, seconds = timed(lambda: ask(transport, how, call()))
    closer.join()

    assert type(error) is Cancelled
    assert seconds < 0.5  # the server would be silent for ever
    assert error.url == server.url
    assert server.wait_left()


def test_closing_the_client_ends_connecting():
    """Not even a connection that is not there yet holds it up."""
    with deaf_address() as url:
        transport = BoundTransport(lambda: url)
        closer = threading.Timer(0.02, transport.close)
        closer.start()
        error, seconds = timed(lambda: transport.send(call()))
        closer.join()

    assert type(error) is Cancelled
    assert seconds < 0.1


def test_closing_a_stream_ends_its_reader(server):
    """close() of one stream wakes its reader and leaves the others alone."""
    server.otherwise(chat_stream()[:3] + stall())
    transport = BoundTransport(lambda: server.url)
    other = transport.open(call())
    opened = transport.open(call())
    closer = threading.Timer(0.02, opened.close)
    closer.start()
    error, seconds = timed(lambda: list(opened))
    closer.join()

    assert type(error) is Cancelled
    assert seconds < 0.1
    assert server.wait_left()
    assert server.left == 1
    other.close()
    transport.close()


def test_close_that_comes_between_is_seen(server, monkeypatch):
    """A client closed while a call is being prepared ends that call."""
    transport = BoundTransport(lambda: server.url)
    monkeypatch.setattr(transport._builder, "build", closing(transport, transport._builder.build))
    error, _ = timed(lambda: transport.send(call()))

    assert type(error) is Cancelled


def closing(transport, prepare):
    """Return a ``prepare`` that closes the transport before it returns."""

    def work(*args):
        request = prepare(*args)
        transport.close()
        return request

    return work


def interrupt_once_asked(server):
    """Press Ctrl-C a moment after the request has come: the main thread gets the signal."""
    server.wait_requests()
    time.sleep(0.02)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread here")
@pytest.mark.parametrize("row", ["headers", "first event", "next event", "body"])
def test_an_interrupt_gives_the_connection_up(row, server):
    """Ctrl-C is nobody's to swallow: it passes, and the service is left at once."""
    how, script = WAITS[row]
    server.otherwise(script)
    with FoundryAPIClient(server.url, dialect="2.x" if how == "open" else "openai", retries=0) as client:
        presser = threading.Thread(target=interrupt_once_asked, args=(server,))
        presser.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            client.complete("hi", model=DEMO_MODEL)

        assert server.wait_left()
    presser.join()
    del caught
