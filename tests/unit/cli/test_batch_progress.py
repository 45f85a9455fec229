"""The progress of a batch on stderr: what each kind of stderr is shown, and how often."""

from __future__ import annotations

import io
import os
import sys

import pytest

from foundry_rest.batch.figures import BatchFigures
from foundry_rest.cli import batch_progress as module
from foundry_rest.cli.batch_progress import batch_progress


class Terminal(io.StringIO):
    """A terminal that counts how often it was written; one that is gone cannot be."""

    encoding = "utf-8"
    is_gone = False
    writes = 0

    def isatty(self):
        """Say that it is one."""
        return True

    def write(self, text):
        """Take a text, or fail as a terminal does that was closed."""
        if self.is_gone:
            raise OSError(5, "Input/output error")
        self.writes += 1
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stderr a terminal; only in the test, for pytest has its own before."""

    def make(columns=80, *, has_rich=True):
        shown = Terminal()
        monkeypatch.setattr(sys, "stderr", shown)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(module, "find_spec", lambda _: has_rich or None)
        monkeypatch.setattr(module, "_width", lambda: columns)
        return shown

    return make


@pytest.fixture
def figures(time):
    """Return the figures of a batch, half done."""
    made = BatchFigures(2_000)
    for number in range(1_200):
        time.advance(0.025)
        made.add(seconds=0.1, completion_tokens=20, error="x" if number < 3 else "")
    return made


LINE = "1,200 of 2,000 done (3 failed), 40/s, 800 tokens/s, about 20 s left"


def shown_by(figures, times, time, every, **options):
    """Call what draws so many times; time passes before each."""
    with batch_progress(figures, **options) as show:
        for _ in range(times):
            time.advance(every)
            show()


# ------------------------------------------------------------------------------ no terminal


def test_a_line_a_minute(figures, time, capsys):
    """Where stderr is no terminal, it gets a plain line a minute and nothing else."""
    shown_by(figures, 7, time, 20.0)
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 2
    assert lines[0].startswith("1,200 of 2,000 done (3 failed), 13/s, 267 tokens/s, about ")


def test_a_short_batch_has_no_line(figures, time, capsys):
    """A batch that is over within a minute is told by its summary alone."""
    shown_by(figures, 59, time, 1.0)

    assert capsys.readouterr().err == ""


def test_quiet(figures, time, capsys):
    """Where a program reads stderr as JSON, nothing is written in between."""
    shown_by(figures, 10, time, 60.0, quiet=True)

    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------ a terminal without rich


def drawn(terminal):
    """Return the lines written over each other, without the blanks behind."""
    return [line.rstrip() for line in terminal.getvalue().split("\r")[1:]]


def test_one_line(figures, time, terminal):
    """Without rich a terminal has one line that is written over; the last state is left on it, and ended."""
    shown = terminal(has_rich=False)
    with batch_progress(figures, quiet=True) as show:
        show()
        figures.add(seconds=0.1)
        figures.waiting = "the circuit is open"
        show()  # too soon

    assert drawn(shown) == [
        LINE,
        "1,201 of 2,000 done (3 failed), waiting: the circuit is open, 40/s, 800 tokens/",
    ]
    assert shown.getvalue().count("\n") == 1
    assert shown.getvalue().endswith("\n")


def test_a_shorter_line_wipes_out_a_longer_one(figures, time, terminal):
    """Nothing is left of a longer line."""
    shown = terminal(has_rich=False)
    figures.waiting = "no"
    with batch_progress(figures) as show:
        show()
        figures.waiting = ""
    first, last = shown.getvalue().rstrip("\n").split("\r")[1:]

    assert len(first) == len(last) > len(last.rstrip())


def test_one_line_fits(figures, time, terminal):
    """A line is cut before the last column, where a terminal may wrap."""
    shown = terminal(columns=30, has_rich=False)
    shown_by(figures, 3, time, 1.0)

    assert max(map(len, drawn(shown))) == 29


def test_no_line_for_nothing(figures, terminal):
    """A batch that never drew leaves the terminal as it was."""
    shown = terminal(has_rich=False)
    with batch_progress(figures):
        pass

    assert shown.getvalue() == ""


def test_width(monkeypatch):
    """The width is that of the terminal behind stderr; a stderr that has none is taken for a usual one."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert module._width() == 80
    monkeypatch.setattr(sys, "stderr", open(os.devnull, "w"))  # noqa: PTH123, SIM115
    for size, width in (((160, 40), 160), ((0, 0), 80)):
        monkeypatch.setattr(os, "get_terminal_size", lambda _, size=size: os.terminal_size(size))
        assert module._width() == width
    sys.stderr.close()
    assert module._width() == 80


# ------------------------------------------------------------------------------ a terminal with rich


@pytest.fixture
def rich_lines(figures):
    """Return a function that gives what rich draws at a width, line by line."""
    console = pytest.importorskip("rich.console")

    def lines(columns):
        screen = console.Console(
            width=columns, file=io.StringIO(), color_system=None, force_terminal=True, legacy_windows=False
        )
        screen.print(module._Bar(figures))
        return screen.file.getvalue().splitlines()

    return lines


TEXT = "1,200/2,000  60%  3 failed  20 s left  40/s  800 tokens/s"


@pytest.mark.parametrize("columns", [80, 160])
def test_bar(rich_lines, columns):
    """With rich one line holds the bar, as long as there is room, and the figures."""
    (line,) = rich_lines(columns)

    assert len(line) == columns
    assert line.endswith(f" {TEXT}")
    length = columns - len(TEXT) - 1
    assert line.count("━") == pytest.approx(0.6 * length, abs=1)


def test_bar_above_the_figures(rich_lines):
    """Where the window is narrow, the bar has a line of its own, and the least important figures are cut."""
    bar, text = rich_lines(40)

    assert set(bar.strip()) <= {"━", "╸"}
    assert text == TEXT[:39] + "…"


@pytest.mark.parametrize("columns", [80, 160])
def test_bar_that_waits(figures, rich_lines, columns):
    """Why a batch waits has a line of its own, in which no control character is obeyed."""
    figures.waiting = "the circuit\n\x1b[2J of [red]" + "x" * 200
    *_, line = rich_lines(columns)

    assert line.startswith("Waiting: the circuit\\n\\x1b[2J of [red]xxx")
    assert len(line) == columns


@pytest.mark.parametrize("total", [0, 7])
def test_bar_of_nothing(time, total):
    """A batch that is empty, or has not begun, has a bar, too."""
    assert module._columns(BatchFigures(total).summary()) == [f"0/{total}", "0%", "0/s"]


def test_bar_ends_with_the_last_state(figures, time, terminal):
    """The last state is drawn at the end, even when the last drawing was a moment ago."""
    pytest.importorskip("rich")
    shown = terminal()
    with batch_progress(figures) as show:
        show()
        figures.add(seconds=0.1)
        show()
        assert "1,201/2,000" not in shown.getvalue()

    assert "1,201/2,000" in shown.getvalue()
    assert "\x1b[?25h" in shown.getvalue()  # the cursor is there again


def test_answers_on_stdout_stay_there(figures, terminal, capsys):
    """While the bar is shown, stdout is what it was: rich would take it for the terminal."""
    pytest.importorskip("rich")
    terminal()
    with batch_progress(figures):
        sys.stdout.write("an answer\n")

    assert capsys.readouterr().out == "an answer\n"


# ------------------------------------------------------------------------------ both


@pytest.mark.parametrize("has_rich", [True, False])
def test_at_most_ten_redraws_a_second(figures, time, terminal, has_rich):
    """However often it is called, a terminal is drawn ten times a second."""
    pytest.importorskip("rich")
    shown = terminal(has_rich=has_rich)
    with batch_progress(figures) as show:
        before = shown.writes
        for _ in range(1_000):
            time.advance(0.001)
            show()
        drawings = shown.writes - before

    assert 9 <= drawings <= 11


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_that_is_gone(figures, time, terminal, has_rich):
    """A terminal that cannot be written any more does not end the batch."""
    pytest.importorskip("rich")
    shown = terminal(has_rich=has_rich)
    with batch_progress(figures) as show:
        show()
        shown.is_gone = True
        time.advance(1)
        show()

    assert "1,200" in shown.getvalue()
    assert sys.stderr is shown
