"""How far a download is, on stderr: a bar on a terminal, two notes elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

from foundry_rest import clock
from foundry_rest.cli.output import note
from foundry_rest.schema import DownloadStep

Show = Callable[[DownloadStep], object]


def progress_of(name: str) -> AbstractContextManager[Show]:
    """Show the steps of one download; rich draws the bar where it is installed."""
    if not sys.stderr.isatty():
        return _notes(name)
    return _bar(name) if find_spec("rich") else _percentage(name)


@contextmanager
def _notes(name: str) -> Iterator[Show]:
    started = clock.monotonic()
    note(f"Downloading {name} ...")
    yield lambda step: None
    note(f"{name} is on disk after {clock.monotonic() - started:.1f} s.")


@contextmanager
def _percentage(name: str) -> Iterator[Show]:
    shown = ""

    def show(step: DownloadStep) -> None:
        nonlocal shown
        line = f"{step.file or name} {step.fraction:4.0%}"
        if line != shown:
            # Blanks over what a longer name has left there.
            sys.stderr.write(f"\r{line:<{len(shown)}}")
            sys.stderr.flush()
            shown = line

    try:
        yield show
    finally:
        if shown:
            note("")


@contextmanager
def _bar(name: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    # A name is no markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=1.0)

        def show(step: DownloadStep) -> None:
            progress.update(task, completed=step.fraction, description=step.file or name)

        yield show
