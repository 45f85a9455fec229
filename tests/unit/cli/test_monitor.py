"""`monitor`: lines in a pipe, JSON for a program, a screen on a terminal."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
import urllib.request

import pytest

from foundry_rest.cli import monitor as module
from foundry_rest.cli.main import main
from foundry_rest.ops.monitor import Change, MonitorReport, Problem, Sample
from foundry_rest.schema.use import CircuitChange
from foundry_rest.testing import DEMO_MODEL, dead_address

QUICK = ["--interval", "0.01", "-t", "20"]


def test_lines(run, server):
    """In a pipe there is a line for each change, with its time."""
    code, stdout, stderr = run("monitor", "--count", "3", *QUICK)
    assert (code, stderr) == (0, "")
    (line,) = stdout.splitlines()
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ up: 2\.x at {server.url}, 1 model loaded", line)


def test_json(run, server):
    """Each check and each change is an object on a line of its own."""
    code, stdout, _ = run("monitor", "--count", "3", "--json", "--model", DEMO_MODEL, "--answer", *QUICK)
    objects = [json.loads(line) for line in stdout.splitlines()]
    assert code == 0
    assert [each["kind"] for each in objects][:2] == ["sample", "change"]
    assert [each["observed"] for each in objects if each["kind"] == "sample"][:3] == ["up"] * 3
    assert objects[0]["models"] == [DEMO_MODEL]
    assert objects[0]["tokens_per_second"] > 0


def test_a_service_that_is_not_there(run):
    """That is what it is for: it says so and goes on."""
    with dead_address() as url:
        code, stdout, _ = run("monitor", "--count", "2", "--url", url, *QUICK)
    assert code == 0
    assert " down: connection refused" in stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ["--count", "0"],
        ["--interval", "0"],
        ["-w", "x"],
        ["--web", "70000"],
        ["--url", "x"],
        ["--tokens", "0"],
    ],
)
def test_wrong_arguments(run, server, wrong):
    """They are told, with the code of wrong arguments."""
    code, stdout, stderr = run("monitor", "--count", "1", *wrong)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("foundry-rest: ")


def test_a_port_in_use(run, server):
    """The page's port is looked at before anything is watched."""
    code, stdout, stderr = run("monitor", "--count", "1", "--web", server.url.rpartition(":")[2])
    assert (code, stdout) == (2, "")
    assert "cannot be used" in stderr


def test_the_page(run, server, monkeypatch):
    """Its address is told on stderr, and it is served while the command runs."""
    found = []

    def open_page(text):
        (url,) = re.findall(r"http://\S+", text)
        with urllib.request.urlopen(url, timeout=5) as answer:
            found.append(answer.read())

    monkeypatch.setattr(module, "print_note", open_page)
    assert run("monitor", "--count", "1", "--web", "0", *QUICK)[0] == 0
    assert b"Foundry Local" in found[0]


def test_ctrl_c_is_its_end(run, server, monkeypatch):
    """It ends well, for that is how a person ends it."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_wait", interrupt)
    assert run("monitor", *QUICK)[0] == 0
    assert not [each for each in threading.enumerate() if each.name == "foundry_rest-monitor"]


class Terminal(io.StringIO):
    """A terminal."""

    encoding = "utf-8"

    def isatty(self):
        """Say that it is one."""
        return True

    def reconfigure(self, **settings):
        """Stay as it is."""


REPORT = MonitorReport(
    state="up",
    since=1.0,
    url="http://127.0.0.1:5273",
    generation="2.x",
    checks=1234,
    samples=tuple(
        Sample(
            at=float(n),
            observed=("up", "degraded", "down")[0 if n < 80 else n % 3],
            latency=None if n % 7 == 0 else 0.001 * (n % 11),
            memory=4_200_000_000 + n,
            cpu=n % 5 / 4,
            tokens_per_second=None if n < 100 else 12.5,
            models=("phi-4-mini-instruct-generic-cpu:5",),
        )
        for n in range(200)
    ),
    changes=(
        Change(at=1.0, before="", after="down", text="connection refused: nothing listens there " * 4),
        Change(at=2.0, before="down", after="up", text="2.x, 1 model \x1b[31m loaded"),
    ),
    problems=(Problem(at=3.0, text="slow", count=12),),
    circuits={"http://127.0.0.1:5273": "half-open"},
    circuit_changes=(CircuitChange(at=1.0, url="http://127.0.0.1:5273", before="closed", after="open"),),
)


class Watched:
    """A monitor that knows one report."""

    def __init__(self, report):
        self._report = report

    def report(self):
        """Return it."""
        return self._report


def screen(columns, report=REPORT, encoding="utf-8"):
    """Return the lines of the screen on a terminal so wide."""
    pytest.importorskip("rich")
    from rich.console import Console

    from foundry_rest.cli.monitor_screen import _Screen

    class Stream(Terminal):
        pass

    Stream.encoding = encoding
    console = Console(file=Stream(), width=columns, force_terminal=True, color_system=None)
    console.print(_Screen(Watched(report), "http://127.0.0.1:1/t/"))
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_the_screen(columns):
    """It fits in any width, and the curves take what there is."""
    lines = screen(columns)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("Foundry Local is up for ")
    for name in (
        "Latency",
        "Tokens/s",
        "Memory",
        "Processor",
        "Checks",
        "Models",
        "Circuit",
        "Changes",
        "Errors",
    ):
        assert re.search(rf"^{name}\b", text, re.MULTILINE)
    (checks,) = (line for line in lines if line.startswith("Checks"))
    assert checks.count("■") == min(200, max(10, columns - 25))
    assert "4.20 GB" in text
    assert "12 x" in text
    assert "\x1b" not in text
    assert r"\x1b[31m" in re.sub(r"\s+", "", text)


def test_the_screen_before_the_first_check():
    """It says what it waits for."""
    text = "\n".join(screen(80, MonitorReport()))
    assert "waiting for the first check" in text
    assert "none yet" in text


def test_a_terminal_without_unicode():
    """The curves are drawn with what it has."""
    text = "\n".join(screen(80, encoding="ascii"))
    assert re.search(r"Checks +1,234 +[+~x]+", text)
    assert "▁" not in text


def test_a_terminal_is_drawn_to(server, monkeypatch):
    """On a terminal the screen is shown, and nothing is printed beside it."""
    pytest.importorskip("rich")
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    assert main(["monitor", "--count", "2", *QUICK]) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-z]", "", shown.getvalue())
    assert "Foundry Local is up" in text
    assert "Z up: " not in text
