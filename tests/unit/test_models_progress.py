"""`progress=True`: a terminal and a notebook are shown what goes on; everything else is left alone."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from foundry_rest import ConfigError
from foundry_rest.models import progress
from foundry_rest.models.progress import shown
from foundry_rest.schema import DownloadStep

STEPS = (
    DownloadStep(fraction=0.1),
    DownloadStep(fraction=0.1),
    DownloadStep(fraction=0.5, file="model.onnx"),
    DownloadStep(phase="load"),
    DownloadStep(phase="ready", fraction=1.0, done=True),
)
WORDS = ["<phi>  10%", "model.onnx  50%", "<phi> is being loaded", "<phi> is ready"]


class Terminal(io.StringIO):
    """Stand for a terminal."""

    def isatty(self):
        """Say that a person looks at it."""
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Return a terminal that is shown stderr once it is called."""
    made = Terminal()

    def show():
        monkeypatch.setattr(sys, "stderr", made)  # only now: pytest puts its own there for each phase
        monkeypatch.setenv("TERM", "xterm")
        return made

    return show


@pytest.fixture
def notebook(monkeypatch):
    """Stand for IPython with its kernel; return what a reader saw, line by line, in one place."""
    seen = []

    def update(content, *, raw):
        assert raw
        seen.append(content)

    def display(content, *, raw, display_id):
        assert (raw, display_id, seen) == (True, True, [])
        update(content, raw=raw)
        return SimpleNamespace(update=update)

    module, displays = ModuleType("IPython"), ModuleType("IPython.display")
    module.get_ipython = lambda: SimpleNamespace(kernel=object())
    displays.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    return seen


def show_all(given=True):
    """Show every step."""
    with shown(given, "<phi>") as tell:
        for step in STEPS:
            tell(step)


def test_a_terminal(terminal, monkeypatch):
    """Without rich it is one line that is written over, each text once, and ended."""
    monkeypatch.setattr(progress, "find_spec", lambda _: None)
    screen = terminal()
    show_all()

    assert [line.rstrip() for line in screen.getvalue().split("\r")[1:]] == WORDS
    assert screen.getvalue().endswith("\n")


def test_a_bar(terminal):
    """With rich it is a bar."""
    pytest.importorskip("rich")
    screen = terminal()
    show_all()

    assert "<phi> is ready" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_a_notebook(notebook, capsys):
    """One output is written over; its HTML shows a bar, and what a name holds is no markup."""
    show_all()

    assert [content["text/plain"] for content in notebook] == WORDS
    assert notebook[0]["text/html"] == '<progress max="1" value="0.100"></progress> &lt;phi&gt;  10%'
    assert capsys.readouterr().err == ""


def test_ipython_on_a_terminal(notebook, monkeypatch, capsys):
    """IPython without a kernel is a terminal as any other."""
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", SimpleNamespace)
    show_all()

    assert notebook == []


@pytest.mark.parametrize("given", [True, False, None])
def test_no_terminal(capsys, given):
    """Into a file or a pipe nothing is drawn, and nothing anywhere unless it is asked for."""
    show_all(given)

    assert capsys.readouterr() == ("", "")


def test_no_stderr(monkeypatch):
    """A program without stderr, as pythonw, is told nothing."""
    monkeypatch.setattr(sys, "stderr", None)
    show_all()


def test_a_file_name_that_is_a_command(terminal, monkeypatch):
    """What the service names is shown, and obeyed by no terminal."""
    monkeypatch.setattr(progress, "find_spec", lambda _: None)
    screen = terminal()
    with shown(True, "phi") as tell:
        tell(DownloadStep(file="\x1b[2J"))

    assert "\x1b" not in screen.getvalue()


def test_a_function():
    """A function of the caller's is called itself."""
    told = []
    show_all(told.append)

    assert told == list(STEPS)


@pytest.mark.parametrize("given", ["bar", 1, [print]])
def test_neither(given):
    """Anything else is refused."""
    with pytest.raises(ConfigError, match="progress must be a function"):
        shown(given, "phi")


def test_per_cent():
    """A step tells its share in per cent, too."""
    assert DownloadStep(fraction=0.25).percent == 25
