"""A survey of the places of discovery: what each names, and what answers there.

Where the search ends with the first service that answers, this looks at every place. It starts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import msgspec

from foundry_rest.services.discovery.candidates import (
    Candidate,
    from_answer,
    from_daemon_file,
    from_registry,
)
from foundry_rest.services.discovery.command_output import STATUS
from foundry_rest.services.discovery.port_holder import look_up
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.discovery.search import answers
from foundry_rest.transport.call import Options


class Place(msgspec.Struct, frozen=True):
    """One address that a place of discovery names, and what was found there.

    Attributes:
        source: Name of the place.
        note: Why it does not help, if it does not.
        url: The address; ``""`` if it names none.
        pid: Id of the process that it names; ``None`` for none.
        generation: Generation of the service that answers there; ``""`` if none does, or none was asked.
        refusal: Why the address must not be used although a service answers.
        is_known: The port is held by a process of this user.
        is_late: The place did not tell in time what it names.
    """

    source: str
    note: str
    url: str = ""
    pid: int | None = None
    generation: str = ""
    refusal: str = ""
    is_known: bool = False
    is_late: bool = False

    @property
    def is_usable(self) -> bool:
        """Return whether a client that is given no address may use this one."""
        return bool(self.generation) and not self.refusal


def _from_command(word: str, foundry: Foundry) -> Iterator[Candidate]:
    path = foundry.find()
    if path is not None:
        yield from_answer(STATUS[word], foundry.ask(path, STATUS[word]))


#: The ``foundry`` command with each subcommand that one of its versions knows; each run takes a second.
COMMANDS = {f"foundry {word}": partial(_from_command, word) for word in STATUS}
#: The places in the order of discovery, each with what reads its candidates.
SOURCES: dict[str, Callable[[Foundry], Iterable[Candidate]]] = {
    "registry": lambda _: from_registry(None),
    "daemon_file": lambda _: [from_daemon_file()],
    **COMMANDS,
}


def looks(candidate: Candidate, options: Options) -> list[Callable[[], Place]]:
    """Return what looks at each address of a candidate; they may run at the same time.

    Args:
        candidate: What a place names.
        options: Bounds of the looks.
    """
    if not candidate.urls:
        return [partial(Place, candidate.source, candidate.note)]
    return [partial(_look, candidate, url, options) for url in candidate.urls]


def unasked(candidate: Candidate) -> list[Place]:
    """Return the places of a candidate without asking who answers there."""
    pid = candidate.pid or candidate.holder
    return [Place(candidate.source, candidate.note, url, pid) for url in candidate.urls or ("",)]


def _look(candidate: Candidate, url: str, options: Options) -> Place:
    pid = candidate.pid or candidate.holder
    dialect = answers(url, candidate.pid, options)
    if dialect is None:
        return Place(candidate.source, candidate.note, url, pid)
    holder = look_up(url, pid)
    return Place(
        candidate.source, candidate.note, url, pid, dialect.generation, holder.refusal, holder.is_known
    )
