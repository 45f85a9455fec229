"""`check`: one line and an exit code for what watches the service; and `--ping`, around any job."""

from __future__ import annotations

import pytest
from support.servers import CHAT

from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_answer, json_error


@pytest.fixture
def monitor():
    """Hear every ping."""
    with FaultServer() as heard:
        heard.otherwise(json_answer({}))
        yield heard


def pings(monitor):
    """Return the path of each ping."""
    return [request.path for request in monitor.requests]


def test_a_healthy_service(run, server):
    """One line on stdout, nothing on stderr, code 0."""
    code, stdout, stderr = run("check", "-w", "5", "--model", DEMO_MODEL, "--answer", "-c", "answer=5")
    assert (code, stderr) == (0, "")
    assert stdout.count("\n") == 1
    assert stdout.startswith("FOUNDRY OK: 2.x at ")
    assert " | 'latency'=" in stdout
    assert "'answer'=" in stdout


@pytest.mark.parametrize(
    ("arguments", "code"), [(["-w", "@0:"], 1), (["-c", "@0:"], 2), (["--model", "nope"], 2)]
)
def test_verdicts(run, server, arguments, code):
    """The exit code is that of the state, and the line names it."""
    found, stdout, _ = run("check", *arguments)
    assert found == code
    assert stdout.startswith(f"FOUNDRY {['OK', 'WARNING', 'CRITICAL'][code]}: ")


def test_no_service(run):
    """A service that is not there is critical, not unknown."""
    with dead_address() as url:
        code, stdout, _ = run("check", "--url", url)
    assert code == 2
    assert stdout.startswith("FOUNDRY CRITICAL: connection refused")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["-w"],
        ["-w", "x"],
        ["-w", "speed=1"],
        ["-c", "answer=1"],
        ["-t", "0"],
        ["-t", "x"],
        ["--url", "nonsense"],
        ["--metrics-textfile", "x.txt"],
        ["--ping", "nonsense"],
    ],
)
def test_wrong_arguments(run, server, arguments):
    """They are unknown, code 3, and a line on stdout says so, for that is what a monitor shows."""
    code, stdout, _ = run("check", *arguments)
    assert code == 3
    assert stdout.startswith("FOUNDRY UNKNOWN: ")
    assert stdout.count("\n") == 1


def test_help(run):
    """Its own exit codes are listed."""
    code, stdout, _ = run("check", "--help")
    assert code == 0
    assert "  2    critical" in stdout


def test_nothing_is_tried_again(run, server, monkeypatch):
    """The present state is asked for."""
    monkeypatch.setenv("FOUNDRY_RETRIES", "3")
    server.on("POST", CHAT, json_error(500, "no"))
    assert run("check", "--model", DEMO_MODEL, "--answer")[0] == 2
    assert len(server.asked(CHAT)) == 1


def test_textfile(run, server, tmp_path):
    """The textfile has the state as the exit code."""
    path = tmp_path / "check.prom"
    assert run("check", "-w", "@0:", "--metrics-textfile", str(path))[0] == 1
    assert 'foundry_rest_job_exit_code{job="check"} 1' in path.read_text("utf-8")


def test_pings(run, server, monitor):
    """The monitor hears the beginning and the exit code."""
    assert run("check", "-c", "@0:", "--ping", f"{monitor.url}/key")[0] == 2
    assert pings(monitor) == ["/key/start", "/key/2"]


def test_pings_of_a_batch(run, server, monitor, tmp_path):
    """A batch pings, too; a dry run does not, for it does no work."""
    source = tmp_path / "in.txt"
    source.write_text("one\n", encoding="utf-8")
    arguments = ["batch", str(source), "-o", str(tmp_path / "out.jsonl"), "--ping", f"{monitor.url}/key"]
    assert run(*arguments, "--dry-run")[0] == 0
    assert pings(monitor) == []
    assert run(*arguments)[0] == 0
    assert pings(monitor) == ["/key/start", "/key/0"]
    assert run("batch", "none.txt", "-o", "x", "--ping", f"{monitor.url}/key")[0] == 2
    assert pings(monitor)[2:] == ["/key/start", "/key/2"]


def test_a_monitor_that_is_not_there(run, server):
    """It changes no exit code; stderr says what was not heard."""
    with dead_address() as url:
        code, stdout, stderr = run("check", "--ping", f"{url}/secret-key")
    assert code == 0
    assert stdout.startswith("FOUNDRY OK")
    assert "did not hear" in stderr
    assert "secret-key" not in stdout + stderr
