"""Target: one address, and what was learnt of the process that answers there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec.structs import replace

from foundry_rest.dialects.operation import UNKNOWN, Dialect
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.schema import ServiceStatus
from foundry_rest.services.learned_names import LearnedNames
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT


class _Named(Protocol):
    """A checked request that names a model: ``model`` as the caller gave it, ``id`` as it is asked for."""

    @property
    def model(self) -> str: ...

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Named)


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

    def named(self, request: R) -> R:
        """Return a request that asks for the model by the id that was learnt for its name."""
        id_ = self.names.id_of(request.model)
        return request if id_ == request.id else replace(request, id=id_)  # type: ignore[type-var]

    def learn(self, dialect: Dialect, status: ServiceStatus | None) -> None:
        """Remember how the service speaks and what its status told."""
        if self.dialect is UNKNOWN:
            self.dialect = dialect
        if status is not None:
            self.cache_path, self.pid = status.cache_path, status.pid or self.pid


#: Makes the target of an address: its dialect when that is given or known.
MakeTarget = Callable[[str, Dialect], Target]
