"""Where is the service: asked in order, every candidate probed before it is believed.

1. the address that was given, 2. ``FOUNDRY_ENDPOINT``, 3. the registry file that ``foundry-rest serve``
writes. An address that was named, in code or in the environment, is taken at its word: falling back to
another service would answer with another model. Nothing is ever started or downloaded here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from foundry_rest import clock
from foundry_rest.config import Timeouts, base_url
from foundry_rest.dialects.detect import detect
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import FoundryError, ServiceNotFound, ServiceUnreachable
from foundry_rest.events import Event, ServiceMoved
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Options, Sender
from foundry_rest.transport.session import SessionTransport

#: Answers whether a Foundry Local service with this pid (``None``: any) answers at an address.
Probe = Callable[[str, "int | None"], bool]

#: Seconds a candidate gets to answer: it is on this machine, or it is not believed.
_PATIENCE = 2.0
_ADVICE = (
    "Start one with: foundry-rest serve --model-dir DIR; or give base_url= (FOUNDRY_ENDPOINT), "
    "or let FoundryAPIClient.embedded(model_dirs=[...]) start one."
)


def discover(named: str | None, probe: Probe, registry: Path | None = None) -> str:
    """Return the base URL of the service.

    Args:
        named: Given address, or that of ``FOUNDRY_ENDPOINT``.
        probe: Asks one candidate.
        registry: Registry file; default the user's own.

    Raises:
        ServiceNotFound: What was looked at and what to run.
    """
    if named is not None:
        return base_url(named)
    looked_at = ["base_url (not given)", "FOUNDRY_ENDPOINT (not set)"]
    for source, url, pid in _candidates(registry, looked_at):
        if probe(url, pid):
            return url
        looked_at.append(f"{source} (stale: nothing of pid {pid} answers at {url})")
    raise ServiceNotFound(
        f"no Foundry Local service was found; looked at {', '.join(looked_at)}",
        advice=_ADVICE,
        call="discover",
    )


def _candidates(registry: Path | None, looked_at: list[str]) -> Iterator[tuple[str, str, int | None]]:
    from foundry_rest.runtime.registry import read, registry_path

    try:
        path = registry or registry_path()
    except OSError as error:
        looked_at.append(f"registry file ({error})")
        return
    entry = read(path)
    if entry is None:
        looked_at.append(f"registry file {path} (none)")
    else:
        yield f"registry file {path}", entry.url, entry.pid


class Service:
    """Know where the service is and which dialect it speaks; found at first use, then remembered.

    A service that was discovered, or is embedded, may come back elsewhere: ``has_moved`` looks for it.
    Two threads that ask at once may both look: no lock is held across I/O, and both find the same.

    Args:
        named: Given address, or ``None`` to discover.
        dialect: Given dialect, or ``None`` to recognise it.
        revive: Starts the embedded runtime again if it died, and returns its address.
        renewed: Told the address at which another process answers now, or none any more.
        emit: Told of every move.
    """

    def __init__(
        self,
        named: str | None,
        dialect: Dialect | None,
        *,
        revive: Callable[[], str] | None = None,
        renewed: Callable[[str], None] = lambda url: None,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._url = base_url(named) if named is not None else None
        self._stays = named is not None and revive is None
        self._dialect = self._given = dialect
        self._revive, self._renewed, self._emit = revive, renewed, emit
        self._last: str | None = None
        self._lost: deque[str] = deque(maxlen=1)
        self._pid: int | None = None

    def locate(self) -> str:
        """Return the base URL.

        Raises:
            ServiceNotFound: None was given and none was discovered.
            ServiceUnreachable: It was there before and is gone.
        """
        url = self._url
        if url is None:
            url = self._find()
            self._arrive(url)
            self._url = url
        return url

    def has_moved(self, url: str) -> bool:
        """Tell whether the service that was lost at ``url`` is found elsewhere now."""
        if self._stays or not url:
            return False
        if self._url == url:
            self._last, self._url = url, None
            self._lost.append(url)
        try:
            return self.locate() != url
        except FoundryError:
            return False

    def seen(self, pid: int | None) -> None:
        """Note which process answers; another one than before has loaded nothing and failed nothing."""
        before, self._pid = self._pid, pid or self._pid
        if before and pid and before != pid:
            self._renew(self._url)

    @property
    def header_limit(self) -> int | None:
        """Return the most bytes of request headers that are sure to pass; 2.x has the least."""
        return NATIVE_HEADER_LIMIT if self._dialect is None else self._dialect.header_limit

    def dialect(self, sender: Sender, options: Options) -> Dialect:
        """Return the dialect; at first use the service is asked, within the bounds of ``options``."""
        if self._dialect is None:
            self._dialect = detect(sender.send, options)
        return self._dialect

    def _arrive(self, url: str) -> None:
        """Tell a move once, whoever finds it: the thread that looked, or a later try."""
        with suppress(IndexError):
            before = self._lost.pop()
            if before != url:
                self._pid = None
                self._renew(before)
                self._emit(ServiceMoved("", url, "", before))

    def _renew(self, url: str | None) -> None:
        self._dialect = self._given
        if url is not None:
            self._renewed(url)

    def _find(self) -> str:
        if self._revive is not None:
            return self._revive()
        try:
            return discover(None, answers)
        except ServiceNotFound as error:
            if self._last is None:
                raise
            # It was there a moment ago, so it may be starting: that is worth another try.
            raise ServiceUnreachable(
                f"the service is gone: {error.message}", sent=False, url=self._last, advice=_ADVICE
            ) from error


def answers(url: str, pid: int | None) -> bool:
    """Tell whether the service with this pid (``None``: any) answers at ``url``."""
    patience = Timeouts(connect=_PATIENCE, first_token=_PATIENCE, idle=_PATIENCE)
    options = Options(patience, clock.monotonic() + _PATIENCE)
    transport = SessionTransport(lambda: url, pool_size=1)
    try:
        status = detect(transport.send, options).status(options)
        return pid in (None, status.parse(transport.send(status.call)).pid)
    except FoundryError:
        return False
    finally:
        transport.close()
