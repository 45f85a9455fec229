"""`health.state()`: how a service is, without an error, and true where a call could be answered."""

from __future__ import annotations

import psutil
import pytest
from support.platforms import ports

from foundry_rest import ConfigError, FoundryAPIClient
from foundry_rest.endpoints import service_state
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_error, stall


def state(url, model=None, timeout=10, **options):
    """Return the state of the service at an address."""
    with FoundryAPIClient(url, model=DEMO_MODEL, **options) as client:
        return client.health.state(model, timeout=timeout)


@pytest.mark.parametrize("model", [None, DEMO_MODEL, DEMO_MODEL.partition(":")[0]])
def test_ready(server, model):
    """The model is in memory, whichever of its names is given."""
    found = state(server.url, model)
    assert found
    assert found.status == "ready"
    assert found.report.loaded_models == (DEMO_MODEL,)
    assert "in memory" in found.reason
    assert found.url == server.url


@pytest.mark.parametrize("model", [None, DEMO_MODEL])
def test_standby(model):
    """It answers, and the first call loads the model: a call could be answered."""
    with FaultServer(loaded=[]) as server:
        found = state(server.url, model)
        assert not server.asked("/models/load/*")
    assert found
    assert found.status == "standby"
    assert "load" in found.advice


def test_another_model_is_in_memory(server):
    """Then the one that was asked for is not."""
    assert state(server.url, "another").status == "standby"


def test_busy(server):
    """It answers, but not which models are in memory."""
    server.on("GET", "/models/loaded", stall())
    found = state(server.url, timeout=0.3)
    assert found
    assert found.status == "busy"


def test_offline():
    """Nothing listens there; what to do is told."""
    with dead_address() as url:
        found = state(url)
    assert not found
    assert found.status == "offline"
    assert "refused" in found.reason
    assert found.advice
    assert found.report is None


def test_nowhere():
    """No service was found."""
    found = FoundryAPIClient().health.state()
    assert (bool(found), found.status, found.url) == (False, "offline", "")
    assert "no Foundry Local service" in found.reason


@pytest.mark.parametrize("script", [json_error(500, "broken"), json_error(404, "no")])
def test_another_answer(script):
    """What answers otherwise cannot be used."""
    with FaultServer() as server:
        server.otherwise(script)
        found = state(server.url)
    assert (bool(found), found.status) == (False, "offline")


@ports
@pytest.mark.parametrize(("age", "status"), [(5, "starting"), (5000, "offline")])
def test_silence(server, monkeypatch, age, status):
    """A process that has just begun is starting; one that has run for long, and is silent, is no service."""
    server.otherwise(stall())
    monkeypatch.setattr(service_state.clock, "now", lambda: _began() + age)
    found = state(server.url, timeout=0.3)
    assert (bool(found), found.status) == (False, status)
    assert found.url == server.url


def _began():
    return psutil.Process().create_time()


def test_a_server_that_loads_by_itself(server):
    """It is ready as soon as it answers."""
    assert state(server.url, "any", dialect="openai").status == "ready"


def test_a_wrong_name(server):
    """It is refused, for it would never be in memory."""
    with pytest.raises(ConfigError):
        state(server.url, "no model")
