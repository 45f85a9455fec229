"""Health: about now, never retried, and never about another process."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import pytest

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidReply,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.schema import ServiceStatus
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    answer,
    dead_address,
    html_page,
    json_answer,
    json_error,
    model_list,
    stall,
    unavailable,
    unmapped,
)


def health_of(url: str, **options):
    """Return the health endpoint of a new client, which patiently retries everything else."""
    return FoundryAPIClient(url, retries=5, **options).health


def test_ok(server):
    """What is loaded, which generation, which process, how much memory, how quick."""
    report = FoundryAPIClient(server.url).health_check()

    assert (report.status, report.url, report.generation) == ("ok", server.url, "2.x")
    assert (report.loaded_models, report.pid) == (("demo-generic-cpu:1",), os.getpid())
    assert report.memory_usage > 10_000_000
    assert 0 < report.latency < 1
    assert report.raw["endpoints"] == [server.url]
    assert report.headers["server"] == "oatpp/1.3.0"


def test_busy(server):
    """The list of loaded models waits while a model is loaded: the service lives, but is busy."""
    server.on("GET", "/models/loaded", stall())
    for deadline in (None, 0.5):
        report = health_of(server.url, deadline=deadline, dialect="2.x").check(timeout=0.25)

        assert (report.status, report.loaded_models) == ("busy", ())


def test_dead():
    """A service that is not there raises at once: health is never retried."""
    with dead_address() as url:
        health = health_of(url)
        with pytest.raises(ServiceUnreachable, match="connection refused"):
            health.check()
        assert health.is_alive() is False


@pytest.mark.parametrize(
    ("script", "cls"),
    [
        (html_page(), InvalidReply),
        (json_answer({"status": "ok"}), InvalidReply),
        (unmapped("GET", "/status"), InvalidReply),
        (unavailable(), ServerError),
        (json_error(500, "x"), ServerError),
        (answer(200, b""), InvalidReply),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_another_server(server, script, cls, known):
    """What is no Foundry Local service is not healthy, also when one was there before."""
    health = health_of(server.url)
    if known:
        assert health.is_alive()
    server.otherwise(script)

    assert health.is_alive() is False
    with pytest.raises((cls, InvalidReply) if not known else Exception, match=r"health\.check|detect"):
        health.check()


def test_silence(server):
    """The timeout bounds each request, recognising the service included; a deadline does so, too."""
    server.otherwise(stall())
    health = health_of(server.url)
    with pytest.raises(ServiceTimeout):
        health.check(timeout=0.03)

    assert health.is_alive(timeout=0.03) is False
    assert health_of(server.url, deadline=0.03).is_alive() is False


def test_one_request_each(server):
    """A probe sends what it must: status, and what is loaded."""
    health = health_of(server.url)
    health.check()
    health.check()
    health.is_alive()

    assert [request.path for request in server.requests] == [
        *("/status", "/status", "/models/loaded"),  # the first one recognises the service
        *("/status", "/models/loaded"),
        "/status",
    ]


def test_a_stranger(server):
    """An OpenAI-like server is healthy when it lists models; nothing else is known of it."""
    server.otherwise(model_list(["a"]))
    report = health_of(server.url, dialect="openai").check()

    assert (report.status, report.generation, report.pid, report.memory_usage) == ("ok", "openai", None, None)


def other_process():
    """Return a process that listens nowhere."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_memory_of_a_process_that_does_not_hold_the_port():
    """A forwarded port looks like this machine; the process of that number here is another one."""
    with other_process() as process, FaultServer(pid=process.pid) as server:
        report = health_of(server.url).check()
        process.stdin.close()

    assert (report.pid, report.memory_usage) == (process.pid, None)


@pytest.mark.parametrize("pid", [-1, 2**22 + 1, 10**12, 10**30])
def test_memory_of_no_process(pid):
    """A number that is no process's is no error."""
    with FaultServer(pid=pid) as server:
        assert health_of(server.url).check().memory_usage is None


def core_status(cache_path: object):
    """Answer as a 1.x service does, which does not tell its process."""
    return json_answer({"endpoints": [], "modelDirPath": str(cache_path)})


def test_memory_of_a_service_that_does_not_tell_its_process(server, tmp_path):
    """Where 1.x and 0.x keep their models on this machine, the process that holds the port is theirs."""
    server.on("GET", "/status", core_status(tmp_path))
    report = health_of(server.url).check()

    assert (report.generation, report.pid) == ("1.x", None)
    assert report.memory_usage > 10_000_000


@pytest.mark.parametrize("folder", ["", "/no/such/folder", "x" * 5000])
def test_memory_of_a_forwarded_service(server, folder):
    """A model directory that is not here belongs to another machine, whose port is forwarded to this one."""
    server.on("GET", "/status", core_status(folder))

    assert health_of(server.url, dialect="1.x").check().memory_usage is None


def test_memory_when_no_process_is_seen_at_the_port(server, tmp_path, monkeypatch):
    """The listener of another user shows no process: the figure is missing."""
    server.on("GET", "/status", core_status(tmp_path))
    for seen in ([], [_held(pid=None, port=urlsplit(server.url).port)], [_held(pid=os.getpid(), port=1)]):
        monkeypatch.setattr(psutil, "net_connections", lambda kind, seen=seen: seen)

        assert health_of(server.url).check().memory_usage is None


def _held(pid: int | None, port: int):
    return SimpleNamespace(
        pid=pid, laddr=SimpleNamespace(ip="127.0.0.1", port=port), status=psutil.CONN_LISTEN
    )


def test_memory_while_the_table_of_connections_changes(server, monkeypatch):
    """On Windows psutil then raises an error of no class of its own: the report has all but this figure."""

    def fail(process, kind):
        raise RuntimeError("GetExtendedTcpTable failed")

    monkeypatch.setattr(psutil.Process, "net_connections", fail)
    report = health_of(server.url).check()

    assert (report.status, report.memory_usage) == ("ok", None)


def test_memory_elsewhere(tmp_path):
    """On another machine nothing is known, and no process here is looked at."""
    from foundry_rest.endpoints.health import _resident_memory

    assert _resident_memory(ServiceStatus(pid=os.getpid()), "http://192.0.2.1:80") is None
    assert _resident_memory(ServiceStatus(cache_path=str(tmp_path)), "http://192.0.2.1:80") is None
    assert _resident_memory(ServiceStatus(), "http://127.0.0.1:80") is None


@pytest.mark.parametrize("error", [psutil.AccessDenied, PermissionError])
@pytest.mark.parametrize("tells_pid", [True, False])
def test_memory_that_may_not_be_seen(server, tmp_path, monkeypatch, error, tells_pid):
    """Without permission to look, the figure is missing."""

    def refuse(*_arguments):
        raise error

    monkeypatch.setattr(psutil.Process, "net_connections", refuse)
    monkeypatch.setattr(psutil, "net_connections", refuse)
    if not tells_pid:
        server.on("GET", "/status", core_status(tmp_path))

    assert health_of(server.url).check().memory_usage is None


def test_waiting_for_a_service_that_starts_later(server, monkeypatch):
    """Each failure is followed by a short pause; the first good report is returned."""
    server.stop()
    slept: list[float] = []

    def wait(event, seconds):
        slept.append(seconds)
        if len(slept) == 2:
            server.start()
        return event.is_set()

    monkeypatch.setattr(clock, "wait", wait)
    report = health_of(server.url).wait_until_ready(5)

    assert (report.status, slept) == ("ok", [0.1, 0.1])


def test_waiting_for_what_answers_wrongly_at_first(server, monkeypatch):
    """A server that is up but not ready yet is waited for, too."""
    server.on("GET", "/status", unavailable(), html_page(), server.healthy)
    server.on("GET", "/v1/models", unavailable(), html_page(), server.healthy)
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)

    assert health_of(server.url).wait_until_ready().status == "ok"


def test_waiting_in_vain(monkeypatch):
    """The error says how long, and why it was not ready; its cause is the last failure."""
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    with dead_address() as url, pytest.raises(DeadlineExceeded) as caught:
        health_of(url).wait_until_ready(0.11)

    assert str(caught.value) == (
        "the service was not ready within 0.11 s: connection refused: nothing listens there "
        f"(health.wait_until_ready at {url}). {ServiceUnreachable.advice}"
    )
    assert isinstance(caught.value.__cause__, ServiceUnreachable)


def test_the_reason_outlives_the_deadline(server):
    """An attempt for which no time was left does not hide why the service was not ready."""
    server.on("GET", "/status", unavailable(), stall())
    server.on("GET", "/v1/models", unavailable())
    with pytest.raises(DeadlineExceeded) as caught:
        health_of(server.url, dialect="2.x").wait_until_ready(0.25)

    assert not isinstance(caught.value.__cause__, DeadlineExceeded)


def test_waiting_for_silence(server):
    """A service that never answers does not hold longer than was asked for."""
    server.otherwise(stall())
    started = clock.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"not ready within 0\.05 s"):
        health_of(server.url).wait_until_ready(0.05)

    assert clock.monotonic() - started < 0.3


@pytest.mark.parametrize("method", ["check", "is_alive", "wait_until_ready"])
@pytest.mark.parametrize("timeout", [0, -1, float("inf"), "5"])
def test_a_bad_timeout(server, method, timeout):
    """A bound that is none is the caller's mistake, not the service's state."""
    with pytest.raises(ConfigError, match="timeout must be a number of seconds"):
        getattr(health_of(server.url), method)(timeout=timeout)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_stranger_without_a_list_of_models(server, status):
    """It answers, so it is alive, and chats; a refusal for another reason stays one."""
    server.on("GET", "/v1/models", json_error(status, "no such route"))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="openai", retries=0) as client:
        assert client.health_check().status == "ok"
        assert client.health.is_alive()
        assert client.complete("Hi").content == "Hello there"
        server.on("GET", "/v1/models", json_error(403, "no key"))
        assert not client.health.is_alive()
    with FoundryAPIClient(server.url, dialect="2.x", retries=0) as client:
        server.on("GET", "/status", json_error(status, "no such route"))
        assert not client.health.is_alive()
