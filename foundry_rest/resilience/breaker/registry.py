"""One breaker for each address, so that a service that moved or restarted starts with a closed circuit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.events import Event
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy
from foundry_rest.resilience.breaker.record import CLOSED, MemoryState

if TYPE_CHECKING:
    from foundry_rest.resilience.interfaces import BreakerState

#: Addresses kept at a time. A port changes at each restart of a service; no client uses 64 at once.
_MOST = 64


class BreakerRegistry:
    """The breakers of a client, one for each address of a service. Thread-safe.

    Args:
        policy: When to open and when to try again, for all of them.
        make_state: Returns the storage of an address's record: by default in memory; ``SqliteBreakers(path)``
            and ``RedisBreakers(client)`` of ``foundry_rest.resilience.breaker.storage`` share it with others.
        emit: Called with every change of state.
    """

    def __init__(
        self,
        policy: BreakerPolicy | None = None,
        make_state: Callable[[str], BreakerState] | None = None,
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._policy = policy or BreakerPolicy()
        self._make_state = make_state or (lambda address: MemoryState())
        self._emit = emit
        self._breakers: dict[str, Breaker] = {}

    def of(self, address: str) -> Breaker:
        """Return the breaker of an address, always the same one while the address is in use."""
        return self._breakers.get(address) or self._add(address)

    def reset(self, address: str) -> None:
        """Close an address's circuit because another process answers there now."""
        self.of(address).close()

    def current(self) -> dict[str, str]:
        """Return the state of every circuit in use: address to ``"closed"``, ``"open"``, ``"half-open"``."""
        return {address: breaker.current for address, breaker in list(self._breakers.items())}

    def _add(self, address: str) -> Breaker:
        """Add a breaker without a lock; when two threads do so at once, both get the first one."""
        made = Breaker(self._policy, self._make_state(address), address, self._emit)
        breaker = self._breakers.setdefault(address, made)
        if len(self._breakers) > _MOST:
            self._drop_one(address)
        return breaker

    def _drop_one(self, kept: str) -> None:
        """Remove the oldest closed circuit, or the oldest one when all are open."""
        others = [address for address in list(self._breakers) if address != kept]
        closed = (address for address in others if self._breakers[address].current == CLOSED)
        self._breakers.pop(next(closed, others[0]), None)
