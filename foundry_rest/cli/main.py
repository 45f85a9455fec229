"""The entry point of ``foundry-rest``: parse the arguments, run a command, return its exit code.

stdout gets the answer alone, everything else goes to stderr. Only the parser is imported for
``--help`` and ``--version``: requests and the rest are imported with the command that needs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from foundry_rest.cli.exit_codes import exit_code_of
from foundry_rest.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: Arguments after the program's name; default ``sys.argv``.
    """
    _replace_closed_streams()
    try:
        return _run(argv)
    except KeyboardInterrupt as interrupt:
        return exit_code_of(interrupt)
    except BrokenPipeError as closed:  # The reader of the pipe has ended (``| head``).
        _discard_output()
        return exit_code_of(closed)
    except OSError as error:
        _discard_output()
        print(f"foundry-rest: the output cannot be written: {error.strerror or error}", file=sys.stderr)
        return exit_code_of(error)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = build_parser().parse_args(argv)
        code: int = import_module("foundry_rest.cli.commands").run(arguments)
    finally:
        # Here and not at exit, where Python would print a message of its own; after ``--help`` too.
        sys.stdout.flush()
    return code


def _replace_closed_streams() -> None:
    """Replace a closed stream (``>&-``) by the null device: ``print(file=None)`` would write to stdout."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 (open to the end)


def _discard_output() -> None:
    """Redirect stdout to the null device: Python would try again to write the rest at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
