"""Responses that a server sends before the final one (102, 103): they are passed over."""

from __future__ import annotations

import pytest
import requests
from support.transports import GET, BoundTransport

from foundry_rest.errors import InvalidReply
from foundry_rest.testing import FaultServer, chat_stream, json_answer, send, split
from foundry_rest.transport.call import Call

STREAM = Call("POST", "/v1/chat/completions", label="chat.stream", model="demo")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 3\r\n\r\n"
INTERIM = {
    "one": HINTS,
    "without headers": b"HTTP/1.1 102 Processing\r\n\r\n",
    "without a reason": b"HTTP/1.1 103\r\n\r\n",
    "an unknown one": b"HTTP/1.1 199 Whatever\r\nX-A: 1\r\n\r\n",
    "several": HINTS * 5,
    "with 100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS,
    "with 100 behind": HINTS + b"HTTP/1.1 100 Continue\r\n\r\n",
    "of HTTP/1.0": b"HTTP/1.0 103 Early Hints\r\nConnection: close\r\n\r\n",
    "chunked by its own word": b"HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.fixture
def server():
    """Run a server."""
    with FaultServer() as running:
        yield running


@pytest.fixture
def transport(server):
    """A transport over one connection."""
    made = BoundTransport(lambda: server.url, pool_size=1)
    yield made
    made.close()


def test_the_final_answer_is_the_answer(server, transport):
    """Each caller gets its own, over the same connection."""
    for number, interim in enumerate(INTERIM.values()):
        server.on("GET", "/status", send(interim) + json_answer({"number": number}))
        assert transport.send(GET).raw == {"number": number}

    assert len({request.connection for request in server.requests}) == 1


@pytest.mark.parametrize("interim", INTERIM.values(), ids=INTERIM)
def test_a_stream(server, transport, interim):
    """A stream begins behind them as an answer does."""
    server.on("POST", STREAM.path, send(interim) + chat_stream("Hello there"))

    assert list(transport.open(STREAM))[-1] == b"[DONE]"


@pytest.mark.parametrize("at", range(1, len(HINTS), 7))
def test_in_pieces(server, transport, at):
    """Where the bytes are split does not matter."""
    server.on("GET", "/status", split(HINTS, at, gap=0.001) + json_answer({"a": 1}))

    assert transport.send(GET).raw == {"a": 1}


def test_an_error_behind_them(server, transport):
    """The final status counts."""
    server.on("GET", "/status", send(HINTS) + json_answer({"error": "no"}, 400))

    with pytest.raises(requests.HTTPError) as caught:
        transport.send(GET)
    assert caught.value.response.status_code == 400


@pytest.mark.parametrize("given", [False, True])
def test_what_is_not_passed_over(server, given):
    """Another protocol is no answer, and its connection has no second use."""
    interim = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"
    answer = json_answer({"a": 1})
    server.on("GET", "/status", send(interim) + answer, answer)
    with requests.Session() as session:
        transport = BoundTransport(lambda: server.url, session=session if given else None, pool_size=1)
        with pytest.raises(InvalidReply, match="interim response 10"):
            transport.send(GET)
        assert transport.send(GET).raw == {"a": 1}
        transport.close()

    assert len({request.connection for request in server.requests}) == 2


def test_hints_through_a_session_of_the_caller(server):
    """They are passed over there, too."""
    server.on("GET", "/status", send(HINTS) + json_answer({"a": 1}))
    with requests.Session() as session:
        transport = BoundTransport(lambda: server.url, session=session)
        assert transport.send(GET).raw == {"a": 1}
        transport.close()


def test_interim_responses_without_end(server, transport):
    """So many are no service's way to answer."""
    server.on("GET", "/status", send(HINTS * 200))

    with pytest.raises(InvalidReply, match="not HTTP"):
        transport.send(GET)
