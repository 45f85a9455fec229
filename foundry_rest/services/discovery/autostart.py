"""Starting the service with the ``foundry`` command: on request, once per process, within a time limit."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack

from foundry_rest import clock
from foundry_rest.services.discovery.candidates import Candidate
from foundry_rest.services.discovery.command_output import STATUS, Output, addresses, in_short
from foundry_rest.services.discovery.process import PATIENCE, Foundry

#: Seconds from the start until the service must answer. It may need far more than 1 s
#: (docs/reference/service.md, section 3); 30 s are enough for a slow machine.
START_PATIENCE = 30.0
#: Seconds between two queries for its address.
_POLL = 0.25


class Autostart:
    """The record that this process has started the service; a second start may leave it unresponsive."""

    def __init__(self) -> None:
        self._begun: dict[str, list[float]] = {}

    def begin(self) -> tuple[bool, float]:
        """Return whether the caller is the first, and the monotonic time until which the service may take."""
        mine = [clock.monotonic() + START_PATIENCE]
        # One atomic dict operation instead of a lock, which a fork could leave locked.
        first = self._begun.setdefault("", mine)
        return first is mine, first[0]


#: The record of this process. It outlives a client, because the service does, too.
AUTOSTART = Autostart()


def started(foundry: Foundry, path: str, word: str, once: Autostart) -> Generator[Candidate, None, None]:
    """Start the service unless this process has; yield its possible addresses until the time limit.

    Args:
        foundry: Runner of the command.
        path: Path of the command.
        word: Subcommand of its version: ``"server"`` or ``"service"``.
        once: Record of the start.
    """
    source, (is_first, until) = f"foundry {word} start", once.begin()
    if clock.monotonic() >= until:
        yield Candidate(source, "done once by this process, and not repeated")
    with ExitStack() as undo:
        output: Callable[[], Output] = Output
        if is_first:
            try:
                command = foundry.start(path, (word, "start"))
            except OSError as error:
                yield Candidate(source, f"cannot be run: {error}")
                return
            undo.callback(command.discard_output)
            output = command.output
        while (left := until - clock.monotonic()) > 0:
            status = foundry.ask(path, STATUS[word], min(left, PATIENCE))
            printed = output()
            urls = addresses(printed.stdout, status.stdout, status.stderr)
            yield Candidate(
                source, f"no service answered within {START_PATIENCE:g} s; {in_short(printed)}", urls
            )
            foundry.pause(_POLL)
