"""Target: one address, and what was learnt of the process that answers there."""

from __future__ import annotations

from typing import Protocol, TypeVar

from msgspec.structs import replace

from foundry_rest.dialects.operation import UNKNOWN, Dialect
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.schema import ModelInfo, ServiceStatus
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT


class _Named(Protocol):
    """A checked request that names a model: ``model`` as the caller gave it, ``id`` as it is asked for."""

    @property
    def model(self) -> str: ...

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Named)


class LearnedNames:
    """A memory of which model a name was seen to mean."""

    def __init__(self) -> None:
        self._known: dict[str, ModelInfo] = {}

    def learn(self, name: str, info: ModelInfo) -> None:
        """Remember that ``name`` means this model, as does its id.

        Its alias does so only when that was asked for: else it may mean another variant.
        """
        self._known[name] = self._known[info.id] = info
        if name.casefold() == info.alias.casefold():
            self._known[info.alias] = info

    def means(self, name: str, info: ModelInfo) -> bool:
        """Tell whether ``name`` was learnt to mean this model, or says so itself."""
        return self.id_of(name) == info.id or info.has_name(name)

    def get(self, name: str) -> ModelInfo | None:
        """Return the model that ``name`` was seen to mean."""
        return self._known.get(name)

    def id_of(self, name: str) -> str:
        """Return the exact id for ``name``, or ``name`` while it is unknown."""
        info = self._known.get(name)
        return info.id if info else name


class Target:
    """One address, and what was learnt of the process that answers there.

    A process that is replaced gets a target of its own, so nothing learnt outlives it; calls under way keep
    the one they began with.

    Attributes:
        url: Base URL.
        breaker: The circuit of the address, or ``None``.
        dialect: How the service spells things; ``UNKNOWN`` until it was asked.
        names: Model names that were learnt.
        pid: The process, once it told.
        cache_path: The model directory that the service told, ``""`` until then.
    """

    def __init__(self, url: str, breaker: Breaker | None = None, dialect: Dialect = UNKNOWN) -> None:
        self.url = url
        self.breaker = breaker
        self.dialect = dialect
        self.names = LearnedNames()
        self.pid: int | None = None
        self.cache_path = ""

    @property
    def header_limit(self) -> int | None:
        """Return the most bytes of request headers that are sure to pass; 2.x bears the least."""
        return NATIVE_HEADER_LIMIT if self.dialect is UNKNOWN else self.dialect.header_limit

    @property
    def guards_unload(self) -> bool:
        """Tell whether the service itself keeps a model in memory on which an answer runs."""
        return self.dialect.guards_unload

    def named(self, request: R) -> R:
        """Return a request that asks for the model by the id that was learnt for its name."""
        info = self.names.get(request.model)
        return request if info is None else replace(request, id=info.id)  # type: ignore[type-var]

    def must_prepare(self, name: str) -> bool:
        """Tell whether it has to be found out what a name means before it can be asked for."""
        if self.dialect is UNKNOWN:
            return True
        return self.dialect.asks_by_id and ":" not in name and self.names.get(name) is None

    def learn(self, dialect: Dialect, status: ServiceStatus | None) -> None:
        """Remember how the service speaks and what its status told."""
        if self.dialect is UNKNOWN:
            self.dialect = dialect
        if status is not None:
            self.cache_path, self.pid = status.cache_path, status.pid or self.pid
