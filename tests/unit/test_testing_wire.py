"""One connection at the level of bytes: how requests are read and what each end looks like."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import closing

import pytest

from foundry_rest.testing import (
    FaultServer,
    Headers,
    Request,
    answer,
    cut,
    dribble,
    hold,
    pause,
    reset,
    send,
    split,
    stall,
)

GET = b"GET / HTTP/1.1\r\n\r\n"
OK = answer(200, b"{}")


@pytest.fixture
def server():
    """Run a server for one test; every request gets an empty object unless the test says otherwise."""
    with FaultServer().otherwise(OK) as running:
        yield running


@pytest.fixture
def sock(server):
    """Connect a raw socket to the server."""
    with dial(server) as connected:
        yield connected


def dial(server):
    """Return a raw socket that is connected to the server."""
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=1)


def read_all(sock):
    """Return all bytes until the server ends the connection."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def read_exactly(sock, size):
    """Return exactly so many bytes."""
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def test_a_request_is_recorded_as_it_came(server, sock):
    """Verb, path, query, headers in their case and order, and body are kept."""
    sock.sendall(b"POST /a%2Fb?q=1 HTTP/1.1\r\nX-One: 1\r\nx-one: 2\r\nContent-Length: 2\r\n\r\n{}")
    read_exactly(sock, len(OK.data))

    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/a%2Fb", "q=1")
    assert request.headers == Headers([("X-One", "1"), ("x-one", "2"), ("Content-Length", "2")])
    assert (request.body, request.json(), request.version) == (b"{}", {}, "HTTP/1.1")


def test_headers_are_found_in_any_case():
    """``get`` gives the first value of a name, ``get_all`` every one."""
    headers = Headers([("Content-Type", "a"), ("content-type", "b")])

    assert (headers.get("CONTENT-TYPE"), headers.get_all("content-Type")) == ("a", ["a", "b"])
    assert (headers.get("x"), headers.get("x", "y")) == (None, "y")


def test_a_body_that_is_no_json_says_so():
    """``json`` fails as the standard library does."""
    with pytest.raises(ValueError, match="Expecting"):
        Request("POST", "/", body=b"{").json()


def test_a_chunked_request_body_is_joined(server, sock):
    """Chunks, extensions and trailers are taken off, and the connection stays usable."""
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    sock.sendall(head + b"3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n" + GET)
    read_exactly(sock, 2 * len(OK.data))

    assert [request.body for request in server.requests] == [b"abc0123456789", b""]


def test_a_request_may_come_byte_by_byte(server, sock):
    """No cut of the incoming bytes confuses the reader."""
    for byte in b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}":
        sock.sendall(bytes([byte]))

    assert read_exactly(sock, len(OK.data)) == OK.data
    assert server.requests[0].body == b"{}"


def test_pipelined_requests_are_answered_in_order(server, sock):
    """Requests that came early wait their turn, also through a silence of the answer before them."""
    server.on("GET", "/1", pause(0.01) + answer(200, b"1")).on("GET", "/2", answer(200, b"2"))
    sock.sendall(b"GET /1 HTTP/1.1\r\n\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n")

    assert read_all(sock) == answer(200, b"1").data + answer(200, b"2").data
    assert [(request.connection, request.number) for request in server.requests] == [(1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("head", "closes"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close", True),
        (b"GET / HTTP/1.0", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
        (b"GET / HTTP/1.1", False),
    ],
)
def test_a_connection_stays_open_as_the_client_asked(server, sock, head, closes):
    """HTTP/1.1 keeps it unless told to close, HTTP/1.0 closes it unless told to keep it."""
    sock.sendall(head + b"\r\n\r\n")
    read_exactly(sock, len(OK.data))
    assert server.wait_closed(2.0 if closes else 0.02) is closes


def test_a_client_that_waits_for_100_is_told_to_continue(server, sock):
    """``Expect: 100-continue`` is answered before the body is read."""
    sock.sendall(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert read_exactly(sock, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    sock.sendall(b"{}")

    assert read_exactly(sock, len(OK.data)) == OK.data


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_ends_the_connection(server, sock, garbage):
    """Nothing is answered, nothing is recorded, and the server goes on."""
    sock.sendall(garbage)

    assert read_all(sock) == b""
    assert server.requests == []


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_headers_above_the_limit_are_reset_as_by_2x(server, sock, end):
    """Above 4,096 bytes the connection is reset without a reply, whether or not the head ends."""
    sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 5000 + end)

    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    assert server.requests == []


def test_headers_below_the_limit_pass_and_the_limit_can_be_lifted(server, sock):
    """4,000 bytes pass by default, any size without a limit."""
    sock.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 4000 + b"\r\n\r\n")
    assert read_exactly(sock, len(OK.data)) == OK.data

    with FaultServer(header_limit=None).otherwise(OK) as lenient, dial(lenient) as other:
        other.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n")
        assert read_exactly(other, len(OK.data)) == OK.data


def test_a_cut_is_an_ordinary_end(server, sock):
    """After the bytes comes FIN: the reader sees an end, not an error; unread input does not change it."""
    gate = threading.Event()
    server.otherwise(lambda _: send(b"half" if gate.wait(1) else b"late") + cut())
    sock.sendall(GET)
    assert server.wait_requests()
    sock.sendall(GET)
    gate.set()

    assert read_all(sock) == b"half"


def test_a_cut_before_the_first_byte_is_a_remote_disconnect(server):
    """What a client sees when the service dies with its request."""
    server.otherwise(cut())
    with closing(http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        connection.request("GET", "/")
        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()


def test_a_reset_is_an_error_to_the_reader(server, sock):
    """RST arrives as ConnectionResetError, after the bytes that were read before it."""
    gate = threading.Event()
    server.otherwise(send(b"half") + hold(gate) + reset())
    sock.sendall(GET)
    assert read_exactly(sock, 4) == b"half"
    gate.set()

    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_a_stall_lasts_until_the_client_leaves(server, sock):
    """Nothing more comes, and the client's leaving is noticed and counted."""
    server.otherwise(OK[:1] + stall())
    sock.sendall(GET)
    assert read_exactly(sock, len(OK[:1].data)) == OK[:1].data
    sock.settimeout(0.02)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    assert server.left == 0
    sock.close()

    assert server.wait_left()
    assert server.wait_closed()


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
def test_every_way_of_leaving_is_noticed_in_a_silence(server, sock, how):
    """Closing, half-closing and resetting all end a pause at once."""
    server.otherwise(pause(5) + OK)
    sock.sendall(GET)
    assert server.wait_requests()
    if how == "half-close":
        sock.shutdown(socket.SHUT_WR)
    elif how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how != "half-close":
        sock.close()

    assert server.wait_left()


def test_leaving_is_noticed_behind_a_pipelined_request(server, sock):
    """Bytes that wait to be read do not hide the end that comes after them."""
    server.otherwise(stall())
    sock.sendall(GET + GET)
    assert server.wait_requests()
    sock.close()

    assert server.wait_left()


def test_leaving_is_noticed_while_sending(server, sock):
    """A client that never reads and closes ends an answer without any silence."""
    server.otherwise(send(b"x" * 20_000_000))
    sock.sendall(GET)
    assert server.wait_requests()
    sock.close()

    assert server.wait_left()


def test_closing_between_answers_is_not_leaving(server, sock):
    """An idle connection may be closed at any time; only an unfinished answer counts."""
    sock.sendall(GET)
    read_exactly(sock, len(OK.data))
    sock.close()

    assert server.wait_closed()
    assert not server.wait_left(0.0)


def test_a_pause_is_as_long_as_asked(server, sock):
    """The bytes after a pause come after its time, and not much later."""
    server.otherwise(OK[:1] + pause(0.03) + OK[1:])
    sock.sendall(GET)
    read_exactly(sock, len(OK[:1].data))
    began = time.monotonic()
    read_exactly(sock, 2)

    assert 0.02 < time.monotonic() - began < 0.3


def test_a_gate_that_stays_shut_opens_after_its_time(server, sock):
    """``hold`` with a limit goes on by itself."""
    server.otherwise(hold(threading.Event(), 0.01) + OK)
    sock.sendall(GET)

    assert read_exactly(sock, len(OK.data)) == OK.data


def test_a_split_is_seen_as_two_reads(server, sock):
    """The first read gets the bytes before the place and no more, unless the reader came late."""
    server.otherwise(split(OK, at=7, gap=0.02))
    firsts = []
    while OK.data[:7] not in firsts and len(firsts) < 9:
        sock.sendall(GET)
        firsts.append(sock.recv(65536))
        assert firsts[-1] + read_exactly(sock, len(OK.data) - len(firsts[-1])) == OK.data

    assert OK.data[:7] in firsts


def test_dribbled_headers_and_bodies_take_their_time(server, sock):
    """A few bytes of the head and of the body come singly, each with its pause; the whole is sound."""
    head, body = OK[:1].data, OK[1:]
    server.otherwise(dribble(head[:3], 0.005) + send(head[3:]) + dribble(body, 0.005))
    began = time.monotonic()
    sock.sendall(GET)

    assert read_exactly(sock, len(OK.data)) == OK.data
    assert time.monotonic() - began >= 4 * 0.005
