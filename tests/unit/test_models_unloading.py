"""Unloading: by any name, never under a request of this client, and who holds what stays."""

from __future__ import annotations

import threading

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    DeadlineExceeded,
    ModelInUse,
    ModelNotFound,
)
from foundry_rest.testing import FaultServer, json_answer

CPU = "Phi-4-mini-instruct-generic-cpu:5"


LIST = "/foundry/list"


def asked(server, path):
    """Return how often a path was asked for."""
    return len(server.asked(path))


def test_unload(legacy_server, legacy_models, legacy):
    """Loaded: dropped though its time is not over. Not loaded: nothing is asked. Unknown: an error."""
    legacy_models.load("phi-4-mini")
    legacy_models.unload("PHI-4-mini")
    assert legacy.loaded == ()
    legacy_models.unload("phi-4-mini")
    assert asked(legacy_server, "/openai/unload/*") == 1
    with pytest.raises(ModelNotFound):
        legacy_models.unload("phi-4-mimi")


def test_unload_that_waits_for_its_time(legacy_models, legacy):
    """``force=False`` leaves it to its time to live."""
    legacy_models.load("phi-4-mini")
    legacy_models.unload("phi-4-mini", force=False)
    assert legacy.loaded == (CPU,)


def test_unload_all(legacy_server, legacy_models, legacy):
    """One request drops all; without any in memory none is sent."""
    assert legacy_models.unload_all() == []
    legacy.loaded = [CPU]

    assert legacy_models.unload_all() == [CPU]
    assert (legacy.loaded, asked(legacy_server, "/openai/unloadall")) == ((), 1)


def test_nothing_is_unloaded_under_a_request(legacy_server, legacy_models):
    """The request ends first; one that does not end in time keeps the model."""
    with FoundryAPIClient(legacy_server.url, model="phi-4-mini") as client:
        stream = client.stream_complete("Hi")
        with pytest.raises(DeadlineExceeded, match="still run on the model"):
            client.models.unload("phi-4-mini", deadline=0.5)
        dropping = threading.Thread(target=client.models.unload_all, daemon=True)
        dropping.start()
        assert stream.gather().content
        dropping.join(10)

        assert not dropping.is_alive()
        assert client.models.loaded() == []


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
