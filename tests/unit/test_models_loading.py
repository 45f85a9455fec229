"""Loading on a service that takes ids and does not tell why it refuses: the name is resolved first."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry_rest.errors import (
    ConfigError,
    InvalidReply,
    ModelNotCached,
    ModelNotFound,
    TransportError,
)
from foundry_rest.testing import answer, cut, json_answer, split, unavailable

SAMPLES = Path(__file__).parents[1] / "samples"
CPU = "Phi-4-mini-instruct-generic-cpu:5"
LIST = "/foundry/list"


def asked(server, path):
    """Return how often a path was asked for."""
    return len(server.asked(path))


def test_load_tells_the_time_to_live(legacy_server, legacy_models, legacy):
    """``ttl`` and ``provider`` reach the service; without them its own client's 600 s hold."""
    legacy_models.load("phi-4-mini", device="cpu")
    legacy_models.load("phi-4-mini", ttl=5, provider="cuda")

    targets = [request.query for request in legacy_server.asked("/openai/load/*")]
    assert ["ttl=600" in targets[0], "ttl=5" in targets[1], "ep=cuda" in targets[1]] == [True] * 3
    assert legacy.loaded == (CPU,)


def test_a_loaded_model_is_not_loaded_again(legacy_server, legacy_models, legacy):
    """What the service lists as loaded needs no request that works for minutes."""
    legacy.loaded = [CPU]

    assert legacy_models.load("phi-4-mini").loaded
    assert legacy_models.ensure_loaded("phi-4-mini").id == CPU
    assert asked(legacy_server, "/openai/load/*") == 0


@pytest.mark.parametrize("name", ["qwen2.5-0.5b", "QWEN2.5-0.5B"])
def test_what_is_not_on_the_disk_is_not_loaded(legacy_server, legacy_models, name):
    """Known and not downloaded: said before the service is asked in vain."""
    with pytest.raises(ModelNotCached, match="Download it first"):
        legacy_models.load(name)
    assert asked(legacy_server, "/openai/load/*") == 0


def test_an_unknown_name(legacy_server, legacy_models):
    """The near misses are in the error; the service is not asked to load it."""
    with pytest.raises(ModelNotFound) as caught:
        legacy_models.load("phi-4-mimi")
    assert "phi-4-mini" in caught.value.suggestions
    assert asked(legacy_server, "/openai/load/*") == 0


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
def test_wrong_arguments(legacy_server, legacy_models, arguments, match):
    """They are refused before anything is sent."""
    with pytest.raises(ConfigError, match=match):
        legacy_models.load("phi-4-mini", **arguments)
    assert legacy_server.requests == []


def test_a_device_without_a_variant(legacy_models):
    """The error says for which device none is listed, and for which there is one."""
    with pytest.raises(ModelNotFound, match=r"no such model for NPU .* listed for CPU: leave device= out"):
        legacy_models.load("qwen2.5-0.5b", device="NPU")


def test_the_name_is_trusted_while_the_catalog_fails(legacy_server, legacy_models, legacy):
    """A catalog that cannot be reached does not keep a model on the disk from being loaded."""
    legacy_server.on("GET", LIST, unavailable())

    assert legacy_models.load(CPU).id == CPU
    assert legacy.loaded == (CPU,)


@pytest.mark.parametrize("content", [b'[{"name": "a", "al', b"<html>", b"{}", b'[{"alias": "a"}]', b"[1]"])
def test_a_catalog_that_cannot_be_read(legacy_server, legacy_models, content):
    """A list that is no list is an error, asked for once."""
    legacy_server.on("GET", LIST, answer(200, content))

    with pytest.raises(InvalidReply):
        legacy_models.catalog()
    assert asked(legacy_server, LIST) == 1


def test_a_catalog_that_is_cut_in_the_middle(legacy_server, legacy_models):
    """Half a list is never taken for a list."""
    whole = json_answer([{"name": "a:1", "alias": "a"}])
    legacy_server.on("GET", LIST, whole[:1] + split(whole[1:], 10)[:1] + cut())

    with pytest.raises(TransportError):
        legacy_models.catalog()
