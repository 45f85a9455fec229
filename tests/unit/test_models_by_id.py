"""Models of a service that takes ids and does not tell why it refuses: the name is resolved first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidReply,
    ModelInUse,
    ModelNotCached,
    ModelNotFound,
    ServiceError,
    StreamInterrupted,
    TransportError,
    UnsupportedByService,
)
from foundry_rest.schema import DownloadStep
from foundry_rest.testing import FaultServer, LegacyService, answer, cut, json_answer, split, unavailable

SAMPLES = Path(__file__).parents[1] / "samples"
CPU = "Phi-4-mini-instruct-generic-cpu:5"
LIST = "/foundry/list"


@pytest.fixture
def service():
    """A 0.8 with one model on its disk and none in memory."""
    return LegacyService(cached=[CPU])


@pytest.fixture
def server(service):
    """The same, on a socket."""
    with FaultServer(service=service) as there:
        yield there


@pytest.fixture
def models(server):
    """The models endpoint of a client that tries once."""
    with FoundryAPIClient(server.url, retries=0, model="phi-4-mini") as client:
        yield client.models


def asked(server, path):
    """Return how often a path was asked for."""
    return len(server.asked(path))


def test_load_tells_the_time_to_live(server, models, service):
    """``ttl`` and ``provider`` reach the service; without them its own client's 600 s hold."""
    models.load("phi-4-mini", device="cpu")
    models.load("phi-4-mini", ttl=5, provider="cuda")

    targets = [request.query for request in server.asked("/openai/load/*")]
    assert ["ttl=600" in targets[0], "ttl=5" in targets[1], "ep=cuda" in targets[1]] == [True] * 3
    assert service.loaded == (CPU,)


def test_a_loaded_model_is_not_loaded_again(server, models, service):
    """What the service lists as loaded needs no request that works for minutes."""
    service.loaded = [CPU]

    assert models.load("phi-4-mini").loaded
    assert models.ensure_loaded("phi-4-mini").id == CPU
    assert asked(server, "/openai/load/*") == 0


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "QWEN2.5-0.5B"])
def test_what_is_not_on_the_disk_is_not_loaded(server, models, name):
    """Known and not downloaded: said before the service is asked in vain."""
    with pytest.raises(ModelNotCached, match="Download it first"):
        models.load(name)
    assert asked(server, "/openai/load/*") == 0


def test_an_unknown_name(server, models):
    """The near misses are in the error; the service is not asked to load it."""
    with pytest.raises(ModelNotFound) as caught:
        models.load("phi-4-mimi")
    assert "phi-4-mini" in caught.value.suggestions
    assert asked(server, "/openai/load/*") == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"device": "TPU"}, "NPU, GPU, CPU"),
        ({"device": 1}, "NPU, GPU, CPU"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": 1.5}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"provider": 1}, "provider"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_wrong_arguments(server, models, arguments, match):
    """They are refused before anything is sent."""
    with pytest.raises(ConfigError, match=match):
        models.load("phi-4-mini", **arguments)
    assert server.requests == []


def test_a_device_without_a_variant(models):
    """The error says for which device none is listed, and for which there is one."""
    with pytest.raises(ModelNotFound, match=r"no such model for NPU .* listed for CPU: leave device= out"):
        models.load("qwen2.5-0.5b", device="NPU")


def test_the_name_is_trusted_while_the_catalog_fails(server, models, service):
    """A catalog that cannot be reached does not keep a model on the disk from being loaded."""
    server.on("GET", LIST, unavailable())

    assert models.load(CPU).id == CPU
    assert service.loaded == (CPU,)


@pytest.mark.parametrize("content", [b'[{"name": "a", "al', b"<html>", b"{}", b'[{"alias": "a"}]', b"[1]"])
def test_a_catalog_that_cannot_be_read(server, models, content):
    """A list that is no list is an error, asked for once."""
    server.on("GET", LIST, answer(200, content))

    with pytest.raises(InvalidReply):
        models.catalog()
    assert asked(server, LIST) == 1


def test_a_catalog_that_is_cut_in_the_middle(server, models):
    """Half a list is never taken for a list."""
    whole = json_answer([{"name": "a:1", "alias": "a"}])
    server.on("GET", LIST, whole[:1] + split(whole[1:], 10)[:1] + cut())

    with pytest.raises(TransportError):
        models.catalog()


def test_unload(server, models, service):
    """Loaded: dropped though its time is not over. Not loaded: nothing is asked. Unknown: an error."""
    models.load("phi-4-mini")
    models.unload("PHI-4-mini")
    assert service.loaded == ()
    models.unload("phi-4-mini")
    assert asked(server, "/openai/unload/*") == 1
    with pytest.raises(ModelNotFound):
        models.unload("phi-4-mimi")


def test_unload_that_waits_for_its_time(models, service):
    """``force=False`` leaves it to its time to live."""
    models.load("phi-4-mini")
    models.unload("phi-4-mini", force=False)
    assert service.loaded == (CPU,)


def test_unload_all(server, models, service):
    """One request drops all; without any in memory none is sent."""
    assert models.unload_all() == []
    service.loaded = [CPU]

    assert models.unload_all() == [CPU]
    assert (service.loaded, asked(server, "/openai/unloadall")) == ((), 1)


def test_nothing_is_unloaded_under_a_request(server, models):
    """The request ends first; one that does not end in time keeps the model."""
    with FoundryAPIClient(server.url, model="phi-4-mini") as client:
        stream = client.stream_complete("Hi")
        with pytest.raises(DeadlineExceeded, match="still run on the model"):
            client.models.unload("phi-4-mini", deadline=0.05)
        dropping = threading.Thread(target=client.models.unload_all, daemon=True)
        dropping.start()
        assert stream.gather().content
        dropping.join(10)

        assert not dropping.is_alive()
        assert client.models.loaded() == []


def test_download(models, service):
    """Each step is told; the model is on the disk afterwards, and is not fetched again."""
    steps: list[DownloadStep] = []

    info = models.download("qwen2.5-0.5b", progress=steps.append)
    assert info.cached
    assert info.id in service.cached
    assert steps[-1] == DownloadStep(fraction=1.0, done=True)
    assert [step.done for step in steps].count(True) == 1
    assert len(steps) > 2

    steps.clear()
    assert models.download("qwen2.5-0.5b", progress=steps.append) == info
    assert steps == [DownloadStep(fraction=1.0, done=True)]


def test_a_download_that_breaks_off(models, service):
    """It is no success: the error says that it can go on."""
    service.download_stop = 2
    with pytest.raises(StreamInterrupted):
        models.download("qwen2.5-0.5b")
    assert len(service.cached) == 1


def test_a_download_that_fails(models, service):
    """The service's own word is in the error."""
    service.download_error = "disk full"
    with pytest.raises(ServiceError, match="disk full"):
        models.download("qwen2.5-0.5b")


def test_a_progress_that_raises(models, service):
    """The caller's own exception ends the download and is the caller's."""
    with pytest.raises(ZeroDivisionError):
        models.download("qwen2.5-0.5b", progress=lambda step: 1 / 0)


def test_no_download_where_there_is_no_route():
    """2.x from another client: the error tells the way out, and nothing is resolved in vain."""
    with FaultServer() as server, FoundryAPIClient(server.url) as client:
        with pytest.raises(UnsupportedByService, match="foundry model download"):
            client.models.download("demo")
        assert asked(server, "/v1/models") == 0


def test_stored_responses_that_hold_a_model():
    """The refusal to unload names them, so that they can be deleted."""
    held = "Unload failed: cannot unload model 'demo-generic-cpu:1': 1 session(s) still using it"
    body = {"error": {"message": held, "type": "server_error", "code": None, "param": None}}
    stored = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "demo-generic-cpu:1",
        "output": [],
    }
    other = {**stored, "id": "resp_2", "model": "other:1"}
    with FaultServer() as server, FoundryAPIClient(server.url, retries=0) as client:
        client.models.load("demo")
        server.on("GET", "/models/unload/*", json_answer(body, 500))
        page = {"object": "list", "data": [stored, other], "has_more": False}
        server.on("GET", "/v1/responses", json_answer(page))
        with pytest.raises(ModelInUse, match=r"responses\.delete\(id\): resp_1\.") as caught:
            client.models.unload("demo")
        assert "resp_2" not in str(caught.value)
