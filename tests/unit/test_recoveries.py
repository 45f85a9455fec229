"""Curable errors are cured once: a name is resolved, a model loaded, and the call repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.servers import CHAT

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
from foundry_rest.models.recoveries import build_recoveries
from foundry_rest.testing import FaultServer, chat_stream, cut, json_error, model_not_loaded, stall
from foundry_rest.transport.call import Call

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
    """On another machine an alias is learnt by loading it, before it is asked for: nothing fails."""
    failed: list[object] = []
    assert ask(server, observers=[lambda event: failed.append(event) if hasattr(event, "wait") else None])

    assert failed == []
    assert models_asked(server) == ["demo-generic-cpu:1"]
    assert server.loaded == ("demo-generic-cpu:1",)
    assert [request.path for request in server.requests] == [
        "/status",
        "/models/loaded",
        "/models/load/demo",
        "/models/loaded",
        CHAT,
    ]


def test_an_alias_that_is_loaded(server):
    """Loading what is loaded is a question: four requests tell its id and ask it."""
    server.loaded = ["demo-generic-cpu:1"]
    assert ask(server).content == "Hello there"

    assert models_asked(server) == ["demo-generic-cpu:1"]
    assert len(server.requests) == 4


def test_an_alias_of_this_machine_that_is_loaded(tmp_path):
    """The catalog file tells the id, the list that it is in memory: three requests in all."""
    (tmp_path / "foundry.modelinfo.json").write_bytes(SNAPSHOT)
    with FaultServer({"phi-4": "phi-4-generic-cpu:1"}, model_cache_path=str(tmp_path)) as server:
        assert ask(server, "phi-4").content == "Hello there"

        assert [request.path for request in server.requests] == ["/status", "/models/loaded", CHAT]


def test_an_id_is_asked_at_once(server):
    """Nothing is looked up for a name that can only be an id."""
    server.loaded = ["demo-generic-cpu:1"]
    ask(server, "demo-generic-cpu:1")

    assert [request.path for request in server.requests] == ["/status", CHAT]


def test_an_alias_on_this_machine(tmp_path):
    """Here the catalog file resolves it; then the model is loaded, and asked for once."""
    (tmp_path / "foundry.modelinfo.json").write_bytes(SNAPSHOT)
    with FaultServer({"phi-4": "phi-4-generic-cpu:1"}, loaded=[], model_cache_path=str(tmp_path)) as server:
        assert ask(server, "PHI-4").content == "Hello there"
        assert models_asked(server) == ["phi-4-generic-cpu:1"]
        assert len(server.requests) == 5


def test_what_was_learnt_is_remembered(server):
    """The second call asks for the id at once."""
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        client.complete("Hi")
        client.complete("Hi")
        client.with_options(deadline=5).complete("Hi")

    assert models_asked(server) == ["demo-generic-cpu:1"] * 3
    assert len(server.asked("/models/load/*")) == 1


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
    """Why it could not be loaded is the error, of the call that needed it; why it was tried is its cause."""
    server.on("GET", "/models/load/*", answer)
    with FoundryAPIClient(server.url, model="demo", retries=0) as client:
        with pytest.raises(cls) as first:
            client.complete("Hi")
        with pytest.raises(cls) as later:
            client.complete("Hi", model="demo-generic-cpu:1")

        assert client.stats().by_call["chat.complete"].errors == 2
    assert (first.value.call, first.value.model) == ("chat.complete", "demo")
    assert isinstance(later.value.__cause__, ModelNotLoaded)
    assert (later.value.call, later.value.model) == ("chat.complete", "demo-generic-cpu:1")


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


def test_recoveries_are_for_requests_on_a_model():
    """Loading itself, or a route of the caller's choice, is left as it is."""
    recoveries = build_recoveries(lambda: pytest.fail("none is due"), lambda *_: False, auto_load=True)

    assert set(recoveries) == {ModelNotFound, ModelNotLoaded, ServiceUnreachable}
    for call in (Call("GET", "/models/load/m", model="m"), Call("POST", "/x", b"{}")):
        assert [recover(call, LoadFailed()) for _, recover in recoveries.values()] == [False] * 3


def test_a_raw_request_is_not_cured(server):
    """What is sent by ``request`` is answered as it is."""
    with FoundryAPIClient(server.url, dialect=Generation2Dialect()) as client, pytest.raises(ModelNotFound):
        client.request("POST", CHAT, json={"model": "demo", "messages": []})

    assert len(server.requests) == 1
