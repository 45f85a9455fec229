"""The progress of a batch on stderr: a bar or one line on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.units import estimate, rate
from foundry_rest.cli.streams import discard, print_note
from foundry_rest.control_characters import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Draw = Callable[[], None]

#: Seconds between two redraws of a terminal, and between two lines elsewhere.
_REDRAW, _LINE = 0.1, 60.0
#: Columns of a bar that can be read, and of a terminal that does not tell its width.
_SHORTEST_BAR, _USUAL_WIDTH = 12, 80


def batch_progress(figures: BatchFigures, *, quiet: bool = False) -> AbstractContextManager[Draw]:
    """Show how far a batch is, each time the yielded function is called; rich draws a bar where installed.

    ``quiet`` shows nothing but on a terminal: stderr is then read by a program.
    """
    if not sys.stderr.isatty():
        return nullcontext(lambda: None) if quiet else _plain_lines(figures)
    return _rich_bar(figures) if find_spec("rich") else _one_line(figures)


def _at_most_every(seconds: float, draw: Draw, last: float) -> Draw:
    """Return a function that draws, unless it did so within the last seconds."""

    def draw_if_due() -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last >= seconds:
            last = now
            _try(draw)

    return draw_if_due


def _try(draw: Draw) -> None:
    """Draw; a terminal that is gone is drawn to no more, because the batch does not need it."""
    try:
        draw()
    except OSError:
        discard(sys.stderr)


@contextmanager
def _plain_lines(figures: BatchFigures) -> Iterator[Draw]:
    yield _at_most_every(_LINE, lambda: print_note(_line(figures)), clock.monotonic())


@contextmanager
def _one_line(figures: BatchFigures) -> Iterator[Draw]:
    shown = ""

    def draw() -> None:
        nonlocal shown
        width = _width() - 1  # a line that fills the last column may be wrapped
        line = _line(figures)[:width]
        # Padded with blanks, which overwrite the rest of a longer line.
        sys.stderr.write(f"\r{line:<{min(len(shown), width)}}")
        sys.stderr.flush()
        shown = line

    try:
        yield _at_most_every(_REDRAW, draw, -math.inf)
    finally:
        if shown:
            _try(draw)
            print_note("")


@contextmanager
def _rich_bar(figures: BatchFigures) -> Iterator[Draw]:
    from rich.console import Console
    from rich.live import Live

    # stdout carries the answers, and rich would print them to stderr.
    console = Console(stderr=True)
    live = Live(_Bar(figures), console=console, auto_refresh=False, redirect_stdout=False)
    _try(live.start)
    try:
        yield _at_most_every(_REDRAW, live.refresh, -math.inf)
    finally:
        _try(live.stop)


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_WIDTH
    except (OSError, ValueError):
        return _USUAL_WIDTH


class _Bar:
    """A bar with the figures behind it, or below it where they leave it no room; drawn anew by rich."""

    def __init__(self, figures: BatchFigures) -> None:
        self._figures = figures

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        summary, waiting = self._figures.summary(), visible(self._figures.waiting, keep_lines=False)
        bar = ProgressBar(summary.total, summary.total - summary.unsent)
        text = Text("  ".join(_columns(summary)), no_wrap=True, overflow="ellipsis")
        text.highlight_regex(r"\S+ failed", "red")
        row = Table.grid(expand=True, padding=(0, 1))
        row.add_column(ratio=1)
        is_wide = options.max_width - len(text) > _SHORTEST_BAR
        row.add_row(bar, *([text] if is_wide else []))
        yield row
        if not is_wide:
            yield text
        if waiting:
            yield Text(f"Waiting: {waiting}", style="yellow", no_wrap=True, overflow="ellipsis")


def _columns(summary: BatchSummary) -> list[str]:
    """Return the figures behind the bar, the most important first: the last may be cut."""
    done = summary.total - summary.unsent
    counts = [f"{done:,}/{summary.total:,}", f"{100 * done // max(1, summary.total)}%"]
    failed = [f"{summary.failed:,} failed"] if summary.failed else []
    return [*counts, *failed, *_time_left(summary), *_rates(summary)]


def _line(figures: BatchFigures) -> str:
    """Return one line; why the batch waits stands before what may be cut."""
    summary = figures.summary()
    failed = f" ({summary.failed:,} failed)" if summary.failed else ""
    counts = f"{summary.total - summary.unsent:,} of {summary.total:,} done{failed}"
    waiting = [f"waiting: {visible(figures.waiting, keep_lines=False)}"] if figures.waiting else []
    return ", ".join([counts, *waiting, *_rates(summary), *(f"about {left}" for left in _time_left(summary))])


def _rates(summary: BatchSummary) -> list[str]:
    tokens = [f"{rate(summary.tokens_per_second)} tokens/s"] if summary.completion_tokens else []
    return [f"{rate(summary.requests_per_second)}/s", *tokens]


def _time_left(summary: BatchSummary) -> list[str]:
    """Return the time left, where there is some and it can be told."""
    return [f"{estimate(summary.remaining)} left"] if summary.unsent and summary.remaining else []
