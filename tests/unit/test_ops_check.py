"""The check of a service: the right verdict for each state that a service may be in."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from support import predicaments
from support.platforms import ports, posix
from support.predicaments import EACH, service_process
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError
from foundry_rest.ops.check import CheckSettings, check
from foundry_rest.ops.plugin_format import Range, State
from foundry_rest.testing import DEMO_MODEL, FaultServer, cut, json_error, stall


def verdict(url=None, timeout=10.0, **settings):
    """Return the verdict on the service at an address."""
    options = {"retries": 0, "breaker": None, "auto_load": False}
    with FoundryAPIClient(url, **options) as client:
        return check(client, CheckSettings(timeout=timeout, **settings))


def figures(found):
    """Return the figures of a verdict by their names."""
    return {measure.label: measure.value for measure in found.measures}


def test_a_healthy_service(server):
    """It is told what answers, and how many models it has in memory."""
    found = verdict(server.url)
    assert found.state is State.OK
    assert re.fullmatch(rf"2\.x at {server.url}, 1 model loaded", found.text)
    assert figures(found)["models"] == 1
    assert 0 < figures(found)["latency"] < 10


@ports
def test_memory(server):
    """It is that of the process that listens there."""
    assert verdict(server.url).report.memory_usage > 1_000_000
    assert figures(verdict(server.url))["memory"] > 1


def test_a_token(server):
    """The model is asked for one token, which takes its time; nothing more is asked of it."""
    found = verdict(server.url, model=DEMO_MODEL, answer=True)
    assert found.state is State.OK
    assert "is loaded" not in found.text
    assert f"{DEMO_MODEL} answers in" in found.text
    assert figures(found)["answer"] > 0
    assert [request.json()["max_tokens"] for request in server.asked(CHAT)] == [1]


@pytest.mark.parametrize(("kind", "state"), [("warning", State.WARNING), ("critical", State.CRITICAL)])
@pytest.mark.parametrize("name", ["latency", pytest.param("memory", marks=ports), "answer"])
def test_a_figure_out_of_its_range(server, name, kind, state):
    """What is out of its range is named first, with the range."""
    found = verdict(server.url, model=DEMO_MODEL, answer=True, **{kind: {name: Range.parse("@0:1000000")}})
    assert found.state is state
    assert found.text.startswith(f"{name} is ")
    assert "(@0:1000000)" in found.text


@pytest.mark.parametrize("each", EACH)
def test_every_predicament(each, monkeypatch):
    """The state and its reason are told, whatever the service is in."""
    with predicaments.in_predicament(each, monkeypatch) as url:
        found = verdict(url, timeout=each.patience, model=each.model)
    assert found.state is each.state
    assert each.said in found.text


def test_a_model_that_is_not_loaded():
    """It can be used, but the first call waits for its load."""
    with FaultServer(loaded=[]) as server:
        found = verdict(server.url, model=DEMO_MODEL, answer=True)
        assert found.state is State.WARNING
        assert "not loaded" in found.text
        assert f"foundry-rest load {DEMO_MODEL}" in found.text
        assert not server.asked(CHAT)
        assert not server.asked("/models/load/*")


def test_a_model_that_nobody_knows(server):
    """Every call for it would fail."""
    found = verdict(server.url, model="nope")
    assert found.state is State.CRITICAL
    assert "'nope'" in found.text
    assert figures(found)["models"] == 1


@pytest.mark.parametrize("script", [json_error(500, "broken"), stall(), cut()])
def test_a_model_that_does_not_answer(server, script):
    """The service is there, and yet nothing can be had of it."""
    server.on("POST", CHAT, script)
    found = verdict(server.url, model=DEMO_MODEL, answer=True, timeout=0.4)
    assert found.state is State.CRITICAL
    assert server.url in found.text


def test_a_busy_service(server):
    """It answers, but sends no list of its models in time, as while one is loaded."""
    server.on("GET", "/models/loaded", stall())
    found = verdict(server.url, timeout=0.4)
    assert found.state is State.WARNING
    assert "busy" in found.text
    assert figures(found)["models"] is None


def test_no_service():
    """Nobody listens at the address."""
    with predicaments.no_service(None) as url:
        found = verdict(url)
    assert found.state is State.CRITICAL
    assert "connection refused" in found.text
    assert url in found.text
    assert found.measures == ()


def test_a_wrong_port():
    """Something else listens there, which answers in its own language."""
    with predicaments.wrong_port(None) as url:
        found = verdict(url)
    assert found.state is State.CRITICAL
    assert "no Foundry Local service" in found.text


def test_a_captive_portal():
    """Every question is answered by a page."""
    with predicaments.captive_portal(None) as url:
        found = verdict(url)
    assert found.state is State.CRITICAL
    assert url in found.text


@pytest.mark.parametrize(
    "scene", [predicaments.https_on_silence, predicaments.https_on_http], ids=["deaf", "plain http"]
)
def test_https_on_http(scene):
    """A service that speaks plain http cannot be asked by https."""
    with scene(None) as url:
        found = verdict(url, timeout=0.4)
    assert found.state is State.CRITICAL
    assert "https://" in found.text


def test_a_status_that_dribbles():
    """A byte now and then is no answer: the time given is for the whole check."""
    with predicaments.dribbling(None) as url:
        began = time.monotonic()
        found = verdict(url, timeout=0.4)
        assert time.monotonic() - began < 2
    assert found.state is State.CRITICAL


def test_a_proxy_in_the_way(monkeypatch):
    """A service on this machine is asked itself, whatever the environment says."""
    with predicaments.proxy_in_the_way(monkeypatch) as url:
        assert verdict(url).state is State.OK


def test_a_stale_registry():
    """A file that names a process that has ended is no service."""
    with predicaments.stale_registry(None):
        found = verdict()
    assert found.state is State.CRITICAL
    assert "no Foundry Local service was found" in found.text


def test_another_users_service(monkeypatch):
    """One that was found, and whose port another user's process holds, is not used; the place is named."""
    with predicaments.another_users(monkeypatch):
        found = verdict()
    assert found.state is State.CRITICAL
    assert "another user" in found.text


@posix
def test_a_stopped_service():
    """A process that is stopped accepts connections and says nothing."""
    with service_process() as (url, pid):
        assert verdict(url).state is State.OK
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        found = verdict(url, timeout=0.4)
        assert time.monotonic() - began < 2
    assert found.state is State.CRITICAL
    assert "silent" in found.text


def test_wrong_settings():
    """A range of something that is not measured would never alert."""
    for settings in ({"warning": {"speed": Range.parse("1")}}, {"critical": {"answer": Range.parse("1")}}):
        with pytest.raises(ConfigError):
            CheckSettings(**settings)
    with pytest.raises(ConfigError):
        CheckSettings(timeout=0)


def test_the_line_is_one(server):
    """Whatever the service says, a monitor gets one line."""
    server.otherwise(json_error(500, "line one\nline two | 'x'=5"))
    text = str(verdict(server.url))
    assert "\n" not in text
    assert text.count("|") <= 1


def test_nothing_is_loaded_by_the_default_model(server):
    """Without a name no model is asked for."""
    verdict(server.url)
    assert {request.path for request in server.requests} <= {"/status", "/models/loaded", "/v1/models"}
