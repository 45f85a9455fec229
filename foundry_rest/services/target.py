"""Where the service is, for as long as a client lives."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from foundry_rest.config import base_url
from foundry_rest.dialects.detect import detect
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    ServiceNotFound,
    ServiceUnreachable,
)
from foundry_rest.events import Event, ServiceMoved
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, CancelToken, Options, Sender
from foundry_rest.transport.single_flight import SingleFlight


class Service:
    """Know where the service is and which dialect it speaks; found at first use, then remembered.

    A service that was discovered, or is embedded, may come back elsewhere: ``has_moved`` looks for it.
    Of the threads that ask at once one looks, and all take what it found: a look may start processes.

    Args:
        named: Given address, or ``None`` to discover.
        dialect: Given dialect, or ``None`` to recognise it.
        auto_start: Have the ``foundry`` command start a service that is nowhere, once per process.
        revive: Starts the embedded runtime again if it died, and returns its address.
        renewed: Told the address at which another process answers now, or none any more.
        emit: Told of every move.
        closing: Ends a look that is under way.
    """

    def __init__(
        self,
        named: str | None,
        dialect: Dialect | None,
        *,
        auto_start: bool = False,
        revive: Callable[[], str] | None = None,
        renewed: Callable[[str], None] = lambda url: None,
        emit: Callable[[Event], None] = lambda event: None,
        closing: CancelToken | None = None,
    ) -> None:
        self._url = base_url(named) if named is not None else None
        self._stays = named is not None and revive is None
        self._dialect = self._given = dialect
        self._revive, self._renewed, self._emit = revive, renewed, emit
        self._auto_start, self._closing, self._looks = auto_start, closing, SingleFlight(closing)
        self._last: str | None = None
        self._lost: deque[str] = deque(maxlen=1)
        self._pid: int | None = None

    def locate(self, options: Options | None = None) -> str:
        """Return the base URL; a look for it keeps to the bounds of ``options``.

        Raises:
            DeadlineExceeded, Cancelled: The call's time was over, or the call ended, before it was found.
            ServiceNotFound: None was given and none was discovered.
            ServiceUnreachable: It was there before and is gone.
        """
        url = self._url
        if url is None:
            url = self._find(options or Options())
            self._arrive(url)
            self._url = url
        return url

    def has_moved(self, url: str, options: Options | None = None) -> bool:
        """Tell whether the service that was lost at ``url`` is found elsewhere now.

        Raises:
            DeadlineExceeded, Cancelled: The call's time was over, or the call ended, meanwhile.
        """
        if self._stays or not url:
            return False
        if self._url == url:
            self._last, self._url = url, None
            self._lost.append(url)
        try:
            return self.locate(options) != url
        except (Cancelled, DeadlineExceeded):
            raise
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
            self.locate(options)
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

    def _find(self, options: Options) -> str:
        if self._revive is not None:
            return self._revive()
        found = self._looks.run("look", options, lambda: self._look(options), "looks for the service")
        if not isinstance(found, ServiceNotFound):
            return found
        if self._last is None:
            raise copy.copy(found)  # each call adds its own attempts to its error
        # It was there a moment ago, so it may be starting: that is worth another try.
        raise ServiceUnreachable(
            f"the service is gone: {found.message}", sent=False, url=self._last, advice=found.advice
        ) from found

    def _look(self, options: Options) -> str | ServiceNotFound:
        """Return the failure too: whoever waited would look again, one after the other.

        A look that ends with its own call's time tells the others nothing: the next one looks.
        """
        from foundry_rest.services.discovery.process import Foundry
        from foundry_rest.services.discovery.search import answers, discover

        foundry = Foundry(options.until, (self._closing, options.cancel))

        def probe(url: str, pid: int | None) -> bool:
            is_there = answers(url, pid, options)
            if not is_there:
                foundry.check()
            return is_there

        try:
            return discover(None, probe, foundry=foundry, auto_start=self._auto_start)
        except ServiceNotFound as error:
            return error
