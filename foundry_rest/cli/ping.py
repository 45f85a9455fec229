"""The pings of a command, around all that it does."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from foundry_rest.cli.exit_codes import exit_code_of, table_of
from foundry_rest.cli.streams import print_note
from foundry_rest.ops.ping import Ping


def pinged(command: Callable[[Namespace], int], arguments: Namespace) -> int:
    """Return the exit code of a command, and tell the monitor when it begins and how it ends.

    Raises:
        ConfigError: The URL cannot be used; nothing was done.
    """
    ping = Ping(arguments.ping)
    _note(ping.start(), "that the job began")
    try:
        code = command(arguments)
    except BaseException as error:
        ping.end(exit_code_of(error, table_of(arguments.command)))
        raise
    _note(ping.end(code), "how the job ended")
    return code


def _note(is_heard: bool, what: str) -> None:  # noqa: FBT001 (what it says)
    if not is_heard:
        print_note(f"foundry-rest: the monitor of --ping did not hear {what}.")
