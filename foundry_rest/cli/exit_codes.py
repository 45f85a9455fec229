"""The exit codes of the command: one table for ``--help`` and for the exit code of an error.

It names the errors by text, because their classes import requests, which ``--help`` must not wait for;
neither does it wait for ``typing``.
"""

from __future__ import annotations

from collections.abc import Sequence


class ExitCode:
    """One exit code of the command.

    Attributes:
        code: Exit status of the process.
        meaning: Its description in ``--help``.
        errors: Names of the error classes that have it; a subclass without a row follows its base.
    """

    def __init__(self, code: int, meaning: str, errors: tuple[str, ...] = ()) -> None:
        self.code, self.meaning, self.errors = code, meaning, errors


#: Those of all commands but the ones that have a table of their own below.
EXIT_CODES = (
    ExitCode(0, "done"),
    ExitCode(1, "the service said no, or the output cannot be written", ("FoundryError", "OSError")),
    ExitCode(2, "wrong arguments, settings or input", ("ConfigError", "UsageError")),
    ExitCode(3, "no service found, or it does not answer", ("TransportError", "CircuitOpen")),
    ExitCode(4, "time ran out", ("ServiceTimeout", "DeadlineExceeded")),
    ExitCode(5, "the answer broke off or cannot be read", ("StreamInterrupted", "InvalidReply")),
    ExitCode(6, "batch, bench: some requests failed"),
    ExitCode(7, "batch: stopped early; run it again"),
    ExitCode(75, "batch: the service is down; run it again"),
    ExitCode(130, "interrupted (Ctrl-C)", ("KeyboardInterrupt",)),
    ExitCode(141, "the reader of the output left", ("BrokenPipeError",)),
)
#: Those of ``batch``, which can be run again when the service is back.
BATCH_EXIT_CODES = (
    *EXIT_CODES,
    ExitCode(75, "", ("TransportError", "ServiceTimeout", "CircuitOpen", "DeadlineExceeded")),
)
#: Those of ``check``, as monitors read them: a service that cannot be asked is critical, not unknown.
CHECK_EXIT_CODES = (
    ExitCode(0, "ok"),
    ExitCode(1, "warning: slow, or the model is not loaded"),
    ExitCode(2, "critical: no service, no answer, no such model", ("FoundryError",)),
    ExitCode(3, "unknown: wrong arguments or settings", ("ConfigError", "UsageError", "OSError")),
    *EXIT_CODES[-2:],
)
#: Those of ``doctor``: what it finds is 1, as with linters; what keeps it from looking is 2.
DOCTOR_EXIT_CODES = (
    ExitCode(0, "no error was found"),
    ExitCode(1, "an error was found; with --strict a warning, too"),
    ExitCode(2, "wrong arguments, or no output", ("FoundryError", "UsageError", "OSError")),
    *EXIT_CODES[-2:],
)
_TABLES = {"batch": BATCH_EXIT_CODES, "check": CHECK_EXIT_CODES, "doctor": DOCTOR_EXIT_CODES}


def table_of(command: str) -> Sequence[ExitCode]:
    """Return the exit codes of a command."""
    return _TABLES.get(command, EXIT_CODES)


def exit_code_of(error: BaseException, table: Sequence[ExitCode] = EXIT_CODES) -> int:
    """Return the code of the error's class, or of its nearest base with a row; Python's own without one."""
    codes = {name: row.code for row in table for name in row.errors}
    return next((codes[cls.__name__] for cls in type(error).__mro__ if cls.__name__ in codes), 1)


def describe(table: Sequence[ExitCode] = EXIT_CODES) -> str:
    """Return one indented line for each code, as ``--help`` prints them."""
    return "\n".join(f"  {row.code:<5}{row.meaning}" for row in table)
