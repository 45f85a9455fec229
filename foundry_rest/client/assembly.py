"""The parts that a client and its views share, put together once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from foundry_rest.config import Config
from foundry_rest.dialects.detect import named
from foundry_rest.dialects.operation import Dialect
from foundry_rest.discovery import Service
from foundry_rest.endpoints.flight import Flights
from foundry_rest.endpoints.names import ModelNames
from foundry_rest.events import Event
from foundry_rest.observe.log import fan_out, log_event
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.resilience.breakers import Breakers
from foundry_rest.resilience.limiter import Slots
from foundry_rest.resilience.policy import BreakerPolicy
from foundry_rest.resilience.sender import Bounds
from foundry_rest.resilience.state import BreakerState
from foundry_rest.transport.call import Auth
from foundry_rest.transport.session import SessionTransport

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Hold what a client was made of; a client pickles as this, and is made anew from it.

    Attributes are the arguments of ``FoundryAPIClient``, the environment already read.
    """

    config: Config
    breaker: BreakerPolicy | None
    breaker_state: Callable[[str], BreakerState] | None = None
    observers: tuple[Callable[[Event], object], ...] = ()
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # any of these may hold a key
    auth: Auth | tuple[str, str] | None = field(default=None, repr=False)
    session: requests.Session | None = field(default=None, repr=False)
    dialect: str | Dialect = "auto"


@dataclass(slots=True)
class Shared:
    """Hold what a client and its views have in common."""

    recipe: Recipe
    service: Service
    transport: SessionTransport
    breakers: Breakers | None
    bounds: Bounds
    emit: Callable[[Event], None]
    stats: StatsObserver
    names: ModelNames = field(default_factory=ModelNames)
    flights: Flights = field(default_factory=Flights)

    def close(self) -> None:
        """End every wait and close the connections."""
        self.bounds.closing.cancel()
        self.transport.close()


def assemble(recipe: Recipe, revive: Callable[[], str] | None = None) -> Shared:
    """Return the parts for a recipe; nothing is asked of the network.

    Args:
        recipe: What the client is made of.
        revive: Starts the embedded runtime again and returns its address.
    """
    config, stats, names = recipe.config, StatsObserver(), ModelNames()
    emit = fan_out((stats, log_event, *recipe.observers))
    breakers = Breakers(recipe.breaker, recipe.breaker_state, emit) if recipe.breaker else None

    def renew(url: str) -> None:
        """Forget what was learnt about the process that answered at ``url``: it is another one now."""
        names.forget()
        if breakers is not None:
            breakers.reset(url)

    service = Service(config.endpoint, _dialect(recipe.dialect), revive=revive, renewed=renew, emit=emit)
    transport = SessionTransport(
        service.locate,
        headers=recipe.headers,
        auth=recipe.auth,
        api_key=config.api_key,
        session=recipe.session,
        pool_size=config.max_concurrency,
    )
    find = None if breakers is None else lambda: breakers.of(service.locate())
    bounds = Bounds(slots=Slots(config.max_concurrency), breaker=find)
    return Shared(recipe, service, transport, breakers, bounds, emit, stats, names)


def _dialect(given: str | Dialect) -> Dialect | None:
    if isinstance(given, Dialect):
        return given
    return None if given == "auto" else named(given)
