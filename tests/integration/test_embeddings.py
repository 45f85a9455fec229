"""Embeddings on the real services: 2.2.1 and 1.2.4, with a tiny real model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import BadRequest, ConfigError, ContextLengthExceeded, ModelNotFound
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.schema import ModelInfo

MODELS = Path(__file__).parents[1] / "models"
ALIAS, ID = "tiny-embeddings", "tiny-embeddings-generic-cpu:1"
TEXTS = ["Hello", "world", "", "日本語 \U0001f600", "a\nb", "word " * 200]


@pytest.fixture(scope="module")
def service() -> Iterator[LocalRuntime]:
    """Return a 2.2.1 with a model of each task; nothing is loaded."""
    with LocalRuntime([MODELS / ALIAS, MODELS / "tiny-whisper", demo_model_dir()]) as started:
        yield started


@pytest.fixture
def client(service) -> Iterator[FoundryAPIClient]:
    """Return a client that knows nothing yet."""
    with FoundryAPIClient(service.url, model=ALIAS) as made:
        yield made


@pytest.mark.runtime
def test_a_model_that_is_not_loaded_is(client):
    """By its alias alone it is found and loaded, and one vector of length 1 comes."""
    client.models.unload(ALIAS)
    reply = client.embeddings.create("Hello")

    assert len(reply.vectors) == 1
    assert len(reply.vector) == 64
    assert math.isclose(math.hypot(*reply.vector), 1.0, abs_tol=1e-6)
    assert reply.model == ID
    assert [info.id for info in client.models.loaded()] == [ID]
    assert client.models.resolve(ALIAS).task == "embeddings"


@pytest.mark.runtime
@pytest.mark.parametrize("size", [1, 4, 32])
def test_a_batch_is_what_its_texts_are(client, size):
    """Alone, in batches of any size, today and again: bit for bit the same vectors, each its text's own."""
    single = [client.embeddings.create(text).vector for text in TEXTS]
    many = client.embeddings.create(iter(TEXTS), batch_size=size).vectors

    assert many == single
    assert len({tuple(vector) for vector in many}) == len(TEXTS)


@pytest.mark.runtime
def test_ten_thousand_texts(client):
    """Any number of texts is embedded, and each vector stands at its text's place."""
    texts = [f"text {n % 500}" for n in range(10_000)]
    vectors = client.embeddings.create(texts, deadline=60).vectors

    assert len(vectors) == 10_000
    assert vectors[:500] * 20 == vectors
    assert vectors[7] == client.embeddings.create("text 7").vector


@pytest.mark.runtime
@pytest.mark.parametrize("alias", ["demo-chat", "tiny-whisper"])
def test_a_model_for_something_else(client, alias):
    """It is refused before it is asked, or loaded for nothing, by any of its names."""
    for name in (alias, f"{alias}-generic-cpu:1"):
        with FoundryAPIClient(client.health.check().url, model=name) as fresh:
            with pytest.raises(ConfigError, match=f"{alias}-generic-cpu:1 is a model for"):
                fresh.embeddings.create("Hello")
            assert alias not in str(fresh.models.loaded())


@pytest.mark.runtime
@pytest.mark.parametrize("alias", ["demo-chat", "tiny-whisper"])
def test_a_model_for_who_knows_what(client, alias):
    """While its task is unknown the service refuses, is asked once, and is well."""
    id_ = client.models.load(alias).id
    client._context.names.learn(id_, ModelInfo(id=id_))
    with pytest.raises(BadRequest) as refused:
        client.embeddings.create("Hello", model=id_)
    client.models.unload(alias)

    assert len(refused.value.attempts) == 1
    assert client.breaker.current == "closed"


@pytest.mark.runtime
def test_a_text_that_is_too_long(client):
    """The error says so, and which text it is; it can be skipped, and the service is well."""
    texts = ["short", "word " * 3000, "also short"]
    with pytest.raises(ContextLengthExceeded, match=r"input\[1\] is longer"):
        client.embeddings.create(texts)

    reply = client.embeddings.create(texts, on_error="skip")
    assert list(reply.failed) == [1]
    assert [bool(vector) for vector in reply.vectors] == [True, False, True]
    assert reply.top(client.embeddings.create("short"), 1)[0].index == 0


@pytest.mark.runtime
def test_an_unknown_model(client):
    """A name that nothing has is an error with what comes near."""
    with pytest.raises(ModelNotFound):
        client.embeddings.create("Hello", model="tiny-embedings")


# ---------------------------------------------------------------- 1.2.4


@pytest.fixture
def core_models() -> list[dict[str, object]]:
    """Return the models of the 1.2.4 service: one that embeds, one that chats."""
    models = [(ALIAS, "embeddings", MODELS / ALIAS), ("demo-chat", "chat-completion", demo_model_dir())]
    return [
        {"name": f"{alias}-generic-cpu", "alias": alias, "version": 1, "task": task, "path": str(path)}
        for alias, task, path in models
    ]


@pytest.fixture
def core(own_core_runtime) -> Iterator[FoundryAPIClient]:
    """Return a client on a 1.2.4 service that has loaded nothing."""
    with FoundryAPIClient(own_core_runtime.url, model=ALIAS) as made:
        yield made


def test_on_1x(core):
    """1.2.4 gives vectors by the same call, and loads by itself; it alone refuses an empty text."""
    texts = [text for text in TEXTS if text]
    vectors = core.embeddings.create(texts, batch_size=2).vectors

    assert vectors == [core.embeddings.create(text).vector for text in texts]
    assert {len(vector) for vector in vectors} == {64}
    with pytest.raises(BadRequest, match="non-empty"):
        core.embeddings.create(["Hello", ""])
    with pytest.raises(ContextLengthExceeded):
        core.embeddings.create("word " * 3000)


def test_a_chat_model_does_not_end_1x(core, own_core_runtime):
    """A chat model on this route kills 1.2.4's process: it is looked up first and never sent."""
    for name in ("demo-chat", "demo-chat-generic-cpu", "demo-chat-generic-cpu:1"):
        with pytest.raises(ConfigError, match="a model for chat-completion"):
            core.embeddings.create("Hello", model=name)

    assert own_core_runtime.process.poll() is None
    assert core.embeddings.create("Hello").vectors
