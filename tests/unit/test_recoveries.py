"""Curable errors are cured once: a name is resolved, a model loaded, and the call repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import (
    DeadlineExceeded,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.models.recoveries import cures_by
from foundry_rest.services.context import with_model
from foundry_rest.testing import FaultServer, chat_stream, cut, json_error, model_not_loaded, stall
from foundry_rest.transport.call import Call

CHAT = "/v1/chat/completions"
SNAPSHOT = (Path(__file__).parents[1] / "samples" / "json_native_snapshot.json").read_bytes()


@pytest.fixture
def server():
    """Serve one model that is on disk but not in memory, as from another machine."""
    with FaultServer(loaded=[]) as running:
        yield running


def ask(server, model="demo", **options):
    """Return a client's answer."""
    options.setdefault("retries", 0)
    with FoundryAPIClient(server.url, model=model, **options) as client:
        return client.complete("Hi")


def models_asked(server) -> list[str]:
    """Return the model of each chat request."""
    return [request.json()["model"] for request in server.asked(CHAT)]


def test_an_alias_that_is_not_loaded(server):
    """On another machine an alias is learnt by loading it; 0 retries are enough."""
    assert ask(server).content == "Hello there"
    assert models_asked(server) == ["demo", "demo-generic-cpu:1"]
    assert server.loaded == ("demo-generic-cpu:1",)


def test_an_alias_on_this_machine(tmp_path):
    """Here the catalog file resolves it; then the model is loaded; each cure is used once."""
    (tmp_path / "foundry.modelinfo.json").write_bytes(SNAPSHOT)
    with FaultServer({"phi-4": "phi-4-generic-cpu:1"}, loaded=[], model_cache_path=str(tmp_path)) as server:
        assert ask(server, "PHI-4").content == "Hello there"
        assert models_asked(server) == ["PHI-4", "phi-4-generic-cpu:1", "phi-4-generic-cpu:1"]


def test_what_was_learnt_is_remembered(server):
    """The second call asks for the id at once."""
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        client.complete("Hi")
        client.complete("Hi")
        client.with_options(deadline=5).complete("Hi")

    assert models_asked(server)[2:] == ["demo-generic-cpu:1"] * 2


def test_a_model_that_was_dropped_is_loaded_again(server):
    """After a restart of the service the models are gone from memory."""
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        client.complete("Hi")
        server.loaded = []

        assert client.complete("Hi").content == "Hello there"


def test_no_loading_unasked(server):
    """With ``auto_load=False`` the service's no is the error."""
    with pytest.raises(ModelNotLoaded, match=r"Load it with client\.models\.load"):
        ask(server, "demo-generic-cpu:1", auto_load=False)
    with pytest.raises(ModelNotFound):
        ask(server, "demo", auto_load=False)

    assert server.asked("/models/load/*") == []


def test_a_cure_that_did_not_help(server):
    """The same refusal after loading is final."""
    server.on("POST", CHAT, model_not_loaded())
    with pytest.raises(ModelNotLoaded, match="after 2 attempts") as caught:
        ask(server, retries=3)

    assert [(attempt.error, attempt.cure) for attempt in caught.value.attempts] == [
        ("ModelNotLoaded", "load"),
        ("ModelNotLoaded", ""),
    ]


@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (json_error(500, "Load failed: no memory"), LoadFailed),
        (json_error(400, "Model not cached: Model must be downloaded before loading"), ModelNotCached),
    ],
)
def test_a_load_that_fails(server, answer, cls):
    """Why it could not be loaded is the error; why it was tried is its cause."""
    server.on("GET", "/models/load/*", answer)
    with pytest.raises(cls) as caught:
        ask(server, "demo")

    assert isinstance(caught.value.__cause__, ModelNotFound)
    assert (caught.value.call, caught.value.model) == ("chat.complete", "demo")


def test_a_load_keeps_to_the_calls_deadline(server):
    """Loading on behalf of a call ends with it, and carries its headers."""
    server.on("GET", "/models/load/*", stall())
    with pytest.raises(DeadlineExceeded):
        ask(server, deadline=0.1)
    with FaultServer(loaded=[]) as other, FoundryAPIClient(other.url, model="demo") as client:
        client.chat.complete("Hi", headers={"X-Gateway": "k"})

        assert {request.headers.get("x-gateway") for request in other.requests} == {"k"}


def test_an_unknown_model(server):
    """Every way was tried: near misses are offered."""
    with pytest.raises(ModelNotFound, match=r"Did you mean demo-generic-cpu:1\?") as caught:
        ask(server, "demo-generic-cpu:9")

    assert caught.value.attempts[0].error == "ModelNotFound"


def test_a_stream_is_cured_before_it_opens(server):
    """Streams are cured as whole answers are; what breaks later is not."""
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        assert client.stream_complete("Hi").gather().content == "Hello there"
        server.on("POST", CHAT, chat_stream("one two")[:3] + cut())
        with pytest.raises(StreamInterrupted):
            client.stream_complete("Hi").gather()


def test_cures_are_for_calls_that_ask_a_model():
    """Loading itself, or a route of the caller's choice, is not cured."""
    cures = cures_by(lambda: pytest.fail("no cure is due"), lambda *_: False, auto_load=True)

    assert set(cures) == {ModelNotFound, ModelNotLoaded, ServiceUnreachable}
    for call in (Call("GET", "/models/load/m", model="m"), Call("POST", "/x", b"{}")):
        assert [cure(call, LoadFailed()) for _, cure in cures.values()] == [None] * 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","n":1}', b'{"model":"b","n":1}'),
        (b'{"model":"b"}', None),
        (b"{}", None),
        (b"[]", None),
        (None, None),
    ],
)
def test_with_model(body, expected):
    """Only a body that asks for another model is changed."""
    changed = with_model(Call("POST", "/x", body, label="l"), "b")

    assert (changed and changed.body) == expected


def test_a_raw_request_is_not_cured(server):
    """What is sent by ``request`` is answered as it is."""
    with FoundryAPIClient(server.url, dialect=Generation2Dialect()) as client, pytest.raises(ModelNotFound):
        client.request("POST", CHAT, json={"model": "demo", "messages": []})

    assert len(server.requests) == 1
