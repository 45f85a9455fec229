"""Telling the ``foundry`` command to start the service: on request, once per process, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack

from foundry_rest import clock
from foundry_rest.services.discovery.candidates import Candidate
from foundry_rest.services.discovery.command_output import STATUS, Output, addresses, in_short
from foundry_rest.services.discovery.process import PATIENCE, Foundry

#: Seconds from the start until the service must answer: 1 s is too short by far, 30 is what it takes on
#: a slow machine (issue 337).
START_PATIENCE = 30.0
#: Seconds between two rounds of asking where it is.
_POLL = 0.25


class Autostart:
    """Remember that this process has started the service; a second start may leave it mute (issue 1037)."""

    def __init__(self) -> None:
        self._begun: dict[str, list[float]] = {}

    def begin(self) -> tuple[bool, float]:
        """Tell whether the caller is the first, and until when what was started may take to answer."""
        mine = [clock.monotonic() + START_PATIENCE]
        # One step on a dict in place of a lock, which a fork could leave held.
        first = self._begun.setdefault("", mine)
        return first is mine, first[0]


#: This process's own; the only state here that outlives a client, for so does the service.
AUTOSTART = Autostart()


def started(foundry: Foundry, path: str, word: str, once: Autostart) -> Generator[Candidate, None, None]:
    """Start the service unless this process has; yield where it may be, until its time is over.

    Args:
        foundry: Runs the command.
        path: The command.
        word: The word of its version for the service.
        once: Remembers the start.
    """
    source, (is_first, until) = f"foundry {word} start", once.begin()
    if clock.monotonic() >= until:
        yield Candidate(source, "done once by this process, and not repeated")
    with ExitStack() as undo:
        said: Callable[[], Output] = Output
        if is_first:
            try:
                begun = foundry.start(path, (word, "start"))
            except OSError as error:
                yield Candidate(source, f"cannot be run: {error}")
                return
            undo.callback(begun.forget)
            said = begun.said
        while (left := until - clock.monotonic()) > 0:
            status = foundry.ask(path, STATUS[word], min(left, PATIENCE))
            words = said()
            urls = addresses(words.stdout, status.stdout, status.stderr)
            yield Candidate(
                source, f"no service answered within {START_PATIENCE:g} s; {in_short(words)}", urls
            )
            foundry.pause(_POLL)
