"""TargetPool: the targets of a client; at present one."""

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
from foundry_rest.services.target import Found, Target
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.single_flight import SingleFlight

#: Finds the service within the limits of a call.
Find = Callable[[Options], Found]


class TargetPool:
    """The targets of a client: one, which is found at the first use and then kept.

    A service that was discovered or is embedded may return at another address: ``has_moved`` searches for it.
    Threads that need the service at the same time share one search, because a search may start processes.

    Args:
        named: Given address; ``None`` to discover the service.
        find: Finds the service; an embedded runtime that has died is started again.
        dialect: Given dialect; ``UNKNOWN`` to detect it.
        is_embedded: Whether the given address is that of an embedded service, which moves when it is started
            again.
        breakers: The circuits of all addresses, or ``None``.
        emit: Function that receives an event for every move.
        closing: Token that ends a search in progress.

    Attributes:
        current: The known target; ``None`` before the first search and after a loss.
        last: The target that was lost last; ``None`` if none was.
        is_embedded: As given.
    """

    def __init__(
        self,
        named: str | None,
        find: Find,
        *,
        dialect: Dialect = UNKNOWN,
        is_embedded: bool = False,
        breakers: BreakerRegistry | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        closing: CancelToken | None = None,
    ) -> None:
        self._find, self._given, self._breakers, self._emit = find, dialect, breakers, emit
        self._is_named = named is not None
        self.is_embedded = is_embedded
        self._is_fixed = self._is_named and not is_embedded
        self._searches = SingleFlight(closing)
        self._lost: deque[Target] = deque(maxlen=1)
        self.last: Target | None = None
        self.current: Target | None = None if named is None else self._make(base_url(named))

    @property
    def limits_calls(self) -> bool:
        """Return whether the service is known to bound its concurrent calls by itself."""
        target = self.current or self.last
        return target is not None and target.dialect.limits_calls

    def take(self, options: Options | None = None) -> Target:
        """Return the target for a request; search for it within the limits of ``options`` if it is unknown.

        Raises:
            DeadlineExceeded, Cancelled: The deadline passed, or the call was cancelled, before it was found.
            ServiceNotFound: No address was given and no service was discovered.
            ServiceUnreachable: The service was found earlier and is gone.
        """
        target = self.current
        return self._search(options or Options()) if target is None else target

    def has_moved(self, url: str, options: Options | None = None) -> bool:
        """Return whether the service that was lost at ``url`` is found at another address now.

        Raises:
            DeadlineExceeded, Cancelled: The deadline passed, or the call was cancelled, meanwhile.
        """
        if self._is_fixed or not url:
            return False
        self.miss(url)
        try:
            return self.take(options).url != url
        except (Cancelled, DeadlineExceeded):
            raise
        except FoundryError:
            return False

    def miss(self, url: str) -> None:
        """Search again before the next request: the service at ``url`` broke a connection and may be gone.

        What is known of it is kept for the case that it is found where it was.
        """
        target = self.current
        if not self._is_fixed and target is not None and target.url == url:
            self.last, self.current = target, None
            self._lost.append(target)

    def note_pid(self, pid: int | None) -> None:
        """Record the pid of the service; a new process gets a new target and a closed circuit."""
        target = self.current
        if target is None or not pid:
            return
        if target.pid not in (None, pid):
            # Nobody has looked who took the port of a service that was only found: no key goes there unasked.
            self.current = target = self._make(target.url)
            target.is_known = self._is_named
            self._reset(target.url)
        target.pid = pid

    def _search(self, options: Options) -> Target:
        found = self._searches.run(
            "look", options, lambda: self._find_target(options), "looks for the service"
        )
        if not isinstance(found, ServiceNotFound):
            return found
        if self.last is None:
            raise copy.copy(found)  # a copy, because each call adds its own attempts to its error
        # It was there a moment ago, so it may be restarting: ServiceUnreachable is retried.
        raise ServiceUnreachable(
            f"the service is gone: {found.args[0]}",
            sent=False,
            url=self.last.url,
            advice=found.advice,
            places=found.places,
        ) from found

    def _find_target(self, options: Options) -> Target | ServiceNotFound:
        """Find the service; return even the failure, because waiting threads would repeat the search.

        A search that ends because its own call has no time left raises: the next thread searches again.
        """
        if self.current is not None:  # another thread was faster
            return self.current
        try:
            found = self._find(options)
        except ServiceNotFound as error:
            return error
        target = self._restore(found.url) or self._make(found.url, found.dialect)
        target.is_known = found.is_known
        self.current = target
        return target

    def _restore(self, url: str) -> Target | None:
        """Return the lost target if it is at ``url`` again; else emit that it has moved."""
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
