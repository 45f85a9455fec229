"""Our client on a 0.x service, in both of its spellings, from finding out what it is to unloading."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from foundry_rest import (
    FoundryAPIClient,
    FoundryError,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    ServiceError,
)
from foundry_rest.testing import FaultServer, LegacyService, cut
from foundry_rest.testing.legacy import LEGACY_CACHED, LEGACY_CATALOG

CPU, _, EMBEDDER = LEGACY_CACHED
MISTRAL = str(LEGACY_CATALOG[5]["name"])

Serve = Callable[..., tuple[FoundryAPIClient, FaultServer]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that runs a service and gives a client on it, and the server."""
    ends: list[Callable[[], None]] = []

    def start(service: LegacyService, **options: object) -> tuple[FoundryAPIClient, FaultServer]:
        server = FaultServer(service=service, header_limit=None)
        server.start()
        client = FoundryAPIClient(server.url, model="phi-4-mini", retries=0, **options)
        ends.extend((server.close, client.close))
        return client, server

    yield start
    for end in reversed(ends):
        end()


def loads(server: FaultServer) -> list[str]:
    """Return what was loaded, in order."""
    return [request.path.rpartition("/")[2] for request in server.asked("/openai/load/*")]


@pytest.mark.parametrize("documents", [False, True])
def test_a_whole_life(documents: bool, serve: Serve) -> None:
    """Recognised, listed, downloaded, loaded, asked, unloaded: the same in the documents' spelling."""
    service = LegacyService(documents=documents)
    client, _ = serve(service)
    steps: list[float] = []

    assert client.health_check().generation == "0.x"
    assert [info.id for info in client.models.catalog()] == [entry["name"] for entry in LEGACY_CATALOG]
    assert [info.id for info in client.models.cached()] == list(LEGACY_CACHED)
    info = client.models.download("mistral-7b-v0.2", progress=lambda step: steps.append(step.fraction))
    assert (info.id, info.cached, steps[-1]) == (MISTRAL, True, 1.0)
    assert client.models.load("mistral-7b-v0.2").id == MISTRAL
    assert [each.id for each in client.models.loaded()] == [MISTRAL]
    assert client.complete("Hi", model="mistral-7b-v0.2").content == "Hello there"
    client.models.unload("mistral-7b-v0.2")
    assert service.loaded == ()


def test_a_name_is_resolved_and_loaded_when_asked(serve: Serve) -> None:
    """An alias and a model that is not in memory are the same 400: it is resolved, loaded, asked again."""
    client, server = serve(LegacyService())

    assert client.complete("Hi").content == "Hello there"
    assert (loads(server), server.requests[-1].json()["model"]) == ([CPU], CPU)


def test_a_model_whose_time_is_over_is_loaded_again(serve: Serve) -> None:
    """After its time to live a model leaves memory in silence; the next question brings it back."""
    service = LegacyService()
    client, server = serve(service)
    client.complete("Hi")
    service.expire()

    assert "".join(chunk.content for chunk in client.stream_complete("Hi")) == "Hello there"
    assert loads(server) == [CPU, CPU]


@pytest.mark.parametrize(
    ("model", "error"), [("mistral-7b-v0.2", ModelNotCached), ("nothing", ModelNotFound)]
)
def test_a_model_that_cannot_be_asked(model: str, error: type[Exception], serve: Serve) -> None:
    """Not on disk and unknown are told apart, though the service answers both alike; nothing is loaded."""
    client, server = serve(LegacyService())
    with pytest.raises(error):
        client.complete("Hi", model=model)

    assert loads(server) == []


def test_without_auto_load_the_refusal_stays(serve: Serve) -> None:
    """Who wants no model loaded unasked sees the service's own word."""
    client, _ = serve(LegacyService(), auto_load=False)
    with pytest.raises(ModelNotLoaded, match="No OpenAIService provider found"):
        client.complete("Hi", model=CPU)


def test_a_load_that_fails(serve: Serve) -> None:
    """A 500 with a line of text."""
    client, _ = serve(LegacyService(broken=[CPU]))
    with pytest.raises(LoadFailed, match="Failed loading model"):
        client.models.load(CPU)


@pytest.mark.parametrize(
    ("finish", "hang", "reason"), [(False, False, None), (True, True, "stop"), (True, False, "stop")]
)
def test_streams_of_every_0_8(
    finish: bool, hang: bool, reason: str | None, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.8.101 never says why it ended, 0.8.117 never ends: the answer is whole all the same."""
    monkeypatch.setattr("foundry_rest.stream.answer.GRACE", 0.05)
    client, _ = serve(LegacyService(loaded=[CPU], finish=finish, hang=hang))
    reply = client.chat.stream("Hi", model=CPU).gather()

    assert (reply.content, reply.finish_reason) == ("Hello there", reason)


def test_downloads_that_fail(serve: Serve) -> None:
    """A 200 that fails in its last line, or breaks off, is no download; what was there stays as it was."""
    service = LegacyService()
    client, server = serve(service)
    service.download_error = "disk full"
    with pytest.raises(ServiceError, match="disk full"):
        client.models.download(MISTRAL)
    service.download_error, service.download_stop = None, 2
    with pytest.raises(FoundryError):
        client.models.download(MISTRAL)
    server.on("POST", "/openai/download", cut())
    with pytest.raises(FoundryError):
        client.models.download(MISTRAL)

    assert service.cached == LEGACY_CACHED
    assert len(server.asked("/openai/download")) == 3


def test_a_full_disk_closes_no_circuit(serve: Serve) -> None:
    """However often a download fails by the service's own word, questions are answered."""
    service = LegacyService(loaded=[CPU])
    client, _ = serve(service)
    service.download_error = "disk full"
    for _ in range(10):
        with pytest.raises(ServiceError, match="disk full"):
            client.models.download(MISTRAL)

    assert client.complete("Hi", model=CPU).content == "Hello there"


def test_what_only_0_x_can_do(serve: Serve) -> None:
    """Count tokens, choose a time to live and a provider, drop all models in one request."""
    service = LegacyService()
    client, server = serve(service)
    client.models.load(CPU, ttl=5, provider="cuda")

    assert server.requests[-1].query == "ttl=5&ep=cuda"
    assert client.chat.count_tokens("one two three", model=CPU) == 3
    assert client.models.unload_all() == [CPU]
    assert (service.loaded, server.requests[-1].path) == ((), "/openai/unloadall")


def test_embeddings(serve: Serve) -> None:
    """The documented route, for a model whose task it is."""
    client, _ = serve(LegacyService())

    assert [len(vector) for vector in client.embeddings.create(["a", "b"], model=EMBEDDER).vectors] == [8, 8]
