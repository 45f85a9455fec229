"""What is kept: whole answers alone, and nothing that is cut, filtered, refused, broken or too long."""

from __future__ import annotations

import json

import pytest
from support.caches import SURE, asked, cache_in, cached_client
from support.servers import CHAT

from foundry_rest import FoundryError
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_completion,
    chat_events,
    chat_stream,
    cut,
    error_stream,
    event,
    html_page,
    inference_failed,
    json_answer,
    json_error,
    model_not_loaded,
    sse,
    too_many,
    unavailable,
)


def chunk(delta=None, finish=None, index=0, **more):
    """Return one event of a chat."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return event(json.dumps({"choices": [choice], "model": DEMO_MODEL, **more}))


def stream(*events, done=True):
    """Return a stream of events."""
    return sse(events, done=done)


def plain(message, finish="stop", **more):
    """Return a whole completion."""
    return json_answer({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **more})


TOOL = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
STREAMS_NOT_KEPT = {
    "cut by max_tokens": chat_stream("a b", "length"),
    "filtered": chat_stream("a b", "content_filter"),
    "of an unknown reason": chat_stream("a b", "whatever"),
    "without a reason": chat_stream("a b", None),
    "with a placeholder as reason": chat_stream("a b", "null"),
    "cut, then stopped": stream(chunk({"content": "a"}, "length"), chunk({}, "stop")),
    "goes on after its reason": stream(chunk({"content": "a"}, "stop"), chunk({"content": "b"})),
    "empty": chat_stream([], "stop"),
    "of blanks": chat_stream([" ", "\n"], "stop"),
    "a refusal": stream(chunk({"refusal": "I cannot"}), chunk({}, "stop")),
    "tool calls without one": stream(chunk({"content": "a"}), chunk({}, "tool_calls")),
    "one of two alternatives": stream(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, index=1)),
    "broken in the middle": chat_stream("one two three")[:4] + cut(),
    "an error in the middle": error_stream(after="one two"),
    "an error at once": error_stream(),
    "cut after its reason": stream(*chat_events("one two"), done=False)[:5] + cut(),
    "bytes that are no UTF-8": stream(
        b'data: {"choices":[{"index":0,"delta":{"content":"\xff"},"finish_reason":"stop"}]}\n\n'
    ),
    "an infinity": stream(
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop","x":Infinity}]}\n\n'
    ),
}
REPLIES_NOT_KEPT = {
    "cut by max_tokens": chat_completion("a", finish="length"),
    "filtered": chat_completion("a", finish="content_filter"),
    "without a reason": plain({"content": "a"}, None),
    "empty": plain({"content": ""}),
    "a refusal": plain({"content": None, "refusal": "I cannot"}),
    "no choices": json_answer({"choices": []}),
    "an error under 200": json_error(200, "no"),
    "broken off": chat_completion("a")[:1] + cut(),
    "a page": html_page(),
}
ERRORS = {
    "400": json_error(400, "no"),
    "404": json_error(404, "no"),
    "429": too_many(0),
    "500": inference_failed(),
    "503": unavailable(),
    "not loaded": model_not_loaded(),
}


@pytest.fixture
def client(server, tmp_path):
    """A client with a cache."""
    with cached_client(server, tmp_path, breaker=None, auto_load=False) as made:
        yield made


@pytest.fixture
def plain_client(server, tmp_path):
    """The same, of a service that answers in one piece."""
    with cached_client(server, tmp_path, breaker=None, dialect="openai") as made:
        yield made


def twice(server, client, script, **call):
    """Ask twice, whatever comes; return how often the service was asked, and whether anything was kept."""
    server.on("POST", CHAT, script)
    for _ in range(2):
        try:
            assert not client.complete("Hi", **{**SURE, "cache": True, **call}).cached
        except FoundryError:
            continue
    return asked(server), client._spec.cache.stats().entries


@pytest.mark.parametrize("name", STREAMS_NOT_KEPT)
def test_streams_that_are_not_kept(server, client, name):
    """A streamed answer in doubt is asked for again, whether it was given or raised."""
    assert twice(server, client, STREAMS_NOT_KEPT[name]) == (2, 0)


@pytest.mark.parametrize("name", REPLIES_NOT_KEPT)
def test_replies_that_are_not_kept(server, plain_client, name):
    """So is a whole one."""
    assert twice(server, plain_client, REPLIES_NOT_KEPT[name]) == (2, 0)


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_never_kept(server, client, plain_client, name):
    """An error is each call's own."""
    assert twice(server, client, ERRORS[name]) == (2, 0)
    assert twice(server, plain_client, ERRORS[name])[1] == 0


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_forced_call_that_is_missing(server, client, plain_client, choice):
    """An answer without the tool call that was demanded is not kept; one with it is."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    given = {"tools": tools, "tool_choice": choice}

    assert twice(server, client, chat_stream("text"), **given) == (2, 0)
    assert twice(server, plain_client, plain({"content": "text"}), **given)[1] == 0
    called = stream(chunk({"tool_calls": [TOOL]}), chunk({}, "tool_calls"))
    server.on("POST", CHAT, called)
    assert [client.complete("Hi", **SURE, **given).cached for _ in range(2)] == [False, True]


def test_json_that_is_none(server, client):
    """What was to be JSON and is not is not kept."""
    given = {"response_format": {"type": "json_object"}}

    assert twice(server, client, chat_stream(['{"a": ']), **given) == (2, 0)
    server.on("POST", CHAT, chat_stream(['{"a": ', "1}"]))
    assert [client.complete("Hi", **SURE, **given).cached for _ in range(2)] == [False, True]


def test_a_stream_that_was_not_read_to_its_end(server, client):
    """A stream that its reader leaves, even after the last word, leaves nothing behind."""
    server.on("POST", CHAT, chat_stream("one two"))
    for _ in range(2):
        with client.chat.stream("Hi", **SURE) as left:
            while left.finish_reason is None:
                next(left)
        assert not left.cached
    assert asked(server) == 2


def test_an_error_of_the_reader(server, client):
    """Nor does one whose reader's own parser fails."""
    server.on("POST", CHAT, chat_stream("one two"))

    def fail(data):
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            list(client.chat.stream("Hi", parse=fail, **SURE))
    assert asked(server) == 2


@pytest.mark.parametrize("as_stream", [True, False])
def test_an_answer_that_is_too_long(server, tmp_path, as_stream):
    """More than an eighth of the whole is never kept, and given as it is."""
    cache = cache_in(tmp_path, max_bytes=256 * 1024)
    text = "word " * 8000
    server.on("POST", CHAT, chat_stream([text]) if as_stream else chat_completion(text))
    with cached_client(server, tmp_path, cache=cache, dialect="2.x" if as_stream else "openai") as client:
        replies = [client.complete("Hi", **SURE) for _ in range(2)]

    assert {reply.content for reply in replies} == {text}
    assert (asked(server), cache.stats().entries) == (2, 0)


@pytest.mark.parametrize(
    "vectors",
    [
        [{"index": 0, "embedding": []}],
        [{"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [2.0]}],
        [],
    ],
)
def test_vectors_that_are_wrong(server, client, vectors):
    """Vectors that cannot be used are not kept."""
    server.on("POST", "/v1/embeddings", json_answer({"data": vectors}))
    for _ in range(2):
        with pytest.raises(FoundryError):
            client.embeddings.create("a")
    assert asked(server, "/v1/embeddings") == 2


@pytest.mark.parametrize("status", ["incomplete", "failed", "in_progress", "queued"])
@pytest.mark.parametrize("as_stream", [True, False])
def test_responses_that_are_not_complete(server, client, plain_client, status, as_stream):
    """A response that did not complete is not kept."""
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]
    body = {"id": "r", "status": status, "model": "m", "output": output}
    last = event(json.dumps({"type": f"response.{status}", "response": body}))
    server.on("POST", "/v1/responses", sse([last]) if as_stream else json_answer(body))
    for _ in range(2):
        try:
            assert not (client if as_stream else plain_client).responses.create("Hi", **SURE).cached
        except FoundryError:
            continue
    assert asked(server, "/v1/responses") == 2


def test_what_is_odd_but_whole_is_kept(server, client):
    """Alternatives, a text that begins with thoughts, and an end without [DONE] are whole answers."""
    for script in (
        stream(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "stop", index=1)),
        chat_stream("<think>so</think> yes"),
        stream(chunk({"content": "a"}, "stop"), done=False),
    ):
        server.on("POST", CHAT, script)
        client._spec.cache.clear()
        assert [client.complete("Hi", **SURE).cached for _ in range(2)] == [False, True]
