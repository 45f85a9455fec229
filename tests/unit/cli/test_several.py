"""The command with several services, and a random wait before it begins."""

from __future__ import annotations

import json

import pytest
from support.servers import CHAT

from foundry_rest import clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, unavailable


@pytest.fixture
def other(server, monkeypatch):
    """Serve the model a second time; the environment names both."""
    with FaultServer(reply="from the other") as started:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", f"{server.url},{started.url}")
        yield started


def test_chat(run, server, other, monkeypatch):
    """Another service answers where the first one does not."""
    monkeypatch.setenv("FOUNDRY_RETRIES", "1")
    server.on("POST", CHAT, unavailable())
    assert {run("chat", "Hi")[:2] for _ in range(4)} == {(0, "from the other\n")}


def test_check(run, server, other):
    """A service that is gone is a warning as long as another answers; with none it is critical."""
    assert run("check", "--model", DEMO_MODEL)[0] == 0
    server.stop()
    code, stdout, _ = run("check", "--model", DEMO_MODEL, "--answer")
    assert code == 1
    assert f"1 of 2 services do not answer: {server.url}" in stdout
    assert f"{DEMO_MODEL} answers in" in stdout
    code, stdout, _ = run("check", "--model", "no-such-model")
    assert (code, "no-such-model is loaded by no service" in stdout) == (1, True)
    other.stop()
    code, stdout, _ = run("check")
    assert (code, other.url in stdout) == (2, True)


def test_health(run, server, other):
    """Each service has a line, also one that does not answer."""
    server.stop()
    code, stdout, _ = run("health")
    assert (code, f"{other.url}: ok, 2.x\n" in stdout) == (0, True)
    assert f"{server.url}: does not answer\n" in stdout
    assert json.loads(run("health", "--json")[1])["unreachable"] == [server.url]


def test_doctor(run, server, other):
    """Each service has a report of its own; the worst of them is the exit code."""
    assert run("doctor", "--model", DEMO_MODEL, "--timeout", "20")[0] == 0
    server.stop()
    code, stdout, _ = run("doctor", "--model", DEMO_MODEL, "--timeout", "20")
    assert code == 1
    assert f"Service 1 of 2: {server.url}" in stdout
    assert f"Service 2 of 2: {other.url}" in stdout
    code, stdout, _ = run("doctor", "--model", DEMO_MODEL, "--timeout", "20", "--json")
    first, _ = json.loads(stdout)["services"]
    assert first["severity"] == "error"


def test_a_bad_list(run, monkeypatch):
    """What is wrong with one of the addresses is told with the variable's name, by the doctor, too."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", "http://127.0.0.1:1,nowhere")
    assert "FOUNDRY_ENDPOINT" in run("chat", "Hi")[2]
    code, stdout, _ = run("doctor", "--offline")
    assert (code, "FOUNDRY_ENDPOINT" in stdout) == (1, True)


@pytest.mark.parametrize("command", [("chat", "Hi"), ("check",), ("batch", "-", "-o", "out.jsonl")])
def test_splay(run, server, monkeypatch, tmp_path, command):
    """The command begins after a random wait of at most so many seconds."""
    monkeypatch.chdir(tmp_path)
    slept = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    assert run(*command, "--splay", "300", stdin=b"Hi\n")[0] == 0
    assert 0 <= slept[0] <= 300
    assert run(*command, "--splay", "300", stdin=b"Hi\n")[0] == 0
    assert len(set(slept[:2])) == 2


def test_a_wrong_splay(run, server):
    """It is told before anything is asked."""
    assert "--splay must be seconds" in run("chat", "Hi", "--splay", "-1")[2]
    assert server.requests == []


def test_nobody_is_there(run, monkeypatch):
    """With all of them gone the error says so."""
    with dead_address() as one, dead_address() as two:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", f"{one},{two}")
        code, _, stderr = run("chat", "Hi", "--retries", "1")
    assert code == 3
    assert one in stderr or two in stderr
