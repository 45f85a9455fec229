"""Every error that 2.2.1 can give, provoked on it: its class, and a message that says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import requests
from support.servers import CHAT

from foundry_rest import (
    BadRequest,
    ContextLengthExceeded,
    FoundryAPIClient,
    InferenceFailed,
    LoadFailed,
    LocalRuntime,
    ModelInUse,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    Replay,
    ServerError,
    ServiceError,
    ServiceUnreachable,
    UnsupportedParameter,
)
from foundry_rest.runtime import demo_model_dir

pytestmark = pytest.mark.runtime
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"
MESSAGES = [{"role": "user", "content": "Hello"}]
#: Makes the model write until `max_tokens`, about 3,000 tokens a second.
ENDLESS = {"type": "lark_grammar", "lark_grammar": "start: /[a-z ]{60000}/"}


def assert_tells(error: ServiceError, *parts: str, status: int) -> None:
    """Check what a reader of the message sees, and the facts beside it."""
    assert all(part in str(error) for part in parts), str(error)
    assert error.status == status
    assert error.url.startswith("http://127.0.0.1:")
    assert error.call
    assert isinstance(error, requests.HTTPError)


@pytest.mark.parametrize("name", ["demo-chta", "Demo-Chat-Generic-GPU:1", "demo-chat-generic-cpu:7"])
def test_unknown_model(client, name):
    """A name that the service does not know: the nearest names are suggested, nothing is tried twice."""
    for ask in (
        lambda: client.complete("Hello", model=name),
        lambda: client.stream_complete("Hello", model=name),
        lambda: client.models.load(name),
        lambda: client.models.unload(name),
        lambda: client.models.resolve(name),
    ):
        with pytest.raises(ModelNotFound) as caught:
            ask()
        error = caught.value
        assert "demo-chat" in error.advice
        assert error.suggestions
        assert error.model == name
        assert error.status == 404
        assert all(part in str(error) for part in ("Did you mean", "foundry-rest models", repr(name)))


def test_unknown_model_without_a_near_name(client):
    """Where no name is near, the message says what there is."""
    with pytest.raises(ModelNotFound, match=r"It serves demo-chat\.") as caught:
        client.complete("Hello", model="gpt-9")

    assert caught.value.suggestions == ()


def test_not_loaded(own_runtime):
    """With `auto_load=False` a model on disk stays there, and the message says how to load it."""
    with FoundryAPIClient(own_runtime.url, model=ALIAS, auto_load=False) as client:
        for ask in (client.complete, client.stream_complete):
            with pytest.raises(ModelNotLoaded) as caught:
                ask("Hello")
            assert_tells(caught.value, "client.models.load(name)", "auto_load", "'demo-chat'", status=400)
        assert client.models.loaded() == []


@pytest.fixture
def uncached(own_runtime):
    """Return a client on a runtime whose model is in the catalog, and not on disk."""
    cache = Path(own_runtime._child._directory) / "cache"
    shutil.rmtree(cache / "Local")
    with FoundryAPIClient(own_runtime.url, model=ALIAS) as client:
        yield client


def test_not_cached(uncached):
    """A model that is only in the catalog is not loaded, and the message says to download it first."""
    for ask in (
        lambda: uncached.complete("Hello"),
        lambda: uncached.stream_complete("Hello"),
        lambda: uncached.models.load(ALIAS),
        lambda: uncached.models.ensure_loaded(ALIAS),
    ):
        with pytest.raises(ModelNotCached) as caught:
            ask()
        assert_tells(caught.value, "Download it first", "'demo-chat'", status=400)
    assert [(model.id, model.cached) for model in uncached.models.catalog()] == [(ID, False)]
    assert uncached.models.cached() == []


def test_load_failed(tmp_path):
    """A broken model file: the load fails with the service's reason, once, and the service lives."""
    folder = tmp_path / "broken"
    shutil.copytree(demo_model_dir(), folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    with LocalRuntime(folder) as runtime, FoundryAPIClient(runtime.url, model="broken") as client:
        for ask in (lambda: client.complete("Hello"), lambda: client.models.load("broken")):
            with pytest.raises(LoadFailed) as caught:
                ask()
            assert_tells(caught.value, "Load failed", "model's files", status=500)
        assert client.health.is_alive()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "Empty request body"),
        ({}, "key 'model' not found"),
        ({"model": ID}, "key 'messages' not found"),
        ({"model": ID, "messages": "Hello"}, "type must be array"),
        ({"model": ID, "messages": [5]}, ""),
        ([1], ""),
        ("text", ""),
        ({"model": ID, "messages": MESSAGES, "temperature": 3}, "temperature must be in the range"),
        ({"model": ID, "messages": MESSAGES, "max_tokens": 0}, "must be >= 1"),
        ({"model": ID, "messages": MESSAGES, "response_format": {"type": "json_schema"}}, "guidance"),
    ],
)
def test_malformed_request(client, body, words):
    """A request that the service cannot read is a BadRequest in the service's own words, asked once."""
    with pytest.raises(BadRequest) as caught:
        client.request("POST", CHAT, json=body)

    assert_tells(caught.value, words, status=400)
    assert len(caught.value.attempts) == 1
    assert caught.value.body


def test_bad_tool_choice(client):
    """A parameter value that only the service can judge comes back in its words."""
    tool = {"type": "function", "function": {"name": "now"}}
    with pytest.raises(BadRequest, match="expected 'auto', 'none' or 'required'"):
        client.chat.complete("Hello", tools=[tool], tool_choice="perhaps")


@pytest.mark.parametrize("how", ["complete", "stream", "plain"])
def test_context_exceeded(client, how):
    """Too many tokens: the numbers, and what to lower; the same class before a stream, in it, and plain."""
    asks = {
        "complete": lambda: client.complete("Hello", max_tokens=5000),
        "stream": lambda: client.stream_complete("Hello", max_tokens=5000),
        "plain": lambda: client.chat.complete("Hello", max_tokens=5000, parse=lambda reply: reply.raw),
    }
    with pytest.raises(ContextLengthExceeded) as caught:
        asks[how]()

    assert_tells(caught.value, "4096 tokens", "5000 output", "Lower max_tokens", status=400)


def test_error_inside_a_stream(client):
    """What 2.2.1 finds after its 200 comes as an event: it is raised before the caller gets a stream."""
    with pytest.raises(BadRequest, match="carried no content"):
        client.stream_complete([{"role": "user", "content": [{"type": "image_url"}]}])
    assert client.complete("Say OK", temperature=0).content == "OK"


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_penalties(client, name):
    """2.2.1 refuses penalties: the parameter is named, and the advice is to leave it out."""
    for ask in (client.complete, client.stream_complete):
        with pytest.raises(UnsupportedParameter) as caught:
            ask("Hello", **{name: 0.5})
        assert_tells(caught.value, name, "Leave the named parameter out", status=400)
    assert client.complete("Say OK", temperature=0, **{name: 0}).content == "OK"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/openai/status"), ("POST", "/models/load/demo-chat"), ("HEAD", "/status")]
)
def test_unmapped_route(client, method, path):
    """A route or verb that 2.2.1 has not is NotFound, although the answer is text and names no type."""
    with pytest.raises(NotFound) as caught:
        client.request(method, path)

    assert not isinstance(caught.value, ModelNotFound)
    assert_tells(caught.value, "Check the path", status=404)


def test_text_instead_of_json(client):
    """An error that comes as plain text is read as text: the framework's words are in the message."""
    with pytest.raises(NotFound, match="No mapping for HTTP-method: 'GET', URL: '/nowhere'"):
        client.request("GET", "/nowhere")
    with pytest.raises(ServerError) as caught:
        client.request("POST", CHAT, json={}, headers={"Content-Encoding": "gzip"})
    assert_tells(caught.value, "content decoders are NOT configured", status=500)


def test_inference_failed(client):
    """A generation that fails inside the service is InferenceFailed with the service's reason."""
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    untaught = {"type": "function", "function": {"name": "count_sheep", "parameters": parameters}}
    with pytest.raises(InferenceFailed) as caught:
        client.chat.complete("Say OK", tools=[untaught], tool_choice="required", temperature=0, retries=0)

    assert_tells(caught.value, "tool", "foundry-rest health", status=500)


def test_a_chat_model_gives_no_embeddings(client):
    """It is the request's fault, whatever the status says: asked once, and the advice names the way out."""
    with pytest.raises(BadRequest) as caught:
        client.request("POST", "/v1/embeddings", json={"model": ID, "input": "Hello"}, replay=Replay.ALWAYS)

    assert_tells(caught.value, "'hidden_states' was not found", "task is embeddings", status=500)
    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"not": {}}}},
        {"response_format": {"type": "lark_grammar", "lark_grammar": "start: ("}},
    ],
)
def test_deterministic_500(client, params):
    """A 500 that the same request would get for ever (a grammar that cannot be) is not asked again."""
    client.models.resolve(ALIAS)
    with pytest.raises(BadRequest, match="rror creating grammar") as caught:
        client.chat.complete("Hello", **params)

    assert len(caught.value.attempts) == 1


def test_unload_while_an_answer_runs(own_client):
    """A model in use is not unloaded: the message says why, and the running answer goes on."""
    with own_client.chat.stream("Hello", response_format=ENDLESS, max_tokens=2000) as stream:
        next(stream)
        with pytest.raises(ModelInUse) as caught:
            own_client.with_options(retries=0).models.unload(ALIAS)
        assert_tells(
            caught.value, "1 session(s) still using it", "Wait until the answers that use it", status=500
        )
        assert stream.gather().usage.completion_tokens == 2000


def test_unload_after_an_answer(own_client):
    """A model can be unloaded right after an answer, although its session lives on for milliseconds."""
    for _ in range(20):
        assert own_client.complete("Say OK", temperature=0).content == "OK"
        own_client.models.unload(ALIAS)


def test_shutdown_from_elsewhere(own_client):
    """`POST /shutdown` never answers and is sent once; afterwards nothing answers there, and that is said."""
    with pytest.raises(ServiceUnreachable) as caught:
        own_client.request("POST", "/shutdown")
    assert len(caught.value.attempts) == 1
    assert not own_client.health.is_alive()
    with pytest.raises(ServiceUnreachable, match=r"foundry-rest serve"):
        own_client.with_options(retries=0).complete("Hello")


def test_message_is_free_of_foreign_source_places(client):
    """The C++ places that 2.2.1 puts into its messages are for its developers: shown is the reason."""
    with pytest.raises(BadRequest) as caught:
        client.complete([{"role": "user", "content": [{"type": "image_url"}]}])

    assert "fl::" not in caught.value.message
    assert b"chat_session.cc" in caught.value.body
