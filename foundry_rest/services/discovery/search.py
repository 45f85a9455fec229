"""The search for the service, in the order of its sources, and the error when it finds nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import msgspec

from foundry_rest import clock
from foundry_rest.config import base_url
from foundry_rest.dialects.detect import detect
from foundry_rest.dialects.operation import UNKNOWN, Dialect
from foundry_rest.errors import FoundryError, ServiceNotFound
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.services.discovery.autostart import AUTOSTART, Autostart, started
from foundry_rest.services.discovery.candidates import Candidate, from_answer, from_daemon_file, from_registry
from foundry_rest.services.discovery.command_output import STATUS, Output, word_known
from foundry_rest.services.discovery.port_holder import Holder, look_up
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.target import Found, Target
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.session.transport import SessionTransport

#: Returns a true value if a Foundry Local service with this pid (``None``: any) answers at an address.
Probe = Callable[[str, "int | None"], object]
#: Returns why an address where a service answers must not be used, given the pid of who must hold its port.
Refuse = Callable[[str, "int | None"], str]

#: Longest time in seconds for a candidate to answer; all of them are on this machine.
_PATIENCE = 2.0
#: What to do where no service is found.
START_ONE = Advice(
    Words(
        "Start one with: foundry-rest serve --model-dir DIR; or give base_url= (FOUNDRY_ENDPOINT), "
        "or let FoundryAPIClient.embedded(model_dirs=[...]) start one.",
        "Start one with: foundry-rest serve --model-dir DIR; or give --url (FOUNDRY_ENDPOINT).",
    )
)


def discover(
    named: str | None,
    probe: Probe,
    registry: Path | None = None,
    *,
    foundry: Foundry | None = None,
    auto_start: bool = False,
    once: Autostart = AUTOSTART,
    refuse: Refuse = lambda url, pid: "",
) -> str:
    """Return the base URL of the service.

    Args:
        named: Given address, or that of ``FOUNDRY_ENDPOINT``.
        probe: Probes one candidate.
        registry: Registry file; default the user's own.
        foundry: Runner of the ``foundry`` command.
        auto_start: Whether the ``foundry`` command starts the service if none is found.
        once: Record of that start.
        refuse: Looks who holds the port of an address that answered.

    Raises:
        ServiceNotFound: No source led to a service; the error lists them and advises what to run.
        Cancelled, DeadlineExceeded: The limits of ``foundry`` were reached.
    """
    if named is not None:
        return base_url(named)
    looked_at: list[str] = [
        Advice(Words("base_url (not given)", "--url (not given)")),
        "FOUNDRY_ENDPOINT (not set)",
    ]
    notes: dict[str, str] = {}
    command = FoundryCommand(foundry or Foundry())
    with closing(_candidates(registry, command, once if auto_start else None)) as candidates:
        for candidate in candidates:
            notes[candidate.source] = candidate.note
            for url in candidate.urls:
                if probe(url, candidate.pid):
                    refusal = refuse(url, candidate.pid or candidate.holder)
                    if not refusal:
                        return url
                    notes[candidate.source] = f"{url} is not used: {refusal}"
    looked_at += [f"{source} ({note})" for source, note in notes.items()]
    raise ServiceNotFound(
        "no Foundry Local service was found",
        places=tuple(looked_at),
        advice=_advice(command.word, auto_start=auto_start),
        call="discover",
    )


def look(options: Options, closing: CancelToken, *, auto_start: bool) -> Found:
    """Return the service that is found on this machine.

    Args:
        options: Options of the call that needs the service; they limit the search.
        closing: Token that ends the search, as the call's own token does.
        auto_start: Whether the ``foundry`` command starts the service if none is found.

    Raises:
        ServiceNotFound: No source led to a service; the error lists them and advises what to run.
        Cancelled, DeadlineExceeded: The call was cancelled, or its deadline passed, meanwhile.
    """
    foundry = Foundry(options.until, options.tokens(closing))
    dialects: dict[str, Dialect] = {}

    def probe(url: str, pid: int | None) -> bool:
        dialect = answers(url, pid, options)
        if dialect is None:
            foundry.check()
            return False
        dialects[url] = dialect
        return True

    holders: dict[str, Holder] = {}

    def refuse(url: str, pid: int | None) -> str:
        holders[url] = look_up(url, pid)
        return holders[url].refusal

    url = discover(None, probe, foundry=foundry, auto_start=auto_start, refuse=refuse)
    return Found(url, dialects.get(url, UNKNOWN), is_known=url in holders and holders[url].is_known)


def answers(url: str, pid: int | None, bounds: Options | None = None) -> Dialect | None:
    """Return the dialect of the service with this pid (``None``: any); ``None`` if it is silent for 2 s."""
    timeouts = Timeouts(connect=_PATIENCE, first_token=_PATIENCE, idle=_PATIENCE)
    bounds = bounds or Options()
    until = min(bounds.until, clock.monotonic() + _PATIENCE)
    options = Options(timeouts, until, cancel=bounds.cancel)
    transport, target = SessionTransport(pool_size=1), Target(url)
    try:
        found = detect(lambda call: transport.send(call, target), options)
    except FoundryError:
        return None
    finally:
        transport.close()
    reported = None if found.status is None else found.status.pid
    return found.dialect if pid in (None, reported) else None


class FoundryCommand(msgspec.Struct):
    """The ``foundry`` command as a source of candidates, with its outputs by subcommand."""

    foundry: Foundry
    outputs: dict[str, Output] = msgspec.field(default_factory=dict)

    @property
    def word(self) -> str | None:
        """Return the subcommand that its version knows; ``None`` for none yet."""
        return word_known(self.outputs)

    def candidates(self, once: Autostart | None) -> Generator[Candidate, None, None]:
        """Yield the addresses that it prints, then, given ``once``, those after it started the service."""
        path = self.foundry.find()
        if path is None:
            yield Candidate("foundry command", "not on PATH")
            return
        for word, arguments in STATUS.items():
            self.outputs[word] = self.foundry.ask(path, arguments)
            yield from_answer(arguments, self.outputs[word])
        if once is not None and self.word is not None:
            yield from started(self.foundry, path, self.word, once)


def _candidates(
    registry: Path | None, command: FoundryCommand, once: Autostart | None
) -> Generator[Candidate, None, None]:
    yield from from_registry(registry)
    yield from_daemon_file()
    yield from command.candidates(once)


def _advice(word: str | None, *, auto_start: bool) -> Advice:
    if word is None:
        return START_ONE
    run = f"Run: foundry {word} start"
    if auto_start:
        return Advice(f"{run}.", START_ONE)
    return Advice(
        Words(f"{run}, or give auto_start=True, which does it.", f"{run}, or give --start, which does it."),
        START_ONE,
    )
