"""`openai_settings`: what another client needs, and no key for a stranger."""

from __future__ import annotations

import pytest
from support.discovery import register
from support.platforms import ports

from foundry_rest import FoundryAPIClient, ModelNotFound
from foundry_rest.services.discovery import port_holder
from foundry_rest.testing import DEMO_MODEL, FaultServer


def test_settings():
    """The model is in memory afterwards, and named by its exact id."""
    with FaultServer(loaded=[]) as server:
        with FoundryAPIClient(server.url, model="demo") as client:
            found = client.openai_settings()
        assert server.asked("/models/load/*")
    assert found["base_url"] == f"{server.url}/v1"
    assert found["api_key"] == "none"
    assert found["model"].startswith("demo-generic-cpu")


def test_a_loaded_model_is_not_loaded_again(server):
    """Nothing waits for what is there."""
    with FoundryAPIClient(server.url) as client:
        assert client.openai_settings(DEMO_MODEL)["model"] == DEMO_MODEL
    assert not server.asked("/models/load/*")


def test_a_server_that_loads_by_itself(server):
    """A name is all that it knows."""
    with FoundryAPIClient(server.url, dialect="openai", api_key="sk-own-key-123456") as client:
        found = client.openai_settings("any-name")
    assert found == {"base_url": f"{server.url}/v1", "api_key": "sk-own-key-123456", "model": "any-name"}


def test_a_model_that_is_not_there(server):
    """It is an error here, and not in the other client."""
    with FoundryAPIClient(server.url) as client, pytest.raises(ModelNotFound):
        client.openai_settings("no-such-model")


@pytest.mark.parametrize(
    ("is_known", "key"),
    [pytest.param(True, "sk-environment-123456", marks=ports), (False, "none")],
)
def test_the_key_of_the_environment(server, monkeypatch, is_known, key):
    """It is handed over for an address whose process is known to be this user's, as it would be sent."""
    monkeypatch.setenv("FOUNDRY_API_KEY", "sk-environment-123456")
    if not is_known:
        monkeypatch.setattr(port_holder, "pids_at", lambda url: set())
    register(server.url)
    with FoundryAPIClient(model=DEMO_MODEL) as client:
        assert client.openai_settings()["api_key"] == key
