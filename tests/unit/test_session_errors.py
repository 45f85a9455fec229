"""Every failure of an attempt: which of our classes, in which phase, and can the request have begun."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
from contextlib import contextmanager

import pytest
import requests
from support.transports import BoundTransport

from foundry_rest.config import Timeouts
from foundry_rest.errors import (
    BadRequest,
    FoundryError,
    InvalidReply,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.testing import (
    FaultServer,
    answer,
    bad_chunk_size,
    chat_stream,
    chunked,
    cut,
    dead_address,
    deaf_address,
    json_answer,
    json_error,
    reset,
    send,
    sse,
    stall,
)
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.session.event_stream import EventStream

#: For the tests whose subject is silence; the others must not fail because the machine is slow.
QUICK, PATIENT = Timeouts(0.06, 0.06, 0.05), Timeouts(2, 2, 2)


def call(**changes):
    """Return a call."""
    options = Options(**{"timeouts": PATIENT, **changes})
    return Call("POST", "/v1/chat/completions", b"{}", options=options, label="chat.complete", model="demo")


def failure(url, how="send", **changes):
    """Return the error that one attempt raises."""
    transport = BoundTransport(lambda: url)
    try:
        with pytest.raises(FoundryError) as caught:
            drain(getattr(transport, how)(call(**changes)))
    finally:
        transport.close()
    return caught.value


def drain(reply):
    """Read a stream to its end; a whole reply needs no reading."""
    return list(reply) if isinstance(reply, EventStream) else reply


def facts(error):
    """Return class, ``sent`` and the place."""
    return type(error), getattr(error, "sent", None), (error.url, error.call, error.model)


def place(url):
    """Return the place every error must name."""
    return url, "chat.complete", "demo"


def test_refused_is_unsent():
    """Nothing listens: the request cannot have begun."""
    with dead_address() as url:
        error = failure(url)

    assert facts(error) == (ServiceUnreachable, False, place(url))
    assert "connection refused: nothing listens there" in str(error)


def test_an_unknown_host_is_unsent(monkeypatch):
    """The name is what is wrong, and the message says so."""

    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure("http://no-such-host.invalid")

    assert facts(error) == (ServiceUnreachable, False, place("http://no-such-host.invalid"))
    assert "the host name is unknown" in str(error)


def test_a_name_without_address_is_unsent(monkeypatch):
    """An answer without an address is no connection either."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [])
    error = failure("http://no-address.invalid")

    assert facts(error)[:2] == (ServiceUnreachable, False)


def test_the_next_address_is_tried(server, monkeypatch):
    """``localhost`` may be ::1 first, where nobody listens: the second address answers."""
    real = socket.getaddrinfo
    with dead_address() as dead:
        closed = real("127.0.0.1", int(dead.rpartition(":")[2]), type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: closed + real(*args, **options))
        transport = BoundTransport(lambda: server.url)
        reply = transport.send(Call("GET", "/status"))
        transport.close()

    assert reply.status == 200


@pytest.mark.parametrize("how", ["send", "open"])
def test_connecting_in_vain_is_the_connect_phase(how):
    """A full queue lets nobody in: unsent."""
    with deaf_address() as url:
        error = failure(url, how, timeouts=QUICK)

    assert facts(error) == (ServiceTimeout, False, place(url))
    assert error.phase == "connect"


@pytest.mark.parametrize(
    ("how", "script", "phase"),
    [
        ("send", stall(), "headers"),
        ("open", stall(), "headers"),
        ("open", chat_stream()[:1] + stall(), "first_token"),
        ("send", json_answer({})[:1] + stall(), "first_token"),
        ("open", chat_stream()[:3] + stall(), "idle"),
    ],
)
def test_silence_names_its_phase(how, script, phase, server):
    """Silence for longer than allowed is a ServiceTimeout, and the request may be under way."""
    server.otherwise(script)
    error = failure(server.url, how, timeouts=QUICK)

    assert facts(error) == (ServiceTimeout, True, place(server.url))
    assert (error.phase, isinstance(error, requests.Timeout)) == (phase, True)
    assert "silent" in str(error)
    assert server.wait_left()


CUT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Ty"
#: What comes over the wire -> (script, class, sent, words).
WIRE = {
    "closed without a byte": (cut(), ServiceUnreachable, True, "closed the connection without an answer"),
    "reset without a byte": (reset(), ServiceUnreachable, True, "reset the connection"),
    "cut inside the head": (send(CUT_HEAD) + cut(), ServiceUnreachable, True, "closed before the body"),
    "cut after a line of the head": (
        send(CUT_HEAD[:17]) + cut(),
        ServiceUnreachable,
        True,
        "closed before the body",
    ),
    "body shorter than said": (
        answer(200, b"{}", length=9) + cut(),
        ServiceUnreachable,
        True,
        "broke in the",
    ),
    "chunks cut": (sse([b"x"])[:2] + cut(), ServiceUnreachable, True, "broke in the middle"),
    "bad chunk size": (bad_chunk_size([b"{"]), ServiceUnreachable, True, "broke in the middle"),
    "garbage status line": (send(b"SSH-2.0-OpenSSH_9\r\n") + cut(), InvalidReply, None, "is not HTTP"),
    "two lengths": (
        answer(200, b"{}", headers={"Content-length": "3"}),
        InvalidReply,
        None,
        "headers cannot be read",
    ),
    "gzip that was not asked for": (
        answer(200, b"no gzip", headers={"Content-Encoding": "gzip"}),
        InvalidReply,
        None,
        "not asked for",
    ),
    "too many headers": (
        answer(200, b"{}", headers=[(f"X-{n}", "1") for n in range(200)]),
        ServiceUnreachable,
        True,
        None,
    ),
}


@pytest.mark.parametrize("row", WIRE)
def test_what_is_wrong_on_the_wire(row, server):
    """Class, ``sent`` and words of every way in which an answer can be none."""
    script, cls, sent, words = WIRE[row]
    server.otherwise(script)
    error = failure(server.url)

    assert facts(error) == (cls, sent, place(server.url))
    assert words is None or words in str(error)


@pytest.mark.parametrize(
    "script",
    [
        send(b"HTTP/1.1 204 No Content\r\n\r\n"),
        answer(200, b""),
        chunked(()),
    ],
)
def test_an_empty_answer_that_says_so_is_one(script, server):
    """1.x answers a load with an empty body: no error while its end was announced."""
    server.otherwise(script)
    transport = BoundTransport(lambda: server.url)

    assert transport.send(call()).body == b""
    transport.close()


def test_gzip_that_was_asked_for(server):
    """A header of the caller's own asks for it; what is broken is told as such."""
    asked = call(headers={"Accept-Encoding": "gzip"})
    transport = BoundTransport(lambda: server.url)
    server.otherwise(answer(200, gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"}))
    assert transport.send(asked).raw == {"a": 1}

    server.otherwise(answer(200, b"no gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(InvalidReply, match="compression is broken"):
        transport.send(asked)
    transport.close()


def test_tls_on_a_port_that_resets_is_unsent():
    """https:// where http is spoken: whatever ends the handshake, nothing was sent."""
    with FaultServer(header_limit=50) as server:
        error = failure(server.url.replace("http://", "https://"))

    assert facts(error)[:2] == (ServiceUnreachable, False)


def answer_hello(listener):
    """Answer the first bytes of one connection as an http server does that takes no TLS."""
    taken, _ = listener.accept()
    with taken:
        taken.recv(1)
        taken.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def test_tls_on_a_port_that_answers_in_plain_text_is_unsent():
    """The usual mistake: the message says what it may be."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_hello, args=(listener,))
        thread.start()
        error = failure(f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()

    assert facts(error)[:2] == (ServiceUnreachable, False)
    assert "speaks plain http" in str(error)


@contextmanager
def mute_port():
    """Lend the port of a listener that takes connections and never says a word, as 2.x does to TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_tls_to_a_silent_port_ends(server):
    """The service waits for the end of a request line: the handshake is bounded as connecting is."""
    with mute_port() as port:
        error = failure(f"https://127.0.0.1:{port}", timeouts=QUICK)

    assert (type(error), error.phase, error.sent) == (ServiceTimeout, "connect", False)
    assert "may speak plain http" in str(error)


def test_an_unanswered_error_body_does_not_hide_the_status(server):
    """The status is known: a body that stalls or breaks explains less, and that is all."""
    server.otherwise(json_error(400, "bad thing")[:1] + stall())
    error = failure(server.url, timeouts=QUICK)

    assert (type(error), error.status, error.body) == (BadRequest, 400, b"")


def test_an_error_of_a_call_can_be_pickled(server):
    """It may travel between processes, with its facts."""
    server.otherwise(json_error(400, "bad thing"))
    error = pickle.loads(pickle.dumps(failure(server.url)))

    assert (str(error), error.status, error.url) == (str(error), 400, server.url)
    assert "bad thing" in error.message
