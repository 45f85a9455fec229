"""Whatever bytes a service sends: the right text or a typed error, in time, and nothing is lost.

Heads, chunks and events are valid at first; then they are repeated, spliced, cut and dribbled. Each run tries
the same 300 examples; ``FOUNDRY_TEST_FUZZ=5000 pytest tests/integration/test_fuzz.py`` tries others.
"""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.servers import CHAT

from foundry_rest import BreakerPolicy, FoundryAPIClient
from foundry_rest.errors import DeadlineExceeded, FoundryError
from foundry_rest.testing import DEMO_MODEL, FaultServer, cut, pause, reset, send, stall

MORE = int(os.environ.get("FOUNDRY_TEST_FUZZ", "0"))
#: Seconds for a call, and by how much it may be exceeded.
DEADLINE, LATE = 0.4, 1.0
#: Seconds that each example took.
TIMES = []
OK = b"HTTP/1.1 200 OK\r\n"
HEADS = (
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 503 Busy\r\n",
    b"HTTP/1.1 400 Bad\r\n",
    b"HTTP/1.1 204 Nothing\r\n",
)
TYPES = (b"text/event-stream", b"application/json", b"text/html; charset=latin-1")
#: What may be wrong with an answer, one of them beside a cut. Only a cut leaves what it must say known.
DAMAGES = ("noise", "splice", "head", "type", "no finish", "wrong length", "twice")
PIECES = ("Hello", " there", "", ".", "\u00e9", "\U0001f600")
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
NOISE = (b": beat\n\n", b"event: x\n", b"\n", b"data: {\n\n", b'data: {"error":{"message":"broken"}}\n\n')
ENDS = {"close": cut(), "reset": reset(), "silence": stall()}


def event(text):
    """Return the event of a piece of text."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


def chunked(body, sizes):
    """Return a body in chunks of these sizes, again and again."""
    framed, at, number = b"", 0, 0
    while at < len(body):
        piece = body[at : at + sizes[number % len(sizes)]]
        framed += b"%x\r\n%s\r\n" % (len(piece), piece)
        at, number = at + len(piece), number + 1
    return framed + b"0\r\n\r\n"


def body_of(texts, damages, *, is_whole):
    """Return the body of an answer, in events or in one JSON object."""
    if is_whole:
        message = {"role": "assistant", "content": "".join(texts)}
        reason = None if "no finish" in damages else "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return json.dumps({"choices": [choice]}).encode()
    finish = (FINISH + DONE, FINISH)[len(texts) % 2]
    return b"".join(map(event, texts)) + (b"" if "no finish" in damages else finish)


@st.composite
def wires(draw, damages, *, is_whole):
    """Return the bytes of an answer and its text."""
    texts = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5))
    body = body_of(texts, damages, is_whole=is_whole)
    if "noise" in damages:
        noise, at = draw(st.sampled_from(NOISE)), draw(st.integers(0, len(body)))
        body = body[:at] + noise + body[at:]
    head = draw(st.sampled_from(HEADS)) if "head" in damages else OK
    kind = draw(st.sampled_from(TYPES)) if "type" in damages else TYPES[is_whole]
    head += b"Content-Type: %s\r\n" % kind
    framing = "length" if "wrong length" in damages else draw(st.sampled_from(("chunks", "length", "end")))
    if framing == "chunks":
        sizes = draw(st.lists(st.integers(1, 60), min_size=1, max_size=3))
        wire = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, sizes)
    elif framing == "end":
        wire = head + b"Connection: close\r\n\r\n" + body
    else:
        length = len(body) + (draw(st.integers(-9, 9)) if "wrong length" in damages else 0)
        wire = head + b"Content-Length: %d\r\n\r\n%s" % (max(0, length), body)
    return wire * (2 if "twice" in damages else 1), "".join(texts)


@st.composite
def examples(draw):
    """Return the steps of an answer, its text if that is certain, the dialect, and whether it is streamed."""
    dialect, streams = draw(st.sampled_from(("2.x", "1.x", "openai"))), draw(st.booleans())
    damages = {draw(st.sampled_from(DAMAGES))} if draw(st.booleans()) else set()
    wire, text = draw(wires(damages, is_whole=not streams and dialect != "2.x"))
    if "splice" in damages:
        at, piece = draw(st.integers(0, len(wire))), draw(st.binary(min_size=1, max_size=8))
        wire = wire[:at] + piece + wire[at:]
    end = draw(st.integers(0, len(wire))) if draw(st.booleans()) else len(wire)
    step = max(1, end // draw(st.sampled_from((1, 1, 2, 7, 40))))
    wait = draw(st.sampled_from((0.0, 0.0, 0.0, 0.004, 0.03)))
    script = tuple(
        each for at in range(0, end, step) for each in (send(wire[at : min(end, at + step)]), pause(wait))
    )
    certain = None if damages else text
    return (*script, ENDS[draw(st.sampled_from(sorted(ENDS)))]), certain, dialect, streams


@pytest.fixture(scope="module")
def service():
    """Serve all examples."""
    with FaultServer() as server:
        yield server


def ask(client, *, streams):
    """Return the text of an answer, read in one of two ways."""
    if not streams:
        return client.complete("Hi", deadline=DEADLINE).content
    return "".join(chunk.content for chunk in client.stream_complete("Hi", deadline=DEADLINE))


@settings(
    max_examples=MORE or 300,
    derandomize=not MORE,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(made=examples())
def test_any_bytes(service, made):
    """Text is the service's whole text, an error is ours, no wait outlives the deadline, nothing is kept."""
    script, text, dialect, streams = made
    service.on("POST", CHAT, script)
    with FoundryAPIClient(
        service.url,
        model=DEMO_MODEL,
        dialect=dialect,
        retries=0,
        auto_load=False,
        max_concurrency=1,
        breaker=BreakerPolicy(failures=1),
    ) as client:
        began, error, said = time.monotonic(), None, None
        try:
            said = ask(client, streams=streams)
        except FoundryError as raised:
            error = raised
        took = time.monotonic() - began
        assert took < DEADLINE + LATE
        TIMES.append(took)
        assert client._core.bounds.slots.free == 1
        if isinstance(error, DeadlineExceeded):
            assert client.breaker.current == "closed"
        if error is None and text is not None:
            assert said == text


@pytest.mark.skipif(MORE < 1000, reason="a share of the examples needs many: FOUNDRY_TEST_FUZZ=5000")
def test_how_late():
    """Of a hundred calls, 99 end within 100 ms of their deadline."""
    assert sorted(TIMES)[len(TIMES) * 99 // 100] < DEADLINE + 0.1
