"""Every way a stream can break: a typed error with the text so far, or the right text; never a short answer.

The rows are those in which every peer takes half an answer for a whole one. Each is asked twice: by
``stream()`` and by ``complete()``, which runs over a stream on 2.x.
"""

from __future__ import annotations

import gc
import os
import threading
import time

import pytest

from foundry_rest import FoundryAPIClient, RetryPolicy, Timeouts
from foundry_rest.errors import (
    ContextLengthExceeded,
    FoundryError,
    InferenceFailed,
    InvalidReply,
    ModelNotLoaded,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    DONE,
    DONE_UNSPACED,
    MALFORMED,
    FaultServer,
    answer,
    bad_chunk_size,
    chat_completion,
    chat_events,
    chat_stream,
    close_delimited,
    comment,
    cut,
    dribble,
    error_event,
    error_stream,
    event,
    hold,
    html_page,
    json_answer,
    json_error,
    pause,
    reset,
    split,
    sse,
    stall,
    unavailable,
)
from foundry_rest.transport.session import body

PATH = "/v1/chat/completions"
TEXT = "one two three"
#: Head, role, three words, finish, usage, [DONE], zero chunk.
WHOLE = chat_stream(TEXT)
#: Up to and with "two".
HALF = WHOLE[:4]
EVENTS = chat_events(TEXT)
UNFINISHED = chat_events(TEXT, finish=None, usage=False)
FINISHED = chat_events(TEXT, usage=False)
IGNORED = (b"retry: 3000\n\n", b"id: 1\n\n", event(name="ping"))
#: For the rows whose subject is silence; the others must not fail because the machine is slow.
QUICK, PATIENT = Timeouts(1, 0.06, 0.05), Timeouts(1, 2, 2)


@pytest.fixture(autouse=True)
def _drain_briefly(monkeypatch):
    """Wait but a moment for the end of a body that is complete."""
    monkeypatch.setattr(body, "DRAIN", 0.05)


@pytest.fixture(scope="module")
def server():
    """Run one server for all rows; each test names its own script."""
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    """Give a client that tries once."""
    with connect(server) as client:
        yield client


def connect(server, **options):
    """Return a client of the server."""
    settings = {
        "model": DEMO_MODEL,
        "dialect": "2.x",
        "retries": 0,
        "timeout": PATIENT,
        "auto_load": False,
        "breaker": None,
    }
    return FoundryAPIClient(server.url, **(settings | options))


def complete(client, row=""):
    """Ask for the whole text."""
    return client.chat.complete("hi", timeout=patience(row)).content


def stream(client, row=""):
    """Ask for chunks; return them joined."""
    with client.chat.stream("hi", timeout=patience(row)) as chunks:
        return "".join(chunk.content for chunk in chunks)


def patience(row):
    """Return the time-outs for a row, by its name."""
    return QUICK if "silence" in row else PATIENT


both = pytest.mark.parametrize("ask", [complete, stream])

#: What the server does -> (script, class of the error's cause, text so far).
BROKEN = {
    "chunked body cut": (HALF + cut(), ServiceUnreachable, "one two"),
    "chunked body cut inside an event": (HALF + split(WHOLE[4:5], 30)[:1] + cut(),
        ServiceUnreachable, "one two"),
    "connection reset": (HALF + pause(0.02) + reset(), ServiceUnreachable, "one two"),
    "silence past the time-out": (HALF + stall(), ServiceTimeout, "one two"),
    "bad chunk size": (bad_chunk_size(UNFINISHED), ServiceUnreachable, TEXT),
    "clean end, no [DONE], no finish_reason": (sse(UNFINISHED, done=False), None, TEXT),
    "clean end in the middle of an event": (sse((*UNFINISHED, b'data: {"cho'), done=False), None, TEXT),
    "close-delimited body cut": (close_delimited(UNFINISHED), None, TEXT),
    "error event after text": (error_stream("Inference failed: memory", after=TEXT), InferenceFailed, TEXT),
    "malformed event": (sse((*UNFINISHED, MALFORMED)), InvalidReply, TEXT),
    "event of another kind": (sse((*UNFINISHED, event('{"hello": 1}'))), InvalidReply, TEXT),
    "event is a list": (sse((*UNFINISHED, event("[1]"))), InvalidReply, TEXT),
    "1.x cut after text": (chat_stream(TEXT)[:4] + cut(), ServiceUnreachable, "one two"),
}  # fmt: skip


@both
@pytest.mark.parametrize("row", BROKEN)
def test_a_break_after_text_is_stream_interrupted_with_the_text(row, ask, client, server):
    """The text so far is in the error, its cause says what happened, and nothing foreign comes through."""
    script, cause, text = BROKEN[row]
    server.on("POST", PATH, script)
    with pytest.raises(StreamInterrupted) as caught:
        ask(client, row)

    error = caught.value
    assert error.text == text
    assert error.chunks == 1 + len(text.split())
    assert cause is None or isinstance(error.__cause__, cause)
    assert error.url == server.url
    assert (error.call, error.model) == (f"chat.{ask.__name__}", DEMO_MODEL)


#: What the server does before any text -> (script, class).
REFUSED = {
    "cut after the head": (WHOLE[:1] + cut(), ServiceUnreachable),
    "cut after the role": (WHOLE[:2] + cut(), StreamInterrupted),  # the answer had begun
    "reset before the head": (reset(), ServiceUnreachable),
    "closed before the head": (cut(), ServiceUnreachable),
    "silence before the head": (stall(), ServiceTimeout),
    "silence after the head": (WHOLE[:1] + stall(), ServiceTimeout),
    "error event first": (error_stream("Inference failed: memory"), InferenceFailed),
    "error event after the role": (sse((UNFINISHED[0], error_event("oops")), done=False), ServerError),
    "invalid request in a 200": (
        error_stream("it exceeds the model's maximum context length of 9", "invalid_request_error"),
        ContextLengthExceeded,
    ),
    "malformed event first": (sse((MALFORMED,)), InvalidReply),
    "HTML page": (html_page(), InvalidReply),
    "HTML page without a type": (answer(200, "<html>Sign in</html>", content_type=None), StreamInterrupted),
    "JSON error body": (json_error(200, "Inference failed: x"), InferenceFailed),
    "JSON error body, status 400": (json_error(400, "Model not loaded: load it"), ModelNotLoaded),
    "plain answer to a stream": (chat_completion(TEXT), InvalidReply),
    "empty body": (sse((), done=False), StreamInterrupted),
    "only [DONE]": (sse(()), StreamInterrupted),
    "only comments": (sse((comment(), comment()), done=False), StreamInterrupted),
    "only blocks without data": (sse(IGNORED, done=False), StreamInterrupted),
    "Content-Length 0": (answer(200, b"", content_type="text/event-stream"), StreamInterrupted),
    "status 204": (answer(204, b"", content_type=None), StreamInterrupted),
}


@both
@pytest.mark.parametrize("row", REFUSED)
def test_a_break_before_text_is_the_failure_itself(row, ask, client, server):
    """Without a word of text the error is what happened: no answer looks like an empty success."""
    script, cls = REFUSED[row]
    server.on("POST", PATH, script)
    with pytest.raises(FoundryError) as caught:
        ask(client, row)

    assert type(caught.value) is cls
    assert caught.value.url == server.url


#: What the server does and a client has to bear.
BORNE = {
    "keep-alive comments": sse((comment(), comment(), *EVENTS)),
    "only retry: first": sse((IGNORED[0], *EVENTS)),
    "only id: first": sse((IGNORED[1], *EVENTS)),
    "only event: ping first": sse((IGNORED[2], *EVENTS)),
    "byte order mark first": sse(EVENTS, bom=True),
    "[DONE] without the space": sse((*EVENTS, DONE_UNSPACED), done=False),
    "[DONE] without the blank line": sse((*EVENTS, DONE.rstrip()), done=False),
    "finish_reason, then the end": sse(FINISHED, done=False),
    "finish_reason, then a cut": sse(FINISHED, done=False)[:-1] + cut(),
    "finish_reason, then a reset": sse(FINISHED, done=False)[:-1] + pause(0.02) + reset(),
    "finish_reason, then silence (0.8.117)": sse(FINISHED, done=False)[:-1] + stall(),
    "finish_reason, then rubbish": sse((*FINISHED, MALFORMED), done=False),
    "[DONE] without finish_reason (0.8.101)": sse(UNFINISHED),
    "[DONE], then silence": WHOLE[:-1] + stall(),
    "[DONE], then more": sse((*EVENTS, DONE, *EVENTS)),
    "close-delimited": close_delimited((*EVENTS, DONE)),
    "no content type": answer(200, b"".join((*EVENTS, DONE)), content_type=None),
    "content type in capitals": answer(200, b"".join((*EVENTS, DONE)), content_type="Text/Event-Stream"),
    "one packet": answer(200, b"".join((*EVENTS, DONE)), content_type="text/event-stream"),
    "split inside an event": split(WHOLE, 700),
    "byte by byte": dribble(WHOLE, 0),
}


@both
@pytest.mark.parametrize("row", BORNE)
def test_what_is_odd_but_whole_gives_the_whole_text(row, ask, client, server):
    """Nothing is lost, and nothing waits for a silence to end."""
    server.on("POST", PATH, BORNE[row])
    began = time.monotonic()

    assert ask(client, row) == TEXT
    assert time.monotonic() - began < (1 if os.name == "posix" else 5)


@both
def test_comments_after_the_finish_reason_do_not_hold_the_answer_back(ask, client, server):
    """The grace for usage and [DONE] is one span of time: a service that only beats on is left."""
    beats = (step for _ in range(100) for step in (sse((comment(),))[1:2], pause(0.02)))
    server.on("POST", PATH, sse(FINISHED, done=False)[:-1] + tuple(beats) + stall())
    began = time.monotonic()

    assert ask(client, "silence") == TEXT
    assert time.monotonic() - began < 0.5


def test_a_dropped_client_does_not_end_its_stream(server):
    """The stream owns what it needs: the client may go out of scope while the answer comes."""
    gate = threading.Event()
    server.on("POST", PATH, WHOLE[:3] + hold(gate) + WHOLE[3:])
    client = connect(server)
    chunks = client.stream_complete("hi")
    del client
    gc.collect()
    gate.set()

    assert "".join(chunk.content for chunk in chunks) == TEXT


@pytest.mark.parametrize(
    ("script", "where"),
    [
        (html_page(), "$"),
        (answer(200, b""), "$"),
        (json_answer([1, 2]), "$"),
        (json_answer("text"), "$"),
        (json_answer({}), "$.choices"),
        (json_answer({"choices": []}), "$.choices"),
        (json_answer({"choices": [{"message": {"content": 5}}]}), "$.choices[0].message.content"),
        (chat_completion(TEXT)[:1] + split(chat_completion(TEXT)[1:], 40)[:1] + cut(), None),
    ],
)
def test_a_plain_answer_that_is_none_is_an_error(script, where, server):
    """HTML, a list, an empty object and half an answer are no ChatReply, whatever the status says."""
    server.on("POST", PATH, script)
    with connect(server, dialect="openai") as client, pytest.raises(FoundryError) as caught:
        client.complete("hi")

    assert isinstance(caught.value, InvalidReply if where else ServiceUnreachable)
    assert getattr(caught.value, "where", None) == where
    assert caught.value.call == "chat.complete"


def test_an_error_body_in_a_plain_200_is_that_error(server):
    """An error body counts more than the status; ``"error": null`` beside a success means nothing."""
    with connect(server, dialect="openai") as client:
        server.on("POST", PATH, json_error(200, "Inference failed: x"))
        with pytest.raises(InferenceFailed):
            client.complete("hi")
        sound = {"choices": [{"message": {"content": "ok"}}], "error": None}
        server.on("POST", PATH, json_answer(sound))

        assert client.complete("hi").content == "ok"


@both
@pytest.mark.parametrize("failures", [0, 1, 2])
@pytest.mark.parametrize("words", [0, 2])
def test_the_attempts_of_a_stream_that_broke(ask, server, failures, words):
    """Those before it and its own are in the error."""
    broken = WHOLE[: 2 + words] + cut()
    server.on("POST", PATH, *[unavailable()] * failures, broken)
    policy = RetryPolicy(retries=2, base=0.001, longest=0.001, floor=0.001)
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x", retries=policy)
    with client, pytest.raises(StreamInterrupted) as caught:
        ask(client, "broken")

    tried = caught.value.attempts
    assert [each.number for each in tried] == list(range(1, failures + 2))
    assert [each.error for each in tried] == [*["ServerError"] * failures, "StreamInterrupted"]
    assert all(each.elapsed >= 0 for each in tried)
