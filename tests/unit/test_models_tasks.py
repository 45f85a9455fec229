"""What a model is for is known before it is asked, and before anything is loaded for it."""

from __future__ import annotations

import json

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, ModelNotFound, ServiceUnreachable
from foundry_rest.schema import ModelInfo
from foundry_rest.testing import FaultServer, json_answer, json_error, model_list, reset

PATH = "/v1/embeddings"
ID, NAME = "demo-generic-cpu:1", "demo-generic-cpu"
VECTOR = json_answer({"data": [{"index": 0, "embedding": [1.0]}]})
AWAY = json_error(500, "Catalog request failed across 7 region(s)")


@pytest.fixture
def server():
    """Serve vectors whatever is asked, as 2.x; the model is on disk, not in memory."""
    with FaultServer(loaded=[]) as running:
        yield running.on("POST", PATH, VECTOR).on("GET", "/v1/models", model_list([ID]))


@pytest.fixture
def client_of(server, tmp_path):
    """Return a function that gives a client of a generation, whose catalog file tells one task."""
    clients = []

    def make(dialect: str, task: str) -> FoundryAPIClient:
        entry = {"id": ID, "alias": "demo", "name": NAME, "version": 1, "task": task}
        (tmp_path / "foundry.modelinfo.json").write_text(json.dumps({"models": [entry]}), "utf-8")
        key = "modelCachePath" if dialect == "2.x" else "modelDirPath"
        server.on("GET", "/status", json_answer({key: str(tmp_path), "pid": 1}))
        if dialect == "1.x":
            server.on("GET", "/v1/models", model_list([NAME]))
        clients.append(FoundryAPIClient(server.url, model="demo", retries=0, dialect=dialect))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def paths(server) -> list[str]:
    """Return the paths asked for."""
    return [request.path for request in server.requests]


@pytest.mark.parametrize("dialect", ["2.x", "1.x"])
@pytest.mark.parametrize("task", ["chat-completion", "automatic-speech-recognition"])
def test_a_model_for_something_else(server, client_of, dialect, task):
    """It is looked up, refused with the task in words, and neither asked nor loaded."""
    with pytest.raises(ConfigError, match=f"{ID} is a model for {task}, not for embeddings") as caught:
        client_of(dialect, task).embeddings.create("a")

    assert (caught.value.call, caught.value.model) == ("embeddings.create", "demo")
    assert PATH not in paths(server)
    assert not any("/models/load/" in path for path in paths(server))


@pytest.mark.parametrize("dialect", ["2.x", "1.x"])
def test_a_model_is_looked_up_once(server, client_of, dialect):
    """The task that was learnt is not asked for again, and the id that was learnt is what is sent."""
    client = client_of(dialect, "embeddings")
    client.embeddings.create("a")
    seen = len(server.requests)
    client.embeddings.create("b")

    assert paths(server)[seen:] == [PATH]
    assert {request.json()["model"] for request in server.asked(PATH)} == {ID}


@pytest.mark.parametrize("dialect", ["2.x", "1.x"])
def test_a_catalog_that_is_away(server, client_of, dialect):
    """While the service cannot list its models the task is unknown, and the request is sent."""
    client = client_of(dialect, "chat-completion")
    server.on("GET", "/v1/models", AWAY)

    assert client.embeddings.create("a").vector == [1.0]


def test_a_name_that_2x_does_not_list(server, client_of):
    """2.x elsewhere shows no aliases and refuses by itself: the name is sent, and may be loaded by it."""
    client = client_of("2.x", "embeddings")

    assert client.embeddings.create("a", model="unlisted").vector == [1.0]


def test_a_name_that_1x_does_not_list(server, client_of):
    """On 1.x nobody knows what the name would do: it is not sent."""
    with pytest.raises(ModelNotFound):
        client_of("1.x", "embeddings").embeddings.create("a", model="unlisted")

    assert PATH not in paths(server)


@pytest.mark.parametrize(("dialect", "looks"), [("2.x", False), ("1.x", True)])
def test_a_model_whose_task_is_not_told(server, client_of, dialect, looks):
    """Where the wrong model is deadly, what is unknown is looked up each time; elsewhere it passes."""
    client = client_of(dialect, "")
    client._context.names.learn("demo", ModelInfo(id=ID))

    assert client.embeddings.create("a").vector == [1.0]
    assert ("/v1/models" in paths(server)) is looks


def test_a_stranger_is_not_looked_up(server):
    """Any other service loads what it likes and lists what it likes: it is only asked."""
    with FoundryAPIClient(server.url, model="any", dialect="openai") as client:
        client.embeddings.create("a")

    assert paths(server) == [PATH]


def test_a_service_that_is_gone(server, client_of):
    """A lost connection is no answer about a model, but the error of the call."""
    client = client_of("2.x", "embeddings")
    server.on("GET", "/v1/models", reset())
    with pytest.raises(ServiceUnreachable):
        client.embeddings.create("a")
