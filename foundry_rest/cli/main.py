"""The entry point of ``foundry-rest``: parse the arguments, run a command, return its exit code.

stdout gets the answer alone, everything else goes to stderr. Only the parser is imported for
``--help`` and ``--version``: requests and the rest are imported with the command that needs them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from foundry_rest.cli.exit_codes import exit_code_of, table_of
from foundry_rest.cli.failures import UsageError, report, wants_json
from foundry_rest.cli.parser import build_parser
from foundry_rest.cli.streams import discard, print_text, replace_closed_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: Arguments after the program's name; default ``sys.argv``.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    replace_closed_streams()
    try:
        return _run(given)
    except KeyboardInterrupt as interrupt:
        return exit_code_of(interrupt)
    except BrokenPipeError as closed:  # The reader of the pipe has ended (``| head``).
        discard(sys.stdout)
        return exit_code_of(closed)
    except UsageError as error:
        return _report(error, f"{error.usage}foundry-rest: error: {error.message}", error.message, given)
    except OSError as error:
        discard(sys.stdout)
        what = f"the output cannot be written: {error.strerror or error}"
        return _report(error, f"foundry-rest: {what}", what, given)


def _report(error: Exception, text: str, message: str, argv: Sequence[str]) -> int:
    facts = {"type": type(error).__name__, "message": message}
    command = argv[0] if argv else ""
    if command == "check" and isinstance(error, UsageError):
        print_text(f"FOUNDRY UNKNOWN: {message}")  # a monitor shows the first line of stdout
    return report(text, facts, exit_code_of(error, table_of(command)), as_json=wants_json(argv))


def _run(argv: Sequence[str]) -> int:
    try:
        arguments = build_parser().parse_args(argv)
        from foundry_rest.cli.commands import run

        code = run(arguments)
    finally:
        # Here and not at exit, where Python would print a message of its own; after ``--help`` too.
        sys.stdout.flush()
    return code
