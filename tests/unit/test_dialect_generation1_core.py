"""1.x: what it spells differently, and the mistakes of its service that are mended on this side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.dialects import HEADERS, read

from foundry_rest.config import Timeouts
from foundry_rest.dialects.generation1_core import Generation1Dialect
from foundry_rest.errors import ConfigError, InvalidReply, UnsupportedByService
from foundry_rest.schema import build_chat_request
from foundry_rest.transport.call import Options, Replay

SAMPLES = Path(__file__).parents[1] / "samples"
OPTIONS = Options(Timeouts(first_token=3.0, load=77.0), until=99.0)
CORE = Generation1Dialect()


def request_of(messages: object = "Hi", **params: object):
    """Return a checked request."""
    return build_chat_request(messages, model="m", max_tokens=7, params=params)


def body_of(call) -> dict[str, object]:
    """Return the body that a call sends."""
    return json.loads(call.body)


def test_status():
    """The model directory is read; 1.x does not tell its process."""
    operation = CORE.status(OPTIONS)
    status = read(operation, (SAMPLES / "json_core_status.json").read_bytes())

    assert (operation.call.path, operation.call.replay) == ("/status", Replay.ALWAYS)
    assert (status.pid, status.cache_path) == (None, "/home/me/.foundry/cache/models")
    assert (status.raw["pipeName"], status.headers) == (None, HEADERS)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"modelDirPath":null}', b'{"status":"ok"}', b"<html>"])
def test_another_servers_status(body):
    """What another server says on the same route is no status."""
    with pytest.raises(InvalidReply):
        read(CORE.status(OPTIONS), body)


def test_listed_models_are_cached_and_have_an_alias():
    """The list holds what is on disk, without versions; ``parent`` is the alias."""
    operation = CORE.models().listed(OPTIONS)
    (info,) = read(operation, (SAMPLES / "json_core_models.json").read_bytes())

    assert (operation.call.path, operation.call.label) == ("/v1/models", "models.list")
    assert (info.id, info.name, info.version) == ("tiny-chat-generic-cpu", "tiny-chat-generic-cpu", "")
    assert (info.alias, info.cached, info.raw["owned_by"]) == ("tiny-chat", True, "Local")


def test_two_versions_are_one_entry():
    """Two cached versions are the same entry twice on the wire."""
    entry = {"id": "a-cpu", "parent": "a"}
    models = read(
        CORE.models().listed(OPTIONS), json.dumps({"data": [entry, {"id": "b-cpu"}, entry]}).encode()
    )

    assert [(info.id, info.alias) for info in models] == [("a-cpu", "a"), ("b-cpu", "")]


@pytest.mark.parametrize("parent", [None, 5, ["a"]])
def test_a_parent_that_is_no_name(parent):
    """A model without a usable parent has no known alias."""
    body = json.dumps({"data": [{"id": "a-cpu", "parent": parent}]}).encode()

    assert read(CORE.models().listed(OPTIONS), body)[0].alias == ""


def test_loaded_models():
    """A bare array of ids, with versions; anything else cannot be read."""
    operation = CORE.models().loaded(OPTIONS)

    assert (operation.call.path, read(operation, b'["a:1","b:2"]')) == ("/models/loaded", ["a:1", "b:2"])
    with pytest.raises(InvalidReply):
        read(operation, b'{"data":[]}')


@pytest.mark.parametrize(("verb", "replay"), [("load", Replay.IF_UNSENT), ("unload", Replay.ALWAYS)])
def test_load_and_unload(verb, replay):
    """A patient GET whose empty answer means done; a load is not begun twice."""
    operation = getattr(CORE.models(), verb)("phi-4:5", OPTIONS)
    call = operation.call

    assert (call.method, call.path) == ("GET", f"/models/{verb}/phi-4:5")
    assert (call.label, call.model) == (f"models.{verb}", "phi-4:5")
    assert (call.options.timeouts.first_token, call.options.until, call.replay) == (77.0, 99.0, replay)
    assert call.header_limit is None
    assert read(operation, b"") == f"{verb}ed"


@pytest.mark.parametrize("body", [b"<html>log in</html>", b'{"status":"loaded"}', b" "])
def test_an_answer_to_a_load_that_is_not_empty(body):
    """A page of a gateway is no success."""
    for operation in (CORE.models().load("m", OPTIONS), CORE.models().unload("m", OPTIONS, force=True)):
        with pytest.raises(InvalidReply, match="should be empty"):
            read(operation, body)


@pytest.mark.parametrize(
    ("name", "path"),
    [("org/model", "org%2Fmodel"), ("a?b#c", "a%3Fb%23c"), ("a%3Ab", "a%253Ab"), ("..a", "..a")],
)
def test_names_are_quoted(name, path):
    """1.x decodes the path, so a name stays one name."""
    assert CORE.models().load(name, OPTIONS).call.path == f"/models/load/{path}"


@pytest.mark.parametrize("name", [".", "..", ""])
def test_names_that_would_be_another_path(name):
    """Dots alone are a step in the path, quoted or not."""
    with pytest.raises(ConfigError, match="no alias or id"):
        CORE.models().unload(name, OPTIONS)


@pytest.mark.parametrize(
    ("wish", "feature"), [({"ttl": 5}, "time to live"), ({"provider": "cuda"}, "provider")]
)
def test_what_loading_lacks(wish, feature):
    """The query that 0.x takes would be ignored in silence."""
    with pytest.raises(UnsupportedByService, match=feature) as caught:
        CORE.models().load("m", OPTIONS, **wish)

    assert caught.value.generation == "1.x"


def test_there_is_no_download():
    """1.x downloads inside its own process only; the error tells the way out."""
    with pytest.raises(UnsupportedByService, match="no download over REST"):
        CORE.models().download(None, OPTIONS)


def test_the_catalog_file():
    """It tells the version that the list leaves out, and what is not on disk."""
    (info,) = CORE.models().read_snapshot(
        b'{"version":1,"savedAt":"2026-11-23T00:40:11.9841542+00:00","models":['
        b'{"id":"a-cpu:3","name":"a-cpu","version":3,"alias":"a","cached":false}]}'
    )

    assert (info.id, info.alias, info.version, info.cached) == ("a-cpu:3", "a", "3", False)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"max_tokens": 7}),
        ({"max_tokens": 3}, {"max_tokens": 3}),
        ({"max_completion_tokens": 4}, {"max_tokens": 4}),
        ({"max_tokens": 9, "max_completion_tokens": 4}, {"max_tokens": 4}),
    ],
)
def test_the_limit_is_max_tokens(given, sent):
    """A cut by max_completion_tokens is reported as a stop; where both are given, 1.x heeds that one."""
    for call in (
        CORE.chat(request_of(**given), OPTIONS).call,
        CORE.chat_stream(request_of(**given), OPTIONS).call,
    ):
        body = body_of(call)

        assert {name: body[name] for name in body if name.startswith("max_")} == sent


def test_a_stream_can_be_asked_about():
    """The same request without streaming goes along, to learn the cause of a break."""
    request = request_of([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], seed=1)
    call = CORE.chat_stream(request, OPTIONS, "chat.complete").call

    assert (call.label, body_of(call)["stream"]) == ("chat.complete", True)
    assert call.plain == CORE.chat(request, OPTIONS).call.body
    assert "stream" not in json.loads(call.plain)
    assert CORE.chat(request, OPTIONS).call.plain is None


def test_a_resolved_name_changes_both_bodies():
    """After an alias was resolved, the question about a break is about the same model."""
    call = CORE.chat_stream(replace(request_of(), id="m-cpu:1"), OPTIONS).call

    assert [json.loads(body)["model"] for body in (call.body, call.plain)] == ["m-cpu:1"] * 2


TEXT = {"type": "text", "text": "a"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("a", "a"),
        ([TEXT], "a"),
        ((TEXT, {"type": "text", "text": "b"}), "a\nb"),
        ([], ""),
        (None, None),
        ([TEXT, IMAGE], [TEXT, IMAGE]),
        ([{"type": "text", "text": None}], [{"type": "text", "text": None}]),
        (["a"], ["a"]),
    ],
)
def test_text_in_parts(content, sent):
    """1.x hands parts to the chat template as they are, which writes them out; text goes as one text."""
    conversation = [{"role": "system", "content": "s"}, {"role": "user", "content": content, "name": "n"}]
    for operation in (
        CORE.chat(request_of(conversation), OPTIONS),
        CORE.chat_stream(request_of(conversation), OPTIONS),
    ):
        first, second = body_of(operation.call)["messages"]

        assert first == {"role": "system", "content": "s"}
        assert second == {"role": "user", "content": sent, "name": "n"}


def test_what_1x_does_not_guard():
    """What it ignores or dies of is known to the endpoints, which refuse or check it."""
    guards = (CORE.enforces_schema, CORE.checks_tasks, CORE.keeps_conversations, CORE.guards_unload)

    assert guards == (False,) * 4
    assert (CORE.completes_by_stream, CORE.loads_by_alias) == (False, False)


def test_chunks_of_a_real_stream():
    """Delta and message side by side, usage each time, no finish_reason, empty tool calls and choices."""
    parse = CORE.chat_stream(request_of(), OPTIONS).parse
    lines = (SAMPLES / "core-1.2.4" / "stream.sse").read_bytes().splitlines()
    chunks = [parse(line[6:]) for line in lines if line.startswith(b"data: {")]

    assert "".join(chunk.content for chunk in chunks) == "The lazy dog"
    assert [chunk.finish_reason for chunk in chunks] == [None, None, "stop", None]
    assert [chunk.usage.completion_tokens for chunk in chunks] == [1, 2, 3, 3]
    assert not any(chunk.tool_calls for chunk in chunks)
