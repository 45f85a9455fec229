"""2.x: its status, its two verbs for loading, its catalog file, its own idea of JSON schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.dialects import HEADERS, read

from foundry_rest.config import Timeouts
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import ConfigError, InvalidReply, UnsupportedByService
from foundry_rest.schema import build_chat_request
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Options, Replay

SAMPLES = Path(__file__).parents[1] / "samples"
OPTIONS = Options(Timeouts(first_token=3.0, load=77.0), until=99.0)
NATIVE = Generation2Dialect()
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def body_with(response_format: object) -> dict[str, object]:
    """Return the body sent for a response format."""
    params = {"response_format": response_format}
    request = build_chat_request("Hi", model="m", max_tokens=7, params=params)
    return json.loads(NATIVE.chat(request, OPTIONS).call.body)


def test_status():
    """The process and the model directory are read; the whole body is kept."""
    operation = NATIVE.status(OPTIONS)
    status = read(operation, (SAMPLES / "json_native_status.json").read_bytes())

    assert (operation.call.method, operation.call.path, operation.call.replay) == (
        "GET",
        "/status",
        Replay.ALWAYS,
    )
    assert (status.pid, status.cache_path) == (15372, "/home/me/.foundry/cache/models")
    assert status.raw["endpoints"] == ["http://127.0.0.1:7301"]
    assert status.headers == HEADERS


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"pid":"x","modelCachePath":""}', b'{"status":"ok"}', b"<html>"]
)
def test_another_servers_status(body):
    """What another server says on the same route is no status."""
    with pytest.raises(InvalidReply):
        read(NATIVE.status(OPTIONS), body)


def test_loaded_models():
    """A bare array of ids; anything else cannot be read."""
    assert read(NATIVE.models().loaded(OPTIONS), b'["a:1","b:2"]') == ["a:1", "b:2"]
    with pytest.raises(InvalidReply):
        read(NATIVE.models().loaded(OPTIONS), b'{"data":[]}')


@pytest.mark.parametrize(("verb", "replay"), [("load", Replay.IF_UNSENT), ("unload", Replay.ALWAYS)])
def test_load_and_unload(verb, replay):
    """A GET with the name raw in the path (%3A is never decoded), patient; a load is not begun twice."""
    operation = getattr(NATIVE.models(), verb)("phi-4:5", OPTIONS)
    call = operation.call

    assert (call.method, call.path, call.label, call.model) == (
        "GET",
        f"/models/{verb}/phi-4:5",
        f"models.{verb}",
        "phi-4:5",
    )
    assert (call.options.timeouts.first_token, call.options.until, call.replay) == (77.0, 99.0, replay)
    assert call.header_limit == NATIVE_HEADER_LIMIT
    assert read(operation, b'{"status":"already_loaded"}') == "already_loaded"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"status":""}', b'{"status":5}', b"loaded"])
def test_a_load_that_says_nothing(body):
    """Only the service's own word is a success."""
    with pytest.raises(InvalidReply):
        read(NATIVE.models().load("m", OPTIONS), body)


@pytest.mark.parametrize(
    "name", ["org/model", "a?b", "a#b", "a%3Ab", "a b", "a\\b", "modèle", "..;/x", "..", "."]
)
def test_names_that_would_be_another_path(name):
    """A name that would change the path is refused before anything is sent."""
    with pytest.raises(ConfigError, match="is no alias or id of this service"):
        NATIVE.models().load(name, OPTIONS)


def test_the_schema_is_laid_over_the_wrapper():
    """2.x takes json_schema itself as the schema; both readers find their own."""
    wrapper = {"name": "x", "strict": True, "schema": SCHEMA}

    assert body_with({"type": "json_schema", "json_schema": wrapper})["response_format"] == {
        "type": "json_schema",
        "json_schema": {**wrapper, **SCHEMA},
    }


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"schema": "x"}},
        {"type": "json_schema", "json_schema": None},
        {"type": "lark_grammar", "lark_grammar": "start: a"},
    ],
)
def test_other_formats_go_out_as_given(given):
    """Only OpenAI's wrapper is changed."""
    assert body_with(given)["response_format"] == given


def test_no_format_at_all():
    """A request without a format has none."""
    assert "response_format" not in body_with(None)


def test_the_catalog_file():
    """Every entry gives id, alias, device, size in bytes, and the rest in ``raw``."""
    models = NATIVE.models().read_snapshot((SAMPLES / "json_native_snapshot.json").read_bytes())
    info = models[1]

    assert [model.id for model in models][::3] == ["tool-chat-generic-cpu:1", "phi-4-generic-cpu:1"]
    assert (info.id, info.alias, info.name, info.version) == (
        "tool-chat-generic-cpu:2",
        "tool-chat",
        "tool-chat-generic-cpu",
        "2",
    )
    assert (info.device, info.execution_provider, info.size) == ("CPU", "CPUExecutionProvider", 3 * 2**20)
    assert (info.task, info.tool_calling, info.context_length) == ("chat-completion", True, 4096)
    assert (info.cached, info.loaded, info.raw["publisher"]) == (None, False, "Local")


def test_a_bare_catalog_entry():
    """The id alone is enough; 1.x tells what is cached."""
    (info,) = NATIVE.models().read_snapshot(b'{"models":[{"id":"a-cpu:3","version":"3","cached":true}]}')

    assert (info.name, info.version, info.size, info.cached) == ("a-cpu", "3", None, True)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"models":[{"alias":"a"}]}', b'{"models":[7]}', b'{"models":[{"id":"a\xff"}]}'],
)
def test_a_broken_catalog_file(content):
    """A file that cannot be read says so; so does any that was cut."""
    with pytest.raises(InvalidReply):
        NATIVE.models().read_snapshot(content)


def test_every_cut_of_a_catalog_file_is_noticed():
    """A file caught while it is being written never looks whole."""
    whole = (SAMPLES / "json_native_snapshot.json").read_bytes()
    for end in range(0, len(whole), 50):
        with pytest.raises(InvalidReply):
            NATIVE.models().read_snapshot(whole[:end])


def test_there_is_no_download():
    """The error tells the way out."""
    with pytest.raises(UnsupportedByService, match=r"no download over REST.*`foundry model") as caught:
        NATIVE.models().download("m", OPTIONS)

    assert (caught.value.feature, caught.value.generation) == ("download over REST", "2.x")


def test_completions_run_over_streams():
    """Closing a plain request does not stop the service's work; closing a stream does."""
    assert NATIVE.completes_by_stream is True
