"""Errors within a stream, in whatever shape: the service's words reach the caller, with the text so far."""

from __future__ import annotations

import itertools
import json

import pytest
from support.cases import each_case
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import BadRequest, ContextLengthExceeded, ServiceError, StreamInterrupted
from foundry_rest.testing import DEMO_MODEL, chat_event, chat_events, event, json_answer, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
WORDS = "the disk is full"
#: One block each, as servers send them.
SHAPES = {
    "OpenAI's": event(json.dumps({"error": {"message": WORDS, "type": "server_error", "code": None}})),
    "a text": event(json.dumps({"error": WORDS})),
    "with a number as code": event(json.dumps({"error": {"code": 503, "message": WORDS}})),
    "with choices beside it": event(
        json.dumps({"error": {"message": WORDS}, "choices": [{"delta": {}, "finish_reason": "error"}]})
    ),
    "Pascal case": event(json.dumps({"Error": {"Message": WORDS}})),
    "vLLM's": event(
        json.dumps({"object": "error", "message": WORDS, "type": "InternalServerError", "code": 500})
    ),
    "Anthropic's": event(json.dumps({"type": "error", "error": {"type": "overloaded", "message": WORDS}})),
    "type without error": event(json.dumps({"type": "error", "message": WORDS})),
    "FastAPI's": event(json.dumps({"detail": WORDS})),
    "FastAPI's list": event(json.dumps({"detail": [{"loc": ["body"], "msg": WORDS, "type": "value_error"}]})),
    "a message alone": event(json.dumps({"message": WORDS, "code": 500})),
    "a problem document": event(json.dumps({"title": WORDS, "status": 500})),
    "named, a bare text": event(WORDS, name="error"),
    "named, a JSON text": event(json.dumps(WORDS), name="error"),
    "named, an object": event(json.dumps({"message": WORDS}), name="error"),
    "named, an error": event(json.dumps({"error": {"message": WORDS}}), name="error"),
    "named in capitals": event(WORDS, name="ERROR"),
    "named, two lines": event(WORDS.replace(" is ", " is\n"), name="error"),
    "named, with an id": event(WORDS, name="error", id="7"),
    "named behind its data": f"data: {WORDS}\nevent: error\n\n".encode(),
    "named, with half a character": event(f'{{"message": "{WORDS} \\ud83d"}}', name="error"),
    "with half a character": event(f'{{"error": {{"message": "{WORDS} \\ud83d"}}}}'),
    "with NaN beside it": event(f'{{"error": {{"message": "{WORDS}"}}, "x": NaN}}'),
    "named, with NaN": event(f'{{"message": "{WORDS}", "x": NaN}}', name="error"),
    "a field": f"error: {WORDS}\n\n".encode(),
    "a field with an object": f"error: {json.dumps({'code': 500, 'message': WORDS})}\n\n".encode(),
    "a field with CRLF": f"error: {WORDS}\r\n\r\n".encode(),
}
BEFORE = {"at once": (), "after a role": (chat_event({"role": "assistant", "content": ""}),)}


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, dialect=request.param, breaker=None
    ) as made:
        yield made


@each_case("done", [True, False])
@each_case("shape", SHAPES.values())
def test_after_some_text(server, client, shape, done):
    """A tidy [DONE] behind it makes no success of it."""
    server.on("POST", CHAT, sse((*chat_events("Hello there", None, usage=False), shape), done=done))

    with pytest.raises(StreamInterrupted, match="disk is full") as caught:
        list(client.stream_complete("Hi"))
    assert caught.value.text == "Hello there"


@each_case("before, shape", list(itertools.product(BEFORE.values(), SHAPES.values())))
def test_before_any_text(server, client, before, shape):
    """It is the service's error, as if its status had said so."""
    server.on("POST", CHAT, sse((*before, shape)))

    with pytest.raises(ServiceError, match="disk is full"):
        client.stream_complete("Hi").gather()


@pytest.mark.parametrize(
    "shape", [event(name="error"), event("", name="error"), event("{}", name="error"), b"error:\n\n"]
)
def test_without_words(server, client, shape):
    """An event that is an error by its name is one whatever its data."""
    server.on("POST", CHAT, sse((*chat_events("Hello", None, usage=False), shape)))

    with pytest.raises(StreamInterrupted, match="an error without a message") as caught:
        list(client.stream_complete("Hi"))
    assert caught.value.text == "Hello"


@pytest.mark.parametrize("name", ["error", None])
def test_the_class_follows_the_words(server, client, name):
    """Wording, type and code decide as they do for a status."""
    too_long = {"error": {"message": "too long", "code": "context_length_exceeded"}}
    server.on("POST", CHAT, sse([event(json.dumps(too_long), name=name)]))
    with pytest.raises(ContextLengthExceeded):
        client.stream_complete("Hi")

    server.on(
        "POST", CHAT, sse([event(json.dumps({"object": "error", "message": "no", "code": 400}), name=name)])
    )
    with pytest.raises(BadRequest, match="no"):
        client.stream_complete("Hi")


@each_case(
    "nothing",
    [
        None,
        "",
        False,
        0,
        {},
        [],
        {"code": None, "message": None},
        {"code": None, "message": "", "type": "", "param": None},
        {"code": 0, "message": ""},
        {"details": {}, "message": None},
    ],
)
@each_case("name", ["error", "Error"])
def test_no_error_beside_an_answer(server, client, nothing, name):
    """A member that says nothing is no error, whole or streamed."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}], name: nothing}
    whole = {
        "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}],
        name: nothing,
    }
    stream = sse([event(json.dumps(chunk))])
    server.on("POST", CHAT, lambda request: stream if request.json().get("stream") else json_answer(whole))

    assert client.complete("Hi").content == "Hello"
    assert client.stream_complete("Hi").gather().content == "Hello"


@pytest.mark.parametrize("name", ["ping", "message", "error.delta", "completion", "chunk", "errors"])
def test_other_names_mean_nothing(server, client, name):
    """An answer may come in events of any other name."""
    named = [b"event: %s\n%s" % (name.encode(), block) for block in chat_events("Hello there")]
    server.on("POST", CHAT, sse([event(name="ping"), *named]))

    assert client.stream_complete("Hi").gather().content == "Hello there"


@pytest.mark.parametrize(
    "body", [{"detail": WORDS}, {"object": "error", "message": WORDS}, {"message": WORDS, "choices": []}]
)
@pytest.mark.parametrize("generation", ["1.x", "0.x", "openai"])
def test_a_whole_answer_that_is_an_error(server, generation, body):
    """The words reach the caller under 200, too."""
    server.on("POST", CHAT, json_answer(body))

    client = FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=generation)
    with client, pytest.raises(ServiceError, match="disk is full"):
        client.complete("Hi")


#: Reasons with which servers give an answer up, and what they say about it in the choice.
GIVEN_UP = (
    ("error", {"code": 502, "message": WORDS}),
    ("error", {"message": WORDS}),
    ("error", WORDS),
    ("ERROR", WORDS),
    ("failed", {"message": WORDS}),
    *((reason, None) for reason in ("error", "abort", "aborted", "cancelled", "canceled", "timeout")),
    *((reason, None) for reason in ("network_error", "server_error", "insufficient_system_resource")),
)


@pytest.mark.parametrize("text", ["Hello there", ""])
def test_an_answer_that_is_given_up(server, client, text):
    """A finish reason that is a failure makes no success of the text so far, whole or streamed."""
    for reason, error in GIVEN_UP:
        said = {} if error is None else {"error": error}
        choice = {"finish_reason": reason, **said}
        end = event(json.dumps({"choices": [{"delta": {}, **choice}]}))
        whole = json_answer({"choices": [{"message": {"content": text}, **choice}]})
        events = chat_events(text, None, usage=False) if text else []
        stream = sse([*events, end])
        server.on("POST", CHAT, lambda request, a=stream, b=whole: a if request.json().get("stream") else b)
        for ask in (client.complete, lambda prompt: client.stream_complete(prompt).gather()):
            with pytest.raises(StreamInterrupted if text else ServiceError) as caught:
                ask("Hi")
            assert getattr(caught.value, "text", "") == text
            assert (WORDS if error else reason) in str(caught.value)


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "eos", "end_turn", "unknown"])
def test_an_answer_that_is_not_given_up(server, client, reason):
    """Any other reason is handed on as it is."""
    whole = json_answer({"choices": [{"message": {"content": "Hello"}, "finish_reason": reason}]})
    stream = sse(chat_events("Hello", reason))
    server.on("POST", CHAT, lambda request: stream if request.json().get("stream") else whole)

    for reply in (client.complete("Hi"), client.stream_complete("Hi").gather()):
        assert (reply.content, reply.finish_reason) == ("Hello", reason)
