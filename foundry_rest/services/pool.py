"""TargetPool: the targets that a client may ask; one, today."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from foundry_rest.config import base_url
from foundry_rest.dialects.operation import UNKNOWN, Dialect
from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    ServiceNotFound,
    ServiceUnreachable,
)
from foundry_rest.events import Event, ServiceMoved
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.services.target import Target
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.single_flight import SingleFlight

#: Finds the service within a call's bounds: its base URL, and its dialect if that was seen.
Find = Callable[[Options], tuple[str, Dialect]]


class TargetPool:
    """The targets of a client: one, found at first use, then remembered.

    A service that was discovered, or is embedded, may come back elsewhere: ``has_moved`` looks for it.
    Of the threads that ask at once one looks, and all take what it found: a look may start processes.

    Args:
        named: Given address, or ``None`` to have it found.
        find: Finds the service; for an embedded one it starts the runtime again if that died.
        dialect: Given dialect; ``UNKNOWN`` to recognise it.
        may_move: Whether a named service may come back elsewhere, as an embedded one does.
        breakers: The circuits of all addresses, or ``None``.
        emit: Told of every move.
        closing: Ends a look that is under way.

    Attributes:
        current: The target to ask; ``None`` before the first look, and after a loss.
        last: The target that was lost last; ``None`` while none was.
    """

    def __init__(
        self,
        named: str | None,
        find: Find,
        *,
        dialect: Dialect = UNKNOWN,
        may_move: bool = False,
        breakers: BreakerRegistry | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        closing: CancelToken | None = None,
    ) -> None:
        self._find, self._given, self._breakers, self._emit = find, dialect, breakers, emit
        self._stays = named is not None and not may_move
        self._looks = SingleFlight(closing)
        self._lost: deque[Target] = deque(maxlen=1)
        self.last: Target | None = None
        self.current: Target | None = None if named is None else self._make(base_url(named))

    def take(self, options: Options | None = None) -> Target:
        """Return the target to ask; a look for it keeps to the bounds of ``options``.

        Raises:
            DeadlineExceeded, Cancelled: The call's time was over, or the call ended, before it was found.
            ServiceNotFound: None was given and none was discovered.
            ServiceUnreachable: It was there before and is gone.
        """
        target = self.current
        return self._look(options or Options()) if target is None else target

    def has_moved(self, url: str, options: Options | None = None) -> bool:
        """Tell whether the service that was lost at ``url`` is found elsewhere now.

        Raises:
            DeadlineExceeded, Cancelled: The call's time was over, or the call ended, meanwhile.
        """
        if self._stays or not url:
            return False
        target = self.current
        if target is not None and target.url == url:
            self.last, self.current = target, None
            self._lost.append(target)
        try:
            return self.take(options).url != url
        except (Cancelled, DeadlineExceeded):
            raise
        except FoundryError:
            return False

    def note_pid(self, pid: int | None) -> None:
        """Note which process answers; another one than before has loaded nothing and failed nothing."""
        target = self.current
        if target is None or not pid:
            return
        if target.pid not in (None, pid):
            self.current = target = self._make(target.url)
            self._reset(target.url)
        target.pid = pid

    def _look(self, options: Options) -> Target:
        found = self._looks.run("look", options, lambda: self._arrive(options), "looks for the service")
        if not isinstance(found, ServiceNotFound):
            return found
        if self.last is None:
            raise copy.copy(found)  # each call adds its own attempts to its error
        # It was there a moment ago, so it may be starting: that is worth another try.
        raise ServiceUnreachable(
            f"the service is gone: {found.message}", sent=False, url=self.last.url, advice=found.advice
        ) from found

    def _arrive(self, options: Options) -> Target | ServiceNotFound:
        """Return where the service is; the failure is returned, too: whoever waited would look again.

        A look that ends with its own call's time tells the others nothing: the next one looks.
        """
        if self.current is not None:  # somebody was faster
            return self.current
        try:
            url, dialect = self._find(options)
        except ServiceNotFound as error:
            return error
        self.current = target = self._back_at(url) or self._make(url, dialect)
        return target

    def _back_at(self, url: str) -> Target | None:
        """Return the target that was lost if it is there again; else tell that it moved."""
        with suppress(IndexError):
            lost = self._lost.pop()
            if lost.url == url:
                return lost
            self._reset(lost.url)
            self._emit(ServiceMoved(url, lost.url))
        return None

    def _make(self, url: str, dialect: Dialect = UNKNOWN) -> Target:
        breaker = None if self._breakers is None else self._breakers.of(url)
        return Target(url, breaker, dialect if self._given is UNKNOWN else self._given)

    def _reset(self, url: str) -> None:
        if self._breakers is not None:
            self._breakers.reset(url)
