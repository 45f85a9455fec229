"""`models --cached/--loaded`, `load`, `unload`, `download`: what is asked, printed and noted."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager

import pytest

from foundry_rest import FoundryAPIClient, UnsupportedByService
from foundry_rest.cli import progress
from foundry_rest.cli.client import client_for
from foundry_rest.cli.parser import build_parser
from foundry_rest.endpoints.models import Models
from foundry_rest.models import progress as drawing
from foundry_rest.schema import DownloadStep, ModelInfo

ID = "demo-generic-cpu:1"
INFO = ModelInfo(id=ID, alias="demo", cached=True)
STEPS = (DownloadStep(fraction=0.5), DownloadStep(fraction=0.5), DownloadStep(fraction=1.0, done=True))


@pytest.mark.parametrize("which", ["known", "cached", "loaded"])
def test_lists(run, server, monkeypatch, which):
    """Each filter asks for its own list and has its own word for none."""
    lists = {"known": "catalog", "cached": "cached", "loaded": "loaded"}
    found = [INFO]
    monkeypatch.setitem(
        __import__("foundry_rest.cli.models", fromlist=["_LISTS"])._LISTS,
        which,
        (lambda models: found if isinstance(models, Models) else None, f"none {lists[which]}"),
    )
    given = [] if which == "known" else [f"--{which}"]

    assert run("models", *given)[1].split()[5:7] == ["demo", ID]
    assert json.loads(run("models", "--json", *given)[1])[0]["id"] == ID
    found.clear()
    assert run("models", *given) == (0, "", f"none {lists[which]}\n")


def test_load_and_unload(run, server):
    """`load` prints the id alone; `unload` notes that the model is not in memory, as it may have been."""
    server.loaded = ()
    assert run("load", "demo")[:2] == (0, f"{ID}\n")
    assert json.loads(run("load", "demo", "--json")[1])["loaded"] is True
    assert run("models", "--loaded")[1].split()[6] == ID
    assert run("unload", "demo") == (0, "", "demo is not in memory.\n")
    assert server.loaded == ()
    assert run("models", "--loaded") == (0, "", "No model is in memory.\n")


@pytest.mark.parametrize(
    ("dropped", "stdout", "stderr"), [([ID, "b:1"], f"{ID}\nb:1\n", ""), ([], "", "No model is in memory.\n")]
)
def test_unload_all(run, server, monkeypatch, dropped, stdout, stderr):
    """`unload --all` prints the ids that were in memory, one a line; a note alone when there were none."""
    forced = []
    monkeypatch.setattr(Models, "unload_all", lambda _, *, force: forced.append(force) or dropped)

    assert run("unload", "--all", "--respect-ttl") == (0, stdout, stderr)
    assert forced == [False]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["load", "nobody"], 1, "It serves demo"),
        (["load", "demo", "--ttl", "5"], 1, "Run foundry-rest unload NAME"),
        (["load", "demo", "--ttl", "0"], 2, "ttl must be"),
        (["load", "demo", "--device", "XPU"], 2, "device must be one of NPU, GPU, CPU"),
        (["unload", "a b"], 2, "no alias or id"),
        (["download", "demo"], 1, "foundry-rest download --embedded"),
    ],
)
def test_refusals(run, server, arguments, code, said):
    """What cannot be done ends in its code, with nothing on stdout and the way out in the command's words."""
    got, stdout, stderr = run(*arguments)

    assert (got, stdout) == (code, "")
    assert said in stderr.splitlines()[-1]


def test_start():
    """`--start` lets the foundry command start a service; without it the settings decide."""
    for given in (["--start"], []):
        with client_for(build_parser().parse_args(["health", *given])) as client:
            assert client._spec.config.auto_start is bool(given)


@pytest.fixture
def downloads(monkeypatch):
    """Replace the download by one that takes these steps, then ends or raises; return what was asked."""
    asked = []

    def play(end=None):
        def download(self, name, *, progress, timeout=None):
            asked.append((name, timeout))
            for step in STEPS:
                progress(step)
            if end is not None:
                raise end
            return INFO

        monkeypatch.setattr(Models, "download", download)
        return asked

    return play


def test_download(run, server, downloads):
    """The id alone is on stdout; stderr, being no terminal, has a note at the start and one at the end."""
    asked = downloads()
    code, stdout, stderr = run("download", "demo", "--timeout", "7")

    assert (code, stdout) == (0, f"{ID}\n")
    assert stderr.startswith("Downloading demo ...\ndemo is on disk after ")
    assert stderr.count("\n") == 2
    assert asked == [("demo", 7.0)]
    assert json.loads(run("download", "demo", "--json")[1])["id"] == ID


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (UnsupportedByService("no"), 1)], ids=["ctrl-c", "error"]
)
def test_download_that_ends_early(run, server, downloads, end, code):
    """No success is noted for a download that was interrupted or refused."""
    downloads(end)
    got, stdout, stderr = run("download", "demo")

    assert (got, stdout) == (code, "")
    assert "is on disk" not in stderr


def test_download_without_a_service(run):
    """Where no service was found, a download is told that it can do without one; `--embedded` is named."""
    code, stdout, stderr = run("pull", "phi-4-mini")

    assert (code, stdout) == (3, "")
    assert "Without a service: foundry-rest pull phi-4-mini --embedded." in stderr
    assert "foundry-rest serve" in stderr


def test_embedded(run, server, downloads, monkeypatch):
    """`--embedded` downloads with a runtime of its own on the public catalog, and ends it."""
    given, closed = [], []

    @contextmanager
    def embedded(**settings):
        given.append(settings["timeout"])
        with FoundryAPIClient(server.url) as client:
            yield client
        closed.append(True)

    downloads()
    monkeypatch.setattr(FoundryAPIClient, "embedded", embedded)

    assert run("download", "demo", "--embedded")[:2] == (0, f"{ID}\n")
    assert (given, closed) == ([None], [True])


class Terminal(io.StringIO):
    """Stand for a terminal."""

    def isatty(self):
        """Say that a person looks at it."""
        return True


@pytest.fixture
def see(monkeypatch):
    """Return a function that shows a download on a terminal and returns what could be seen there."""

    def show(name="demo", *steps):
        monkeypatch.setattr(sys, "stderr", Terminal())  # only now: pytest puts its own there for each phase
        monkeypatch.setenv("TERM", "xterm")
        show_steps(name, *steps)
        return sys.stderr.getvalue()

    return show


def show_steps(name, *steps):
    """Show a download."""
    with progress.download_progress(name) as show:
        for step in steps:
            show(step)


def test_percentage(see, monkeypatch):
    """Without rich a terminal gets one line that is written over, each percentage once, and ends it."""
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    shown = see("demo", *STEPS, DownloadStep(fraction=0.25, file="a-much-longer-name"), *STEPS)

    assert shown.endswith("\n")
    assert shown.count("\n") == 1
    lines = shown.rstrip("\n").split("\r")[1:]
    assert [line.rstrip() for line in lines] == [
        "demo  50%",
        "demo 100%",
        "a-much-longer-name  25%",
        "demo  50%",
        "demo 100%",
    ]
    assert len(lines[3]) == len(lines[2])


def test_nothing_came(see, monkeypatch):
    """Without a step nothing is written."""
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    assert see("demo") == ""


def test_bar(see):
    """With rich it is a bar with the name as it is, brackets too."""
    pytest.importorskip("rich")
    shown = see("[demo]", *STEPS)

    assert "[demo]" in shown
    assert "100%" in shown


def test_no_terminal(capsys):
    """Where stderr is no terminal, no step is shown."""
    show_steps("demo", *STEPS)

    assert capsys.readouterr().err.startswith("Downloading demo ...\ndemo is on disk")
