"""The textfile that a command leaves for Prometheus, however it ends."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from foundry_rest.cli.exit_codes import exit_code_of, table_of
from foundry_rest.cli.streams import print_note
from foundry_rest.observe.textfile import JobTextfile, not_written


def recorded(command: Callable[[Namespace], int], arguments: Namespace) -> int:
    """Return the exit code of a command, and write it with what the command has done into its textfile.

    Raises:
        ConfigError: The textfile cannot be one that the collector reads; nothing was done.
    """
    job = JobTextfile(arguments.metrics_textfile)
    arguments.items = job.items
    try:
        code = command(arguments)
    except BaseException as error:
        _write(job, exit_code_of(error, table_of(arguments.command)))
        raise
    _write(job, code)
    return code


def _write(job: JobTextfile, code: int) -> None:
    try:
        job.write(code)
    except OSError as error:  # the command has done what it was asked for
        print_note(not_written(job.path, error))
