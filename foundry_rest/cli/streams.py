"""The standard streams where they are closed, or cannot be written."""

from __future__ import annotations

import os
import sys
from functools import partial

TYPE_CHECKING = False  # not from `typing`, for which ``--help`` would wait
if TYPE_CHECKING:
    from typing import TextIO


def replace_closed_streams() -> None:
    """Replace a closed stream (``>&-``), because ``print(file=None)`` would write to stdout.

    Writing to the new stdout fails, because it carries the answer; notes to the new stderr are dropped.
    """
    for name, mode in (("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            opener = partial(_open, mode)
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", opener=opener))  # noqa: SIM115


def _open(mode: int, path: str, _flags: int) -> int:
    return os.open(path, mode)


def use_utf8_in_pipes() -> None:
    """Write UTF-8 to whatever is no terminal, as programs expect it, unless PYTHONIOENCODING says otherwise.

    Windows would write its code page there. What a terminal cannot show is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty() and "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def print_text(text: str, end: str = "\n") -> None:
    """Print to stdout at once; a terminal is shown control characters, and does not obey them."""
    if sys.stdout.isatty():
        from foundry_rest.control_characters import visible

        text = visible(text)
    print(text, end=end, flush=True)


def print_note(text: str) -> None:
    """Print a line to stderr; one that cannot be written is dropped, because the answer does not need it."""
    from foundry_rest.control_characters import visible

    try:
        print(visible(text), file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Redirect a stream to the null device: Python would try again to write the rest at exit."""
    from contextlib import suppress  # ``--help`` does not wait for it

    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
