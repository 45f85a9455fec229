"""`doctor`: a report for people, for an issue and for programs, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from support import predicaments
from support.platforms import posix
from support.predicaments import EACH, PREDICAMENTS

from foundry_rest.cli import commands
from foundry_rest.cli.doctor import WIDTH, Page, report, summary
from foundry_rest.cli.doctor import doctor as command
from foundry_rest.cli.main import main
from foundry_rest.cli.parser import build_parser
from foundry_rest.ops.doctor import Diagnosis
from foundry_rest.ops.doctor.diagnosis import CHECKS
from foundry_rest.ops.doctor.findings import error, note, ok, warning
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address

#: For a service that answers, on a machine that may be slow.
PATIENT = ("--timeout", "20")
#: Seconds in which the whole command must have ended, Python's start included.
BOUND = 3.0


@pytest.mark.parametrize("each", EACH)
def test_every_predicament(run, each, monkeypatch):
    """The exit code says whether there is an error, and with --strict whether there is a warning."""
    given = ["doctor", "--timeout", str(each.patience), *(["--model", each.model] if each.model else [])]
    monkeypatch.setenv("FOUNDRY_MODEL", DEMO_MODEL)  # the default is a model that this service lacks
    of_service = [check for check in CHECKS if check.group not in ("System", "Packages")]
    monkeypatch.setattr("foundry_rest.ops.doctor.diagnosis.CHECKS", of_service)  # this machine may be odd
    with predicaments.in_predicament(each, monkeypatch) as url:
        code, stdout, stderr = run(*given, *(["--url", url] if url else []))
        assert (code, stderr) == (each.code, "")
        assert run(*given, "--strict", *(["--url", url] if url else []))[0] == each.strict
    assert max(map(len, stdout.splitlines())) <= WIDTH
    assert "\x1b" not in stdout


def test_report(run, server):
    """It begins with the sum, and goes through the groups in their order."""
    code, stdout, _ = run("doctor", "--model", DEMO_MODEL, *PATIENT)
    lines = stdout.splitlines()
    assert code == 0
    assert lines[0].startswith("foundry-rest doctor ")
    groups = list(dict.fromkeys(check.group for check in CHECKS))
    assert [line for line in lines if line in groups] == groups
    assert f"  ok       {DEMO_MODEL} is an id, loaded" in lines


def test_json(run, server):
    """Each finding has the stable id of its check; the worst severity stands beside them."""
    code, stdout, stderr = run("doctor", "--json", *PATIENT)
    found = json.loads(stdout)
    assert (code, stderr) == (0, "")
    assert set(found) == {"version", "findings", "severity"}
    assert {each["id"] for each in found["findings"]} <= {check.id for check in CHECKS}
    assert all(set(each) == {"id", "group", "severity", "text", "advice"} for each in found["findings"])


def test_json_of_an_error(run):
    """The code is the same as without JSON, and stdout is JSON all the same."""
    with dead_address() as url:
        code, stdout, _ = run("doctor", "--json", "--url", url, *PATIENT)
    assert code == 1
    assert json.loads(stdout)["severity"] == "error"


def test_offline(run, server):
    """Nobody is asked."""
    code, stdout, _ = run("doctor", "--offline")
    assert code == 0
    assert not server.requests
    assert "\nModels\n" not in stdout


def test_wrong_variables(run, server, monkeypatch):
    """They are what a doctor is asked about, and so no reason to refuse."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "soon")
    code, stdout, stderr = run("doctor", *PATIENT)
    assert (code, stderr) == (1, "")
    assert "  error    FOUNDRY_TIMEOUT='soon' cannot be used" in stdout


@pytest.mark.parametrize(
    "arguments",
    [["--bogus"], ["--timeout", "0"], ["--timeout", "x"], ["--url", "nonsense"], ["--model", "a b"]],
)
def test_wrong_arguments(run, arguments):
    """They are code 2, and nothing is looked at."""
    code, stdout, stderr = run("doctor", *arguments)
    assert (code, stdout) == (2, "")
    assert "foundry-rest" in stderr


def test_no_output(capsys, monkeypatch):
    """A disk that is full keeps the report from being read, and finds nothing."""

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(commands._COMMANDS, "doctor", full)
    monkeypatch.setattr("foundry_rest.cli.main.discard", lambda stream: None)
    assert main(["doctor"]) == 2
    assert "No space left" in capsys.readouterr().err


def test_help(run):
    """Its own exit codes are listed."""
    code, stdout, _ = run("doctor", "--help")
    assert code == 0
    assert "  1    an error was found" in stdout


@posix  # under Wine alone the start of a process may take that long
@pytest.mark.parametrize("name", ["stopped", "status that dribbles", "healthy"])
def test_it_takes_less_than_three_seconds(name, monkeypatch):
    """A whole command has ended by then, whatever the service does."""
    each = PREDICAMENTS[name]
    with predicaments.in_predicament(each, monkeypatch) as url:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "foundry_rest", "doctor", "--url", url],
            capture_output=True,
            text=True,
            check=False,
        )
        took = time.monotonic() - began
    assert took < BOUND
    assert done.returncode == each.code
    assert done.stderr == ""


@posix
def test_a_command_that_hangs(monkeypatch, tmp_path):
    """The command of Foundry Local is ended in time, and its silence is told."""
    command = tmp_path / "foundry"
    command.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    command.chmod(0o755)
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "foundry_rest", "doctor"],
        env={**os.environ, "PATH": os.pathsep.join((str(tmp_path), os.environ["PATH"]))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - began < BOUND
    assert done.returncode == 1
    assert "foundry server: no answer within" in done.stdout
    assert "give --timeout 15" in done.stdout


LONG = " ".join(["word"] * 60)
FOUND = Diagnosis(
    version="1", findings=tuple(each for each in (ok(LONG), note("b", LONG), warning("c"), error("d", "e")))
)


@pytest.mark.parametrize("width", [10, 40, 80, WIDTH])
def test_width(width):
    """Long lines are broken at words, below their beginning."""
    lines = list(report(FOUND, Page(width)))
    assert max(map(len, lines[1:])) <= max(width, 40)
    assert "           -> e" in lines
    assert " ".join(" ".join(lines).split()).count("word") == 120


def test_colours():
    """A terminal shows severities in colours; the text is the same."""
    plain, coloured = (list(report(FOUND, Page(80, is_coloured=each))) for each in (False, True))
    assert "\x1b[31;1merror    \x1b[0md" in coloured[-2]
    assert [line.replace("\x1b[31;1m", "").replace("\x1b[0m", "") for line in coloured[-2:]] == plain[-2:]


def test_summary():
    """What is not well is counted."""
    assert summary(FOUND) == "1 error, 1 warning, 1 note"
    assert summary(Diagnosis(version="1", findings=(note("a"), note("b")))) == "2 notes"
    assert summary(Diagnosis(version="1", findings=(ok("a"),))) == "all is well"


@pytest.mark.parametrize(
    ("variables", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal(capsys, monkeypatch, variables, is_coloured):
    """Colours are for terminals that want them."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"WT_SESSION": "x", "COLUMNS": "60", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with FaultServer() as server:
        assert command(build_parser().parse_args(["doctor", "--url", server.url, *PATIENT])) == 0
    assert ("\x1b[32m" in capsys.readouterr().out) is is_coloured
