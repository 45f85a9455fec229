"""The /v1 half: what is sent byte for byte, and how the answers of all generations are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry_rest.config import Timeouts
from foundry_rest.dialects.model_routes import ModelRoutes, parse_models
from foundry_rest.dialects.openai import OpenAIDialect, parse_chunk, parse_completion
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import BadRequest, InvalidReply, ServerError, UnsupportedByService
from foundry_rest.schema import build_chat_request
from foundry_rest.transport.call import Options, Replay, Reply

SAMPLES = Path(__file__).parents[1] / "samples"
OPTIONS = Options(Timeouts(connect=1), until=99.0, headers={"X-Trace": "t"})
URL = "http://127.0.0.1:5273"


def sample(name: str) -> Reply:
    """Return a recorded answer."""
    return Reply(200, {"x": "y"}, (SAMPLES / f"json_{name}.json").read_bytes(), URL, 1.5)


def request(**params: object):
    """Return a small request, known by an alias."""
    return build_chat_request("Hi", model="alias", model_id="id:1", max_tokens=7, params=params)


def test_a_plain_chat():
    """The id, the messages and the parameters go out; the caller's name stays with the call."""
    call = OpenAIDialect().chat(request(seed=1), OPTIONS).call

    assert (call.method, call.path, call.label, call.model) == (
        "POST",
        "/v1/chat/completions",
        "chat.complete",
        "alias",
    )
    assert (call.options.timeouts, call.options.until, call.options.headers) == (
        OPTIONS.timeouts,
        99.0,
        {"X-Trace": "t"},
    )
    assert (call.replay, call.header_limit) == (Replay.ALWAYS, None)
    assert json.loads(call.body) == {
        "model": "id:1",
        "messages": [{"role": "user", "content": "Hi"}],
        "seed": 1,
        "max_tokens": 7,
    }


def test_a_streamed_chat():
    """A stream asks for usage, too; its label is the caller's."""
    call = OpenAIDialect().chat_stream(request(), OPTIONS, "chat.complete").call
    body = json.loads(call.body)

    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
    assert call.label == "chat.complete"
    assert OpenAIDialect().chat_stream(request(), OPTIONS).call.label == "chat.stream"


@pytest.mark.parametrize(
    ("name", "content", "finish", "tokens", "model"),
    [
        ("native_chat", "Hello there, friend", "length", 22, "tiny-chat-generic-cpu:1"),
        ("native_tool_call", "", "tool_calls", 1024, "tool-chat-generic-cpu:1"),
        ("core_chat", "Hello", "length", 21, "tiny-chat-generic-cpu"),
        ("legacy_chat", "Hello", "stop", 0, "Phi-4-mini-instruct-generic-cpu"),
    ],
)
def test_whole_answers_of_all_generations(name, content, finish, tokens, model):
    """Extra fields, delta beside message, null errors and missing usage are all normal."""
    reply = parse_completion(sample(name))

    assert (reply.content, reply.finish_reason, reply.usage.total_tokens, reply.model) == (
        content,
        finish,
        tokens,
        model,
    )
    assert (reply.elapsed, reply.first_token, reply.headers) == (1.5, None, {"x": "y"})
    assert reply.raw["object"] == "chat.completion"


def test_tool_calls_and_reasoning_are_kept():
    """The typed reply holds the calls and the thinking."""
    (call,) = parse_completion(sample("native_tool_call")).tool_calls

    assert (call.id, call.function.name, call.function.arguments) == ("call_CudIXYXRK", "add", '{"a":1}')
    assert parse_completion(sample("native_chat")).reasoning == "They greet."


BROKEN = [
    (b"", "$"),
    (b"<html>", "$"),
    (b"null", "$"),
    (b"[]", "$"),
    (b"{}", "$.choices"),
    (b'{"choices":null}', "$.choices"),
    (b'{"choices":[]}', "$.choices"),
    (b'{"choices":[{"message":{"content":5}}]}', "$.choices[0].message.content"),
    (b'{"choices":[{"message":{"content":"a"},"finish_reason":1}]}', "$.choices[0].finish_reason"),
    (b'{"choices":{}}', "$.choices"),
    (b'{"choices":[{"message":{"content":"\xff"}}]}', "$.choices[0].message.content"),
    (b'{"choices":[{"message":{"content":"a"}}], "x":' + b"[" * 100_000, "$"),
    (b'{"choices":[{"message":{"content":"a', "$"),
]


@pytest.mark.parametrize(("body", "where"), BROKEN, ids=lambda value: repr(value)[:40])
def test_a_broken_answer_never_looks_like_success(body, where):
    """Empty, HTML, cut, of a wrong type or without a choice: InvalidReply with the place."""
    with pytest.raises(InvalidReply) as caught:
        parse_completion(Reply(200, {}, body, URL))

    assert (caught.value.where, caught.value.url) == (where, URL)
    assert len(caught.value.body) <= 2048


@pytest.mark.parametrize("event", [body for body, _ in BROKEN if body != b'{"choices":[]}'])
def test_a_broken_event_is_refused(event):
    """What is no chunk raises; empty ``choices`` alone is one."""
    with pytest.raises(InvalidReply):
        parse_chunk(event)


@pytest.mark.parametrize(
    ("event", "cls"),
    [
        (b'{"error":{"message":"Inference failed","type":"server_error"}}', ServerError),
        (b'{"error":{"message":"x","type":"invalid_request_error"},"choices":[]}', BadRequest),
        (b'{"error":"x","choices":5}', ServerError),
    ],
)
def test_an_error_event_is_the_error(event, cls):
    """2.x reports failures inside the stream; also when the rest of the event cannot be read."""
    with pytest.raises(cls):
        parse_chunk(event)


def test_a_chunk_keeps_its_bytes():
    """Unknown fields stay reachable; ``"error": null`` is no error; usage may come alone."""
    chunk = parse_chunk(b'{"choices":[{"delta":{"content":"a"}}],"error":null,"IsDelta":true}')

    assert (chunk.content, chunk.raw["IsDelta"]) == ("a", True)
    assert parse_chunk(b'{"choices":[],"usage":{"total_tokens":3}}').usage.total_tokens == 3
    assert parse_chunk(b'{"choices":[]}').choices == []


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "native_models",
            [
                ("tiny-chat-generic-cpu:1", "tiny-chat-generic-cpu", "1"),
                ("phantom-generic-cpu:2", "phantom-generic-cpu", "2"),
            ],
        ),
        ("core_models", [("tiny-chat-generic-cpu", "tiny-chat-generic-cpu", "")]),
    ],
)
def test_model_lists(name, found):
    """Ids with and without versions are taken apart; the entry is kept."""
    models = parse_models(sample(name))

    assert [(info.id, info.name, info.version) for info in models] == found
    assert models[0].raw["owned_by"] == "Local"
    assert (models[0].alias, models[0].cached) == ("", None)


def test_a_bare_list_of_models():
    """An array without an envelope is a list, too."""
    assert [info.id for info in parse_models(Reply(200, {}, b' [{"id":"a:b:1"}]'))] == ["a:b:1"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'{"data":7}', b'[{"name":"a"}]', b"[7]", b'[{"id":[]}]'])
def test_a_broken_list_of_models(body):
    """A list that cannot be read is no empty list."""
    with pytest.raises(InvalidReply):
        parse_models(Reply(200, {}, body, URL))


def test_a_stranger_has_no_status():
    """The model list stands for the status of a service without one."""
    operation = OpenAIDialect().status(OPTIONS)

    assert (operation.call.path, operation.call.label) == ("/v1/models", "health.check")
    assert operation.parse(sample("native_models")).pid is None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("status", (OPTIONS,)),
        ("chat", (request(), OPTIONS)),
        ("chat_stream", (request(), OPTIONS)),
        ("models.listed", (OPTIONS,)),
        ("models.cached", (OPTIONS,)),
        ("models.loaded", (OPTIONS,)),
        ("models.load", ("m", OPTIONS)),
        ("models.unload", ("m", OPTIONS)),
        ("models.unload_all", (OPTIONS,)),
        ("models.read_snapshot", (b"",)),
        ("models.download", ("m", OPTIONS)),
        ("audio", ()),
        ("responses", ()),
    ],
)
def test_what_a_generation_lacks(method, arguments):
    """The base classes refuse every operation before anything is sent, and say what to do."""
    owner = ModelRoutes(Dialect()) if "." in method else Dialect()
    with pytest.raises(UnsupportedByService) as caught:
        getattr(owner, method.rpartition(".")[2])(*arguments)

    assert caught.value.generation == "unknown"
    assert caught.value.feature in str(caught.value)
    assert caught.value.advice


def test_a_stranger_cannot_load():
    """Management is Foundry Local's; a stranger's models are as they are."""
    with pytest.raises(UnsupportedByService, match="the openai service has no loading a model"):
        OpenAIDialect().models().load("m", OPTIONS)
