"""Pings: who hears that a job began and how it ended, and what a monitor that is not there costs."""

from __future__ import annotations

import time
import uuid
from urllib.parse import parse_qs

import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.ops.ping import Ping
from foundry_rest.testing import FaultServer, dead_address, json_answer, json_error, stall


@pytest.fixture
def monitor():
    """Hear every ping."""
    with FaultServer() as server:
        server.otherwise(json_answer({}))
        yield server


def heard(server) -> list[tuple[str, str]]:
    """Return path and query of each ping."""
    return [(request.path, request.query) for request in server.requests]


def test_one_run(monitor):
    """The beginning and the end of a run have one id of their own; the end tells the exit code."""
    ping = Ping(f"{monitor.url}/a-key/")
    assert ping.start() is True
    assert ping.end(3) is True
    (first, query), (last, same) = heard(monitor)
    assert (first, last) == ("/a-key/start", "/a-key/3")
    assert query == same
    assert str(uuid.UUID(parse_qs(query)["rid"][0])) == parse_qs(query)["rid"][0]


def test_a_query_of_the_urls_own(monitor):
    """What the monitor's URL asks for stays."""
    Ping(f"{monitor.url}/k?create=1").start()
    ((path, query),) = heard(monitor)
    assert path == "/k/start"
    assert parse_qs(query)["create"] == ["1"]


@pytest.mark.parametrize("script", [stall(), json_error(500, "no"), json_error(404, "no")])
def test_a_monitor_that_fails(monitor, script):
    """A ping that is not heard says so, in its time, and raises nothing."""
    monitor.otherwise(script)
    began = time.monotonic()
    assert Ping(monitor.url, timeout=0.1).start() is False
    assert time.monotonic() - began < 2


def test_no_monitor():
    """Neither does one that nobody hears."""
    with dead_address() as url:
        assert Ping(url).end(0) is False


def test_no_proxy_for_this_machine(monitor, monkeypatch):
    """A monitor on this machine is asked itself, whatever the environment says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert Ping(monitor.url).start() is True


@pytest.mark.parametrize("url", ["", "hc-ping.com/key", "ftp://h/k", "file:///etc/passwd", "http://", 5])
def test_a_url_that_is_none(url):
    """It is refused before anything is done, and never quoted, for its path is a key."""
    with pytest.raises(ConfigError) as caught:
        Ping(url)
    assert "key" not in str(caught.value)
