"""The text of an answer on stdout: as it comes, or drawn on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec

from foundry_rest.cli.streams import print_text

#: Opens a context whose value prints a piece of the answer.
Printer = Callable[[], AbstractContextManager[Callable[[str], None]]]


def printer_for(*, is_plain: bool) -> Printer:
    """Return what prints answers: with Markdown drawn where rich can do it for a person."""
    if is_plain or not is_drawable(sys.stdout.isatty(), sys.stdout.encoding, os.environ.get("TERM", "")):
        return as_it_comes
    from foundry_rest.cli.markdown import drawn  # rich is for a terminal alone

    return drawn


def is_drawable(is_terminal: bool, encoding: str, term: str) -> bool:  # noqa: FBT001 (three facts of one stream)
    """Return whether Markdown can be drawn on a stream."""
    has_letters = encoding.casefold().replace("-", "").startswith("utf")
    return is_terminal and has_letters and term != "dumb" and find_spec("rich") is not None


@contextmanager
def as_it_comes() -> Iterator[Callable[[str], None]]:
    """Give a function that prints a piece of the answer; at the end its line is ended, too."""
    last = ""

    def write(text: str) -> None:
        nonlocal last
        if text:
            last = text
            print_text(text, end="")

    try:
        yield write
    finally:
        if last and not last.endswith("\n"):
            print_text("")
