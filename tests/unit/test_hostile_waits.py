"""Servers that send a little for ever: every wait has a bound of its own, without any deadline."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import requests
from support.servers import CHAT
from support.tls import CERTIFICATE, TlsServer

from foundry_rest import BreakerPolicy, FoundryAPIClient, Timeouts, clock
from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_completion,
    chat_stream,
    dead_address,
    deaf_address,
    json_error,
    paced,
    pause,
    send,
    stall,
)
from foundry_rest.testing.script import Script
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.session import socket_handle

TEXT = "Hello there"
#: Seconds of silence that the clients here allow, and those of a model's load.
SILENCE, LOAD = 0.15, 0.3
#: Seconds in which everything must be over, on a busy machine.
LATEST = 1.5
STREAM = chat_stream(TEXT)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"


def forever(*pieces, every=0.01, times=300):
    """Send the pieces in turn, one every so many seconds, for much longer than any bound."""
    steps = itertools.chain.from_iterable((send(piece) + pause(every)) for piece in itertools.cycle(pieces))
    return Script(tuple(itertools.islice(steps, 2 * times)))


def chunk(data):
    """Return the bytes of one chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


#: After the whole answer, in place of the end of its body.
ENDINGS = {
    "trailers": send(b"0\r\n") + forever(b"X-More: yes\r\n"),
    "one trailer without end": send(b"0\r\nX-More: ") + forever(b"y"),
    "a chunk size without end": forever(b"0"),
    "a chunk size after white space": send(b" ") + forever(b"0"),
    "an extension of a chunk size": send(b"0;") + forever(b"x"),
    "comments": forever(chunk(b": still here\n\n")),
    "blank lines": forever(chunk(b"\n")),
    "empty events": forever(chunk(b"data:\n\n")),
    "heartbeats": forever(chunk(b"event: ping\ndata: {}\n\n")),
    "an event without end": send(chunk(b"data: {")) + forever(chunk(b'"a": 1, ')),
    "a chunk without end": send(b"fffff\r\n: ") + forever(b"."),
    "silence": stall(),
}
#: In place of an answer.
NO_ANSWERS = {
    "100 Continue": forever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103 Early Hints": forever(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "a status line without end": forever(b"H", b"T"),
    "a header without end": send(b"HTTP/1.1 200 OK\r\nX-More: ") + forever(b"y"),
    "headers without end": send(b"HTTP/1.1 200 OK\r\n") + forever(b"X: y\r\n"),
    "one byte of a head now and then": forever(*(bytes([byte]) for byte in HEAD)),
    "comments": send(HEAD + b"\r\n") + forever(chunk(b": wait\n\n")),
    "heartbeats": send(HEAD + b"\r\n") + forever(chunk(b"event: ping\ndata: {}\n\n")),
    "a chunk size without end": send(HEAD + b"\r\n") + forever(b"0"),
    "an event without end": send(HEAD + b"\r\n" + chunk(b"data: {")) + forever(chunk(b'"a": 1, ')),
}
#: In place of the body of an error.
ERROR_BODIES = {
    "a chunk size without end": forever(b"0"),
    "bytes now and then": forever(chunk(b"x")),
    "trailers": send(chunk(b"no") + b"0\r\n") + forever(b"X-More: yes\r\n"),
    "silence": stall(),
}

GENERATIONS = pytest.mark.parametrize("dialect", ["2.x", "1.x", "0.x", "openai"])
SESSION = pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])


@pytest.fixture
def connect(server):
    """Return a function that makes a client with short bounds and no deadline."""
    made = []

    def connect(dialect="2.x", given=False, **options):
        timeouts = Timeouts(connect=1, first_token=SILENCE, idle=SILENCE, load=LOAD)
        options = {"timeout": timeouts, "retries": 0, "breaker": None, "auto_load": False, **options}
        session = requests.Session() if given else None
        client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=dialect, session=session, **options)
        made.append(client)
        return client

    yield connect
    for client in made:
        client.close()


def ask_whole(client, **options):
    """Return the text of a whole answer."""
    return client.complete("Hi", **options).content


def ask_stream(client, **options):
    """Return the text of a stream that is read to its end."""
    return "".join(chunk.content for chunk in client.stream_complete("Hi", **options))


WAYS = pytest.mark.parametrize("ask", [ask_whole, ask_stream], ids=["whole", "stream"])


@WAYS
@SESSION
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_after_the_answer_is_whole(connect, server, given, ask, ending):
    """The text that came is the answer, whatever the server goes on to send."""
    server.on("POST", CHAT, STREAM[:-1] + ending)
    began = time.monotonic()

    assert ask(connect("2.x", given)) == TEXT
    assert time.monotonic() - began < LATEST


@WAYS
@SESSION
@pytest.mark.parametrize("script", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_an_answer_that_never_comes(connect, server, given, ask, script):
    """What is no part of an answer does not extend the wait for it beyond the longest bound."""
    server.on("POST", CHAT, script)
    began = time.monotonic()

    with pytest.raises(FoundryError) as caught:
        ask(connect("2.x", given))
    assert time.monotonic() - began < LATEST
    assert isinstance(caught.value, ServiceTimeout) or "HTTP" in str(caught.value)


@WAYS
@GENERATIONS
@pytest.mark.parametrize("body", ERROR_BODIES.values(), ids=ERROR_BODIES)
def test_the_body_of_an_error(connect, server, dialect, ask, body):
    """The status is the answer; its body is waited for no longer than an answer is."""
    head = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.on("POST", CHAT, send(head) + body)
    began = time.monotonic()

    with pytest.raises(FoundryError) as caught:
        ask(connect(dialect))
    assert caught.value.status == 400
    assert time.monotonic() - began < LATEST


@SESSION
@pytest.mark.parametrize("bytes_", [b"0", b" ", b";", b"000;a=b"])
def test_a_chunk_size_without_end_between_two_events(connect, server, given, bytes_):
    """It is a silence, and takes at most as long as the load of a model; the text so far is kept."""
    server.on("POST", CHAT, STREAM[:3] + forever(bytes_))
    began = time.monotonic()

    with pytest.raises(StreamInterrupted) as caught:
        ask_stream(connect("2.x", given))
    assert time.monotonic() - began < LATEST
    assert TEXT.startswith(caught.value.text)


@SESSION
def test_a_whole_body_that_dribbles(connect, server, given):
    """A plain answer is one whole, which takes at most as long as the load of a model."""
    body = chat_completion(TEXT)[1:]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    server.on("POST", CHAT, send(head) + body + forever(b" "))
    began = time.monotonic()

    with pytest.raises(ServiceTimeout):
        ask_whole(connect("openai", given))
    assert time.monotonic() - began < LATEST


@SESSION
@pytest.mark.parametrize("dialect", ["2.x", "openai"])
def test_a_deadline_that_strikes_anywhere(connect, server, given, dialect):
    """It is told as one at every byte of a head and of a body, and says nothing of the service's health."""
    client = connect(dialect, given, timeout=5, breaker=BreakerPolicy(failures=1))
    whole = (STREAM if dialect == "2.x" else chat_completion(TEXT)).data
    for data in (whole, json_error(400, "no" * 40).data):
        for at in range(0, min(len(data), 400), 37):
            rest = [bytes([byte]) for byte in data[at : at + 30]]
            server.on("POST", CHAT, send(data[:at]) + forever(*rest, every=0.02))
            with pytest.raises(DeadlineExceeded):
                ask_whole(client, deadline=0.05)
    assert client.breaker.current == "closed"


@SESSION
@pytest.mark.parametrize("line", [b"Content-Encoding: gzip", b"Location: /elsewhere"])
@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"199 Odd", b"500 Broken"])
def test_a_part_of_a_head_says_nothing(connect, server, given, status, line):
    """What came of a head before the deadline is not read as an answer, whatever it would mean."""
    client = connect("openai", given, timeout=5, breaker=BreakerPolicy(failures=1))
    begun = b"HTTP/1.1 %s\r\n%s\r\n" % (status, line)
    server.on("POST", CHAT, send(begun) + forever(b"X", every=0.02))
    with pytest.raises(DeadlineExceeded):
        ask_whole(client, deadline=0.06)
    assert client.breaker.current == "closed"


@contextmanager
def slow_taker(pause, most=10**9):
    """Serve one request that is taken slowly, and no further than ``most`` bytes; yield the URL."""
    body = b'{"choices":[{"message":{"content":"Hello there"},"finish_reason":"stop"}]}'
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    over = threading.Event()

    def serve():
        conn, _ = listener.accept()
        with conn:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = conn.recv(4096)
                if not piece:
                    return
                head += piece
            head, _, rest = head.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(rest)
            taken = 0
            while taken < min(length, most):
                piece = conn.recv(65536)
                if not piece:  # the client is gone
                    return
                taken += len(piece)
                over.wait(pause)
            if most < length:
                over.wait(5)
            conn.sendall(reply)

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):  # a call that ended before it connected has left it waiting
                socket.create_connection(listener.getsockname(), 1).close()
            thread.join()


def upload(url, *, connect=0.1, cancel=None, **options):
    """Return what a prompt of 6 MB is answered with."""
    timeouts = Timeouts(connect=connect, first_token=0.6, idle=0.6, load=5)
    options = {"retries": 0, "breaker": None, "timeout": timeouts, "dialect": "openai", **options}
    with FoundryAPIClient(url, model="m", auto_load=False, **options) as client:
        return client.complete("x" * 6_000_000, cancel=cancel).content


@SESSION
def test_an_upload_that_goes_on(given):
    """What the service takes extends the time, however long the whole takes."""
    began = time.monotonic()
    with slow_taker(0.005) as url:
        assert upload(url, session=requests.Session() if given else None) == TEXT
    assert time.monotonic() - began > 0.2


@SESSION
def test_an_upload_that_stops(given):
    """The error tells that it was the request that was not taken."""
    with slow_taker(0, most=200_000) as url, pytest.raises(ServiceTimeout, match="took no more") as caught:
        upload(url, session=requests.Session() if given else None)
    assert caught.value.phase == "upload"


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system's sockets keep little")
def test_what_the_kernel_keeps_is_not_taken():
    """Of a request that nobody takes little counts as sent: the kernel would keep 4 MB."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket_handle.BoundedSocket() as sock:
        sock.connect(listener.getsockname())
        sock.attempt = socket_handle.SocketHandle(patience=0.05)
        conn, _ = listener.accept()
        with conn:
            with pytest.raises(TimeoutError):
                sock.sendall(b"x" * 8_000_000)
            sock.close()
            taken = sum(map(len, iter(lambda: conn.recv(65536), b"")))
    assert sock.attempt.is_stuck
    assert 0 < taken < 1_000_000


def test_an_upload_ends_with_the_deadline():
    """Progress does not extend the deadline of the call."""
    began = time.monotonic()
    with slow_taker(0.03) as url, pytest.raises(DeadlineExceeded):
        upload(url, deadline=0.3)
    assert time.monotonic() - began < LATEST


#: What waits: for a head, for a first event, for more of a stream, for the body of an error.
WAITS = {
    "a head": stall(),
    "a first event": STREAM[:1] + stall(),
    "the next event": STREAM[:2] + stall(),
    "trickles": STREAM[:2] + forever(b"0"),
}


@pytest.fixture
def sliced(monkeypatch):
    """Wait in slices, as where no other thread can end a wait; shutting a socket down wakes nobody."""
    monkeypatch.setattr(clock, "SLICE", 0.02)
    monkeypatch.setattr(socket_handle.SocketHandle, "_cut", lambda handle: None)


@pytest.mark.parametrize("how", ["deadline", "cancel", "close"])
@pytest.mark.parametrize("script", WAITS.values(), ids=WAITS)
def test_waits_in_slices(sliced, connect, server, script, how):
    """A wait that nobody can wake looks itself whether it is over."""
    token = CancelToken()
    client = connect(timeout=5)
    server.on("POST", CHAT, script)
    ends = {"deadline": lambda: None, "cancel": token.cancel, "close": client.close}
    timer = threading.Timer(0.1, ends[how])
    timer.start()
    began = time.monotonic()

    with pytest.raises(DeadlineExceeded if how == "deadline" else Cancelled):
        ask_stream(client, cancel=token, **({"deadline": 0.1} if how == "deadline" else {}))
    timer.join()
    assert time.monotonic() - began < 0.6


def test_slices_change_no_answer(sliced, connect, server):
    """Connecting, sending and reading give what they give without them."""
    server.on("POST", CHAT, paced(STREAM, 0.03))
    assert ask_stream(connect(timeout=5)) == TEXT
    with slow_taker(0.001) as url:
        assert upload(url) == TEXT
    with dead_address() as url, pytest.raises(ServiceUnreachable, match="refused"):
        upload(url)


def test_connecting_in_slices_ends(sliced):
    """A connection that is never made is given up in time."""
    began = time.monotonic()
    with deaf_address() as url, pytest.raises(ServiceTimeout):
        upload(url)
    assert time.monotonic() - began < LATEST


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_connecting_in_slices_is_ended(sliced, how):
    """Whoever ends the call ends the wait of a socket that connects, long before its own time-out."""
    token, ends = CancelToken(), {"deadline": 0.1} if how == "deadline" else {}
    timer = threading.Timer(0.1, token.cancel if how == "cancel" else lambda: None)
    timer.start()
    began = time.monotonic()
    with deaf_address() as url, pytest.raises(DeadlineExceeded if how == "deadline" else Cancelled):
        upload(url, cancel=token, connect=5.0, **ends)
    timer.join()
    assert time.monotonic() - began < 0.6


def test_waits_behind_tls(monkeypatch):
    """A socket with TLS is bounded in the same way, in each of its waits."""
    waits = []
    received = socket_handle.BoundedTLSSocket.recv_into

    def recv_into(self, *arguments):
        waits.append(type(self))
        return received(self, *arguments)

    monkeypatch.setattr(socket_handle.BoundedTLSSocket, "recv_into", recv_into)
    with TlsServer() as service, pytest.MonkeyPatch.context() as environment:
        environment.setenv("REQUESTS_CA_BUNDLE", CERTIFICATE)
        for session in (None, requests.Session()):
            options = {"model": "m", "session": session, "dialect": "openai", "auto_load": False}
            with FoundryAPIClient(service.url, **options) as client:
                assert ask_stream(client) == "hi"
    assert set(waits) == {socket_handle.BoundedTLSSocket}
