"""An answer that does not end fills no memory, and what it costs to read grows with its size alone."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib

import pytest
import requests
from support.platforms import TICK
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import InvalidReply, ServiceError, StreamInterrupted
from foundry_rest.schema import FunctionCall, ToolCall
from foundry_rest.stream import answer as answer_module
from foundry_rest.stream.tool_calls import MOST_CALLS, ToolCallBuilder
from foundry_rest.testing import DEMO_MODEL, answer, chat_completion, chat_event, event, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
MOST = 200_000
#: Deltas that go on and on.
ENDLESS = {
    "text": {"content": "word " * 20},
    "thoughts": {"reasoning_content": "hm " * 30},
    "nothing": {"content": ""},
    "a refusal": {"refusal": "no " * 30},
    "arguments": {
        "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "1, " * 30}}]
    },
    "an unknown member": {"content": "", "x": "y" * 90},
}


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, dialect=request.param, breaker=None, auto_load=False
    ) as made:
        yield made


@pytest.mark.parametrize("delta", ENDLESS.values(), ids=ENDLESS)
def test_a_stream_without_end(server, client, delta, monkeypatch):
    """It ends with the text so far, whoever reads it."""
    monkeypatch.setattr(answer_module, "MAX_ANSWER", MOST)
    server.on("POST", CHAT, sse([chat_event(delta)] * 3000))
    ways = [lambda: client.stream_complete("Hi").gather(), lambda: list(client.stream_complete("Hi"))]
    if client.generation == "2.x":
        ways.append(lambda: client.complete("Hi"))
    for ask in ways:
        tracemalloc.start()
        with pytest.raises(StreamInterrupted, match="larger than 200,000 bytes") as caught:
            ask()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        said = delta.get("content") or delta.get("refusal") or ""
        assert caught.value.text.startswith(said)
        assert peak < 20 * MOST


#: Codings, and the bytes of a body in them.
CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "identity, gzip": gzip.compress,
    "GZIP": gzip.compress,
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("coding", CODINGS)
def test_a_coded_answer_that_nobody_asked_for(server, coding, given):
    """It is refused before a byte of it is decoded; an error keeps its status."""
    bomb = CODINGS[coding](b'{"a": "' + b" " * 2_000_000 + b'"}')
    headers = [("Content-Encoding", coding)]
    session = requests.Session() if given else None
    with FoundryAPIClient(
        server.url, model="m", retries=0, dialect="openai", session=session, auto_load=False, breaker=None
    ) as client:
        for ask in (client.complete, lambda prompt: client.stream_complete(prompt).gather()):
            server.on("POST", CHAT, answer(200, bomb, headers=headers))
            with pytest.raises(InvalidReply, match=r"coded .*not asked for"):
                ask("Hi")
            server.on("POST", CHAT, answer(418, bomb, headers=headers))
            with pytest.raises(ServiceError) as caught:
                ask("Hi")
            assert (caught.value.status, caught.value.body) == (418, b"")


@pytest.mark.parametrize("coding", ["identity", "none", "utf-8", ""])
def test_no_coding(server, coding):
    """What only looks like a coding is none."""
    whole = chat_completion("Hello").data.partition(b"\r\n\r\n")[2]
    server.on("POST", CHAT, answer(200, whole, headers=[("Content-Encoding", coding)]))
    with FoundryAPIClient(server.url, model="m", retries=0, dialect="openai", auto_load=False) as client:
        assert client.complete("Hi").content == "Hello"


def pieces_of(count, **more):
    """Return the fragments of one call whose arguments come one number at a time."""
    yield ToolCall("a", "function", FunctionCall("f", '{"x": ['), 0)
    for _ in range(count):
        yield ToolCall(function=FunctionCall(more.get("name"), "1, "), index=0, id=more.get("id"))
    yield ToolCall(function=FunctionCall(None, "1]}"), index=0)


@pytest.mark.parametrize("more", [{}, {"name": "f"}, {"id": "a", "name": "f"}])
def test_arguments_in_many_pieces(more):
    """Ten times the pieces take about ten times as long, and the arguments are whole."""
    seconds = []
    for count in (3_000, 30_000):
        builder = ToolCallBuilder()
        began = time.process_time()
        for piece in pieces_of(count, **more):
            builder.add(piece)
        (call,) = builder.build()
        seconds.append(time.process_time() - began)
        assert len(json.loads(call.arguments)["x"]) == count + 1
    assert seconds[1] < 40 * max(seconds[0], TICK)


def test_more_calls_than_any_model_makes(server, client):
    """They are refused, and not gathered."""
    deltas = [
        {"tool_calls": [{"index": at, "id": f"c{at}", "function": {"name": "f", "arguments": "{}"}}]}
        for at in range(MOST_CALLS + 1)
    ]
    server.on("POST", CHAT, sse([*map(chat_event, deltas), event("{}")]))

    with pytest.raises((InvalidReply, StreamInterrupted), match="more than 1024 tool calls"):
        client.stream_complete("Hi").gather()
