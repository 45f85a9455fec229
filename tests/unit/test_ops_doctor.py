"""The doctor: the right findings for each state of a service, within its time, whatever goes wrong."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
from support import predicaments
from support.discovery import register
from support.predicaments import EACH, NOBODY

from foundry_rest.errors import ConfigError
from foundry_rest.ops.doctor import Diagnosis, DoctorSettings, diagnose
from foundry_rest.ops.doctor.diagnosis import CHECKS, Check, made
from foundry_rest.ops.doctor.findings import SEVERITIES, Finding, error, note, ok, warning
from foundry_rest.services.discovery.survey import SOURCES
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, stall


def examined(url=None, **settings):
    """Return the diagnosis, and the worst severity by the id of the check."""
    diagnosis = diagnose(DoctorSettings(url=url, **{"timeout": 20.0, **settings}))
    worst = {}
    for each in diagnosis.findings:
        worst[each.id] = max(worst.get(each.id, "ok"), each.severity, key=SEVERITIES.index)
    return diagnosis, worst


@pytest.mark.parametrize("each", EACH)
def test_every_predicament(each, monkeypatch):
    """What is wrong is found, with what to do about it; and nothing else is called an error."""
    with predicaments.in_predicament(each, monkeypatch) as url:
        began = time.monotonic()
        diagnosis, worst = examined(url, model=each.model, timeout=each.patience)
        assert time.monotonic() - began < each.patience + 1
    assert {id: worst.get(id) for id in each.severities} == each.severities
    assert (diagnosis.severity == "error") is (each.code == 1)
    assert {id for id, severity in worst.items() if severity == "error"} <= set(each.severities)
    assert each.advice in " ".join(finding.advice for finding in diagnosis.findings)


def test_a_service_that_is_found():
    """The place that names it is told, and it is asked for its health."""
    with FaultServer() as server:
        register(server.url)
        diagnosis, worst = examined(model=DEMO_MODEL)
    assert worst["service.registry"] == worst["service.health"] == worst["models.name"] == "ok"
    assert f"2.x answers at {server.url}" in " ".join(each.text for each in diagnosis.findings)


def test_a_way_out():
    """Where a wrong address is named and a service is found elsewhere, that one is told."""
    with dead_address() as wrong, FaultServer() as server:
        register(server.url)
        diagnosis, _ = examined(wrong)
    (health,) = [each for each in diagnosis.findings if each.id == "service.health"]
    assert health.severity == "error"
    assert f"A service answers at {server.url}" in health.advice


def test_a_key_goes_to_no_stranger(monkeypatch):
    """One that was found, and whose owner is hidden, gets none of the environment; a named one does."""
    monkeypatch.setenv("FOUNDRY_API_KEY", "key-of-this-user")
    monkeypatch.setattr("foundry_rest.services.discovery.port_holder.pids_at", lambda url: set())
    with FaultServer() as server:
        register(server.url)
        assert examined()[1]["service.health"] == "ok"
        assert not any(request.headers.get("Authorization") for request in server.requests)
        examined(server.url)
        assert any(request.headers.get("Authorization") for request in server.requests)


def test_offline():
    """Nobody is asked, and the files are read all the same."""
    with FaultServer() as server:
        register(server.url, pid=NOBODY)
        _, worst = examined(server.url, offline=True)
        assert not server.requests
    assert worst["service.registry"] == "warning"
    assert set(worst) <= {check.id for check in CHECKS if not check.asks}


def test_wrong_variables(monkeypatch):
    """A value that cannot be used is a finding, and the others hold."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "soon")
    with FaultServer() as server:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
        _, worst = examined()
    assert (worst["settings.variables"], worst["service.health"]) == ("error", "ok")


def test_nothing_is_loaded_or_tried_again(monkeypatch):
    """The present state is told, and the service is left as it is."""
    monkeypatch.setenv("FOUNDRY_RETRIES", "3")
    with FaultServer(loaded=[]) as server:
        examined(server.url, model=DEMO_MODEL)
        assert {request.method for request in server.requests} == {"GET"}
        assert not server.asked("/models/load/*")
        server.on("GET", "/status", stall())
        before = len(server.requests)
        examined(server.url, timeout=0.8)
        assert len(server.requests) - before <= 2


def made_by(make, seconds=0.2, **more):
    """Return what a check finds in so many seconds."""
    until = time.monotonic() + seconds
    evidence = SimpleNamespace(
        settings=DoctorSettings(timeout=seconds), left=lambda: max(0.0, until - time.monotonic())
    )
    return list(made([Check("a.b", "A", make, **more), Check("a.c", "A", lambda _: [ok("well")])], evidence))


def test_a_check_that_fails():
    """Whatever it raises is a finding, and the next check's findings are told."""
    first, second = made_by(lambda _: 1 / 0)
    assert (first.id, first.group, first.severity) == ("a.b", "A", "warning")
    assert "could not be made: ZeroDivisionError: division by zero" in first.text
    assert second == Finding(id="a.c", group="A", text="well")


def test_a_check_that_hangs():
    """It is waited for until the time is over, and no longer."""
    over = threading.Event()
    began = time.monotonic()
    first, second = made_by(lambda _: [ok(str(over.wait(5)))])
    over.set()
    assert time.monotonic() - began < 1
    assert "no result within 0.2 s" in first.text
    assert second.text == "well"


def test_a_check_that_matters():
    """That nobody knows how the service is, is an error."""
    assert made_by(lambda _: 1 / 0, unmade="error")[0].severity == "error"
    assert {check.id: check.unmade for check in CHECKS}["service.health"] == "error"


def test_a_place_that_is_late(monkeypatch):
    """What a place names may come too late; that the service is away is told all the same."""
    over = threading.Event()

    def slow(foundry):
        over.wait(5)
        return []

    monkeypatch.setitem(SOURCES, "registry", slow)
    with dead_address() as url:
        diagnosis, worst = examined(url, timeout=0.5)
    over.set()
    assert (worst["service.health"], worst["service.registry"]) == ("error", "note")
    assert "connection refused" in " ".join(each.text for each in diagnosis.findings)


def test_severities():
    """The worst counts; nothing at all is well."""
    assert Diagnosis(version="1").severity == "ok"
    findings = (note("a"), warning("b"), note("c"))
    assert Diagnosis(version="1", findings=findings).severity == "warning"
    assert Diagnosis(version="1", findings=(*findings, error("d"))).severity == "error"
    assert Diagnosis(version="1", findings=findings).count("note") == 2


def test_ids():
    """Each check has a name of its own, which begins with its group's."""
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(check.id.split(".")[0] == check.group.lower() for check in CHECKS)


def test_wrong_settings():
    """What cannot be looked at is refused before anything is."""
    for wrong in ({"url": "x"}, {"model": "a b"}, {"timeout": 0}, {"offline": 1}):
        with pytest.raises(ConfigError):
            DoctorSettings(**wrong)


def test_nothing_private(monkeypatch, tmp_path):
    """Keys, the home directory, and a proxy's host and password are in no finding."""
    monkeypatch.setenv("FOUNDRY_API_KEY", "key-of-this-user")
    monkeypatch.setenv("FOUNDRY_ENPOINT", "key-of-this-user")
    monkeypatch.setenv("http_proxy", "http://me:password@proxy.example.com:3128")
    with dead_address() as url:
        register(url)
        monkeypatch.setenv("FOUNDRY_ENDPOINT", url)
        text = examined()[0].to_json()
    import pathlib

    for private in ("key-of-this-user", "password", "proxy.example.com", str(pathlib.Path.home())):
        assert private not in text
    assert "***:3128" in text
    assert "FOUNDRY_API_KEY=***" in text
