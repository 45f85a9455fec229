"""Target: one address, and what is known about the process that answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from foundry_rest.dialects.operation import UNKNOWN, Dialect
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.schema import ServiceStatus
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT

if TYPE_CHECKING:
    from foundry_rest.schema import ModelInfo
    from foundry_rest.services.interfaces import ModelRequest

    R = TypeVar("R", bound=ModelRequest)  # at run time its bound would cost 30 us


class LearnedNames:
    """The models that names were found to mean."""

    def __init__(self) -> None:
        self._known: dict[str, ModelInfo] = {}

    def learn(self, name: str, info: ModelInfo) -> None:
        """Record that ``name`` and the model's id mean this model.

        Its alias is recorded only when it was the name: else it may mean another variant.
        """
        self._known[name] = self._known[info.id] = info
        if name.casefold() == info.alias.casefold():
            self._known[info.alias] = info

    def forget(self, id_: str) -> None:
        """Forget a model that was removed, by all its names."""
        for name in [name for name, info in self._known.items() if info.id == id_]:
            self._known.pop(name, None)

    def means(self, name: str, info: ModelInfo) -> bool:
        """Return whether ``name`` was learned to mean this model, or is one of its names."""
        return self.id_of(name) == info.id or info.has_name(name)

    def get(self, name: str) -> ModelInfo | None:
        """Return the model that ``name`` means; ``None`` while it is unknown."""
        return self._known.get(name)

    def id_of(self, name: str) -> str:
        """Return the exact id of ``name``; ``name`` itself while it is unknown."""
        info = self._known.get(name)
        return info.id if info else name


class Found(msgspec.Struct, frozen=True):
    """A service that was found: its base URL, its dialect, and whether its process is this user's."""

    url: str
    dialect: Dialect = UNKNOWN
    is_known: bool = True


class Target:
    """One address, and what is known about the process that answers there.

    A new process at the address gets a new target, so nothing known outlives its process; calls in progress
    keep the target they began with.

    Attributes:
        url: Base URL.
        breaker: The circuit of the address, or ``None``.
        dialect: Dialect of the service; ``UNKNOWN`` until it is detected.
        names: Model names that were learned.
        pid: Id of the process; ``None`` until it is reported.
        cache_path: Model directory; ``""`` until it is reported.
        is_known: It was named, or its process is this user's; else it gets no key of the environment.
        identity: Name of who answers there that is the same after a restart; ``""`` while it is unknown.
        refuses_unknown_response: The service has refused an unknown ``previous_response_id``.
    """

    def __init__(self, url: str, breaker: Breaker | None = None, dialect: Dialect = UNKNOWN) -> None:
        self.url = url
        self.breaker = breaker
        self.dialect = dialect
        self.names = LearnedNames()
        self.pid: int | None = None
        self.cache_path = ""
        self.is_known = True
        self.identity = ""
        self.refuses_unknown_response = False
        self._enforces_schema: bool | UnsetType | None = UNSET

    @property
    def enforces_schema(self) -> bool | None:
        """Return whether the service enforces ``response_format``, as far as known, else ``None``."""
        shown = self._enforces_schema
        return self.dialect.enforces_schema if isinstance(shown, UnsetType) else shown

    @enforces_schema.setter
    def enforces_schema(self, shown: bool | None) -> None:
        """Record what an answer or a refusal has shown."""
        self._enforces_schema = shown

    @property
    def header_limit(self) -> int | None:
        """Return the most bytes of request headers; for an unknown service the limit of 2.x, the lowest."""
        return NATIVE_HEADER_LIMIT if self.dialect is UNKNOWN else self.dialect.header_limit

    @property
    def guards_unload(self) -> bool:
        """Return whether the service itself refuses to unload a model in use."""
        return self.dialect.guards_unload

    def named(self, request: R) -> R:
        """Return the request with the id that was learned for its model's name."""
        info = self.names.get(request.model)
        return request if info is None else replace(request, id=info.id)  # type: ignore[type-var]

    def must_prepare(self, name: str) -> bool:
        """Return whether a name has to be resolved before it can be used in a request."""
        if self.dialect is UNKNOWN:
            return True
        return self.dialect.asks_by_id and ":" not in name and self.names.get(name) is None

    def learn(self, dialect: Dialect, status: ServiceStatus | None) -> None:
        """Record the detected dialect and the reported status."""
        if self.dialect is UNKNOWN:
            self.dialect = dialect
        if status is not None:
            self.cache_path, self.pid = status.cache_path, status.pid or self.pid
