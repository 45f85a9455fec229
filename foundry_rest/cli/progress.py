"""The progress of a download on stderr: a bar on a terminal, two lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from foundry_rest import clock
from foundry_rest.cli.streams import print_note
from foundry_rest.models.progress import Progress, is_terminal, on_terminal


def download_progress(name: str, *, quiet: bool = False) -> AbstractContextManager[Progress]:
    """Show the steps of one download; rich draws the bar where it is installed.

    ``quiet`` shows nothing but on a terminal: stderr is then read by a program.
    """
    if is_terminal():
        return on_terminal(name)
    return nullcontext(lambda step: None) if quiet else _plain_lines(name)


@contextmanager
def _plain_lines(name: str) -> Iterator[Progress]:
    started = clock.monotonic()
    print_note(f"Downloading {name} ...")
    yield lambda step: None
    print_note(f"{name} is on disk after {clock.monotonic() - started:.1f} s.")
