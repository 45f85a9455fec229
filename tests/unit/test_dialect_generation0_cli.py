"""0.x: each spelling and shape of docs/reference/service.md, section 4, as documents and client have them."""

from __future__ import annotations

import json

import pytest
from support.dialects import HEADERS, read
from support.generation0 import GENERIC_CPU, LEGACY, OPTIONS, PATIENT, SAMPLES, listed, place

from foundry_rest import FoundryAPIClient, ModelNotFound
from foundry_rest.dialects.generation0_cli import Generation0Dialect
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import (
    ConfigError,
    InvalidReply,
    UnsupportedByService,
)
from foundry_rest.schema import ModelInfo, build_chat_request
from foundry_rest.testing import FaultServer, LegacyService, json_error
from foundry_rest.transport.call import Replay

# ------------------------------------------------------------------------------ the service


@pytest.mark.parametrize(
    ("sample", "path", "url"),
    [
        ("status", r"C:\Users\me\.foundry\cache\models", "http://127.0.0.1:5273"),
        ("status_documents", "/home/me/.foundry/cache/models", "http://localhost:5272"),
    ],
)
def test_status(sample, path, url):
    """The model directory is read in either case; the body is kept as it is; no process is told."""
    operation = LEGACY.status(OPTIONS)
    status = read(operation, (SAMPLES / f"{sample}.json").read_bytes())

    assert place(operation.call) == ("GET", "/openai/status", "health.check")
    assert (status.cache_path, status.pid, status.headers) == (path, None, HEADERS)
    assert url in str(status.raw)
    assert read(operation, {"modelDirPath": None}).cache_path == ""


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"modelDirPath":5}', b'{"status":"ok"}', b"<html>"])
def test_another_servers_status(body):
    """What another server says on the same route is no status."""
    with pytest.raises(InvalidReply):
        read(LEGACY.status(OPTIONS), body)


# ------------------------------------------------------------------------------ lists


def test_the_catalog():
    """Every entry is typed, and the list keeps its order: it is the order of preference."""
    models = listed("list")
    info = models[3]

    assert place(LEGACY.models().listed(OPTIONS).call) == ("GET", "/foundry/list", "models.list")
    assert [model.device for model in models] == ["NPU", "GPU", "GPU", "CPU", "CPU"]
    assert (info.id, info.alias, info.name, info.version) == (
        GENERIC_CPU,
        "phi-4-mini",
        GENERIC_CPU[:-2],
        "5",
    )
    assert (info.execution_provider, info.size, info.task) == (
        "CPUExecutionProvider",
        4915 * 2**20,
        "chat-completion",
    )
    assert (info.tool_calling, info.context_length, info.cached, info.loaded) == (True, None, None, False)
    assert info.raw["maxOutputTokens"] == 2048
    assert (models[4].task, models[4].tool_calling) == ("embeddings", False)


def test_the_catalog_of_the_documents():
    """Pascal case, an object around the list, and an id without its version, which stands beside it."""
    (info,) = listed("list_documents")

    assert (info.id, info.name, info.version, info.alias, info.device, info.size) == (
        "Phi-3.5-mini-instruct-generic-cpu",
        "Phi-3.5-mini-instruct-generic-cpu",
        "3",
        "phi-3.5-mini",
        "CPU",
        2590 * 2**20,
    )


@pytest.mark.parametrize("more", [{}, {"alias": None, "version": "", "runtime": None, "fileSizeMb": None}])
def test_a_bare_entry(more):
    """The name alone is enough."""
    (info,) = read(LEGACY.models().listed(OPTIONS), [{"name": "a-cpu:2", **more}])

    assert info == ModelInfo(id="a-cpu:2", name="a-cpu", version="2", raw={"name": "a-cpu:2", **more})


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b'{"models":null}', b"[7]", b"[{}]", b"<html>", b'"x"', b'[{"name":"a"'),
        b'[{"name":7}]',
        b'[{"name":"a\xff"}]',
    ],
)
def test_a_broken_catalog(body):
    """What is no catalog, or is cut, cannot be read."""
    with pytest.raises(InvalidReply):
        read(LEGACY.models().listed(OPTIONS), body)


@pytest.mark.parametrize(
    ("method", "path"), [("cached", "/openai/models"), ("loaded", "/openai/loadedmodels")]
)
def test_lists_of_ids(method, path):
    """A bare array of ids, or one in an object; anything else cannot be read."""
    operation = getattr(LEGACY.models(), method)(OPTIONS)

    assert place(operation.call) == ("GET", path, f"models.{method}")
    assert read(operation, ["a:1", "b:2"]) == read(operation, {"Models": ["a:1", "b:2"]}) == ["a:1", "b:2"]
    for wrong in (b"{}", b"[1]", b"", b"null"):
        with pytest.raises(InvalidReply):
            read(operation, wrong)


def test_the_catalog_file():
    """The file in the model directory is read as for every other generation."""
    (info,) = LEGACY.models().read_snapshot(b'{"savedAt":"x","models":[{"id":"a-cpu:3","alias":"a"}]}')

    assert (info.id, info.alias) == ("a-cpu:3", "a")


# ------------------------------------------------------------------------------ loading


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, "ttl=600"),
        ({"ttl": 5}, "ttl=5"),
        ({"provider": "cuda"}, "ttl=600&ep=cuda"),
        ({"provider": "CUDAExecutionProvider", "ttl": 1}, "ttl=1&ep=cuda"),
    ],
)
def test_load(arguments, query):
    """A patient GET with the time to live that Microsoft's client asks for; it is not begun twice."""
    operation = LEGACY.models().load("phi-4:5", OPTIONS, **arguments)
    call = operation.call

    assert place(call) == ("GET", f"/openai/load/phi-4:5?{query}", "models.load")
    assert (call.replay, call.options.timeouts, call.options.until, call.model) == (
        Replay.IF_UNSENT,
        PATIENT,
        99.0,
        "phi-4:5",
    )
    assert call.options.headers == {"X-A": "1"}
    assert read(operation, b"") == "loaded"


@pytest.mark.parametrize(("force", "word"), [(False, "false"), (True, "true")])
def test_unload(force, word):
    """Asking twice is harmless; ``force`` is always said."""
    operation = LEGACY.models().unload("phi-4:5", OPTIONS, force=force)

    assert place(operation.call) == ("GET", f"/openai/unload/phi-4:5?force={word}", "models.unload")
    assert (operation.call.replay, operation.call.options.timeouts) == (Replay.ALWAYS, PATIENT)
    assert read(operation, b"") == "unloaded"


def test_unload_all():
    """One request drops every model."""
    operation = LEGACY.models().unload_all(OPTIONS)

    assert place(operation.call) == ("GET", "/openai/unloadall", "models.unload")
    assert (operation.call.replay, operation.call.options.timeouts) == (Replay.ALWAYS, PATIENT)
    assert read(operation, b"") == "unloaded"


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"please wait", b"{"])
def test_a_page_is_no_success(body):
    """The service answers with nothing, perhaps with JSON; what else comes with a 200 is not its word."""
    assert read(LEGACY.models().load("m", OPTIONS), b" null ") == "loaded"
    with pytest.raises(InvalidReply):
        read(LEGACY.models().load("m", OPTIONS), body)


@pytest.mark.parametrize(
    ("name", "segment"),
    [("org/model", "org%2Fmodel"), ("a?b#c", "a%3Fb%23c"), ("a b", "a%20b"), ("modèle:1", "mod%C3%A8le:1")],
)
def test_names_are_quoted(name, segment):
    """What may not stand in a path is quoted; Kestrel decodes it."""
    assert LEGACY.models().load(name, OPTIONS).call.path.startswith(f"/openai/load/{segment}?")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_would_be_another_path(name):
    """A name that would change the path is refused before anything is sent."""
    with pytest.raises(ConfigError, match="is no id"):
        LEGACY.models().load(name, OPTIONS)


@pytest.mark.parametrize("ttl", [0, -1, True, 1.5, "9"])
def test_a_time_to_live_that_is_none(ttl):
    """Whole seconds above 0, or nothing is sent."""
    with pytest.raises(ConfigError, match="ttl must be"):
        LEGACY.models().load("m", OPTIONS, ttl=ttl)


# ------------------------------------------------------------------------------ chat


def test_count_tokens():
    """The only generation that counts tokens; the answer is read in either case."""
    request = build_chat_request("Hi", model="m:1", max_tokens=7, params={"ttl": 5})
    operation = LEGACY.count_tokens(request, OPTIONS)

    assert place(operation.call) == (
        "POST",
        "/v1/chat/completions/tokenizer/encode/count",
        "chat.count_tokens",
    )
    assert json.loads(operation.call.body) == {
        "model": "m:1",
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert (operation.call.model, operation.call.replay) == ("m:1", Replay.ALWAYS)
    assert read(operation, {"tokenCount": 12}) == read(operation, {"TokenCount": 12}) == 12
    for wrong in ({}, {"tokenCount": "twelve"}, [12]):
        with pytest.raises(InvalidReply):
            read(operation, wrong)


def test_extras_of_chat():
    """0.x's own parameters go out as given."""
    extras = {"ttl": 60, "ep": "cuda", "top_k": 40, "random_seed": 7}
    request = build_chat_request("Hi", model="m", max_tokens=7, params=extras)
    body = json.loads(LEGACY.chat(request, OPTIONS).call.body)

    assert {name: body[name] for name in extras} == extras


def test_extra_members_of_an_answer():
    """``"error": null``, delta beside message, and .NET's own members are no trouble."""
    body = (SAMPLES.parent / "json_legacy_chat.json").read_bytes()
    request = build_chat_request("Hi", model="m", max_tokens=7)
    reply = read(LEGACY.chat(request, OPTIONS), body)

    assert (reply.content, reply.finish_reason) == ("Hello", "stop")


def test_what_it_shares_and_what_it_lacks():
    """Embeddings are OpenAI's; the Responses API and audio are missing, and the error says so."""
    assert Generation0Dialect.embed is OpenAIDialect.embed
    assert Generation0Dialect.responses is Dialect.responses
    with pytest.raises(UnsupportedByService, match="Responses API"):
        LEGACY.responses()
    with pytest.raises(UnsupportedByService, match="audio"):
        LEGACY.audio()


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_list_of_cached_models_that_fails(tmp_path, status):
    """The catalog is a list of its own, which the other's failure hides no more than a refusal."""
    cached = ["Phi-4-mini-instruct-generic-cpu:5"]
    service = LegacyService(cached=cached, model_dir=str(tmp_path))
    with FaultServer(service=service) as server:
        server.on("GET", "/openai/models", json_error(status, "no cache"))
        with FoundryAPIClient(server.url, retries=0) as client:
            assert {info.cached for info in client.models.catalog()} <= {None, True}
            with pytest.raises(ModelNotFound, match="no-such-model"):
                client.complete("Hi", model="no-such-model")


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "text", "text": "a"}], "a"),
        ("a", "a"),
        (
            [{"type": "text", "text": "a"}, {"type": "other"}],
            [{"type": "text", "text": "a"}, {"type": "other"}],
        ),
    ],
)
def test_text_in_parts(content, sent):
    """Texts in parts are sent as one text, whole, streamed and counted, as to 1.x."""
    request = build_chat_request([{"role": "user", "content": content}], model="m", max_tokens=7)
    for operation in (LEGACY.chat, LEGACY.chat_stream, LEGACY.count_tokens):
        body = json.loads(operation(request, OPTIONS).call.body)
        assert body["messages"] == [{"role": "user", "content": sent}]
