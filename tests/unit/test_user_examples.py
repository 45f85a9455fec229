"""What a user writes first, in exactly this spelling, against a played service."""

from __future__ import annotations

import pytest
from support.logs import lines_by_level
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, ServiceTimeout, TooManyRequests
from foundry_rest.testing import FaultServer, stall, too_many


@pytest.fixture
def server(monkeypatch):
    """Serve phi-4-mini where FOUNDRY_ENDPOINT says."""
    with FaultServer(models={"phi-4-mini": "Phi-4-mini-instruct-generic-cpu:5"}) as running:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", running.url)
        yield running


def test_complete(server):
    """A prompt by name, a model and a limit give the whole answer."""
    client = FoundryAPIClient()
    response = client.complete(prompt="Explain quantum computing", model="phi-4-mini", max_tokens=500)

    assert response.content == "Hello there"
    asked = server.asked(CHAT)[-1].json()
    assert asked["messages"] == [{"role": "user", "content": "Explain quantum computing"}]
    assert (asked["model"], asked["max_tokens"]) == ("Phi-4-mini-instruct-generic-cpu:5", 500)


def test_stream_complete(server):
    """A prompt by name and a model give the answer in chunks."""
    client = FoundryAPIClient()
    pieces = []
    for chunk in client.stream_complete(prompt="Write a story about AI", model="phi-4-mini"):
        pieces.append(chunk.content)  # noqa: PERF401 (as the user spells it)

    assert "".join(pieces) == "Hello there"


def test_health_check(server):
    """Health tells the status, the models in memory, and how much memory the service takes."""
    client = FoundryAPIClient()
    health = client.health_check()

    assert health.status == "ok"
    assert health.loaded_models == ("Phi-4-mini-instruct-generic-cpu:5",)
    assert health.memory_usage > 0


def test_foundry_model(server, monkeypatch):
    """FOUNDRY_MODEL names the model of calls that name none."""
    monkeypatch.setenv("FOUNDRY_MODEL", "Phi-4-mini-instruct-generic-cpu:5")
    client = FoundryAPIClient()
    client.complete(prompt="Hello")

    assert server.asked(CHAT)[-1].json()["model"] == "Phi-4-mini-instruct-generic-cpu:5"


def test_foundry_timeout(server, monkeypatch):
    """FOUNDRY_TIMEOUT bounds the silence."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "0.03")
    monkeypatch.setenv("FOUNDRY_RETRIES", "0")
    server.on("POST", CHAT, stall())
    client = FoundryAPIClient()

    with pytest.raises(ServiceTimeout):
        client.complete(prompt="Hello", model="phi-4-mini")


@pytest.mark.parametrize(("retries", "requests"), [("0", 1), ("2", 3)])
def test_foundry_retries(server, monkeypatch, retries, requests):
    """FOUNDRY_RETRIES bounds the tries after the first."""
    monkeypatch.setenv("FOUNDRY_RETRIES", retries)
    server.on("POST", CHAT, too_many(0))
    client = FoundryAPIClient()

    with pytest.raises(TooManyRequests):
        client.complete(prompt="Hello", model="phi-4-mini")
    assert len(server.asked(CHAT)) == requests


def test_foundry_log_level(server, monkeypatch, caplog):
    """FOUNDRY_LOG_LEVEL is the level of `configure_logging()`: a call is told at DEBUG, not at WARNING."""
    client = FoundryAPIClient()

    def ask():
        client.complete(prompt="Hello", model="phi-4-mini")

    assert lines_by_level(ask, "chat.complete ok", monkeypatch, caplog) == {"DEBUG": 1, "WARNING": 0}
