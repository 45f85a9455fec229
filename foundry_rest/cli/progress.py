"""The progress of a download on stderr: a bar on a terminal, two lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec

from foundry_rest import clock
from foundry_rest.cli.streams import print_note
from foundry_rest.schema import DownloadStep

ProgressCallback = Callable[[DownloadStep], object]


def download_progress(name: str, *, quiet: bool = False) -> AbstractContextManager[ProgressCallback]:
    """Show the steps of one download; rich draws the bar where it is installed.

    ``quiet`` shows nothing but on a terminal: stderr is then read by a program.
    """
    if not sys.stderr.isatty():
        return nullcontext(lambda step: None) if quiet else _plain_lines(name)
    return _rich_bar(name) if find_spec("rich") else _percentage(name)


@contextmanager
def _plain_lines(name: str) -> Iterator[ProgressCallback]:
    started = clock.monotonic()
    print_note(f"Downloading {name} ...")
    yield lambda step: None
    print_note(f"{name} is on disk after {clock.monotonic() - started:.1f} s.")


@contextmanager
def _percentage(name: str) -> Iterator[ProgressCallback]:
    shown = ""

    def show(step: DownloadStep) -> None:
        nonlocal shown
        line = f"{step.file or name} {step.fraction:4.0%}"
        if line != shown:
            # Padded with blanks, which overwrite the rest of a longer line.
            sys.stderr.write(f"\r{line:<{len(shown)}}")
            sys.stderr.flush()
            shown = line

    try:
        yield show
    finally:
        if shown:
            print_note("")


@contextmanager
def _rich_bar(name: str) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    # Brackets in a name are not rich's markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=1.0)

        def show(step: DownloadStep) -> None:
            progress.update(task, completed=step.fraction, description=step.file or name)

        yield show
