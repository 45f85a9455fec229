"""Which models are in memory, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _LoadedModel:
    """One model in memory: its time to live (``None`` for ever) and its last use, in seconds."""

    ttl: int | None
    used_at: float


class LoadedModels:
    """The models in memory, each until its time to live is over, counted from its last use.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models: dict[str, _LoadedModel] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids in memory now, in the order of their loading."""
        now = self._clock()
        expired = [id for id, model in self._models.items() if model.ttl and now - model.used_at >= model.ttl]
        for id in expired:
            del self._models[id]
        return tuple(self._models)

    def load(self, id: str, ttl: int | None) -> None:
        """Load a model, or use it; ``ttl`` in seconds, ``None`` for ever."""
        self._models[id] = _LoadedModel(ttl, self._clock())

    def use(self, id: str, ttl: int = 0) -> bool:
        """Return whether a model is in memory, and restart its time to live if it is.

        ``ttl`` replaces the time to live when it is not 0; seconds.
        """
        if id not in self.ids:
            return False
        self.load(id, ttl or self._models[id].ttl)
        return True

    def unload(self, id: str, *, force: bool) -> None:
        """Drop a model; without ``force`` one with a time to live stays until that is over."""
        model = self._models.get(id)
        if model is not None and (force or model.ttl is None):
            del self._models[id]

    def expire(self) -> None:
        """Drop every model that has a time to live."""
        self._models = {id: model for id, model in self._models.items() if model.ttl is None}

    def clear(self) -> None:
        """Drop every model."""
        self._models.clear()
