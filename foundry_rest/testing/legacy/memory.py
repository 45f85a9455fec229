"""Which models are in memory, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Stay:
    ttl: int | None
    since: float


class Memory:
    """Keep models until their time to live is over; counted from their last use.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stays: dict[str, _Stay] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids in memory now, in the order of their loading."""
        now = self._clock()
        over = [id for id, stay in self._stays.items() if stay.ttl and now - stay.since >= stay.ttl]
        for id in over:
            del self._stays[id]
        return tuple(self._stays)

    def load(self, id: str, ttl: int | None) -> None:
        """Load a model, or use it; ``ttl`` in seconds, ``None`` for ever."""
        self._stays[id] = _Stay(ttl, self._clock())

    def use(self, id: str, ttl: int = 0) -> bool:
        """Tell whether a model is in memory; if so its time begins anew, with another length if given."""
        if id not in self.ids:
            return False
        self.load(id, ttl or self._stays[id].ttl)
        return True

    def unload(self, id: str, *, force: bool) -> None:
        """Drop a model; without ``force`` one with a time to live stays until that is over."""
        stay = self._stays.get(id)
        if stay is not None and (force or stay.ttl is None):
            del self._stays[id]

    def expire(self) -> None:
        """Drop every model that has a time to live."""
        self._stays = {id: stay for id, stay in self._stays.items() if stay.ttl is None}

    def clear(self) -> None:
        """Drop every model."""
        self._stays.clear()
