"""The parts that a client and its views share, put together once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.config import Config
from foundry_rest.dialects.detect import named
from foundry_rest.dialects.operation import Dialect
from foundry_rest.endpoints.models import Models
from foundry_rest.events import Event
from foundry_rest.models.names import ModelNames
from foundry_rest.models.recoveries import cures_by
from foundry_rest.observe.log import fan_out, log_event
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.breaker.record import BreakerState
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.sender import Bounds, ResilientSender
from foundry_rest.resilience.stream_diagnosis import DiagnosingSender
from foundry_rest.schema import DownloadStep
from foundry_rest.services.context import Context, Fetch
from foundry_rest.services.target import Service
from foundry_rest.transport.call import Auth, CancelToken, Options
from foundry_rest.transport.session.transport import SessionTransport
from foundry_rest.transport.single_flight import SingleFlight

if TYPE_CHECKING:
    import requests

    from foundry_rest.runtime import LocalRuntime


class ClientSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a client was made of; a client pickles as this, and is made anew from it.

    Attributes are the arguments of ``FoundryAPIClient``, the environment already read.
    """

    config: Config
    breaker: BreakerPolicy | None
    breaker_state: Callable[[str], BreakerState] | None = None
    observers: tuple[Callable[[Event], object], ...] = ()
    headers: Mapping[str, str] | None = None
    auth: Auth | tuple[str, str] | None = None
    session: requests.Session | None = None
    dialect: str | Dialect = "auto"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return what ``repr`` shows: what may hold a key is left out."""
        return [(name, getattr(self, name)) for name in ("config", "breaker", "observers", "dialect")]

    def __repr__(self) -> str:
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class Core(msgspec.Struct):
    """Hold what a client and its views have in common."""

    recipe: ClientSpec
    service: Service
    transport: SessionTransport
    breakers: BreakerRegistry | None
    bounds: Bounds
    emit: Callable[[Event], None]
    stats: StatsObserver
    names: ModelNames = msgspec.field(default_factory=ModelNames)
    flights: SingleFlight = msgspec.field(default_factory=SingleFlight)
    fetch: Fetch | None = None

    def close(self) -> None:
        """End every wait and close the connections."""
        self.bounds.closing.cancel()
        self.transport.close()


def build_core(recipe: ClientSpec, runtime: LocalRuntime | None = None) -> Core:
    """Return the parts for a recipe; nothing is asked of the network.

    Args:
        recipe: What the client is made of.
        runtime: The embedded runtime that the client owns.
    """
    config, stats, names = recipe.config, StatsObserver(), ModelNames()
    closing = CancelToken()
    emit = fan_out((stats, log_event, *recipe.observers))
    breakers = BreakerRegistry(recipe.breaker, recipe.breaker_state, emit) if recipe.breaker else None

    def renew(url: str) -> None:
        """Forget what was learnt about the process that answered at ``url``: it is another one now."""
        names.forget()
        if breakers is not None:
            breakers.reset(url)

    service = Service(
        config.endpoint,
        _dialect(recipe.dialect),
        auto_start=config.auto_start,
        revive=None if runtime is None else runtime.revive,
        renewed=renew,
        emit=emit,
        closing=closing,
    )
    transport = SessionTransport(
        service.locate,
        headers=recipe.headers,
        auth=recipe.auth,
        api_key=config.api_key,
        session=recipe.session,
        pool_size=config.max_concurrency,
    )
    find = None if breakers is None else lambda: breakers.of(service.locate())
    bounds = Bounds(closing=closing, slots=Slots(config.max_concurrency), breaker=find)
    shared = Core(recipe, service, transport, breakers, bounds, emit, stats, names)
    shared.fetch = None if runtime is None else _fetcher(runtime)
    return shared


def connect(shared: Core, config: Config, policy: RetryPolicy, models: Callable[[], Models]) -> Context:
    """Return what the endpoints of a client or view are given.

    Args:
        shared: The parts in common.
        config: Settings of this client or view.
        policy: When it tries again.
        models: Returns its endpoint that resolves and loads.
    """
    service, emit = shared.service, shared.emit
    inner = DiagnosingSender(shared.transport)
    cures = cures_by(models, service.has_moved, auto_load=config.auto_load)
    return Context(
        ResilientSender(inner, policy, bounds=shared.bounds, cures=cures, emit=emit),
        shared.transport,
        service.dialect,
        config,
        emit,
        shared.names,
        shared.flights,
        service.seen,
        service.locate,
        shared.bounds.uses,
        shared.fetch,
    )


def _fetcher(runtime: LocalRuntime) -> Fetch:
    def fetch(name: str, progress: Callable[[DownloadStep], object], options: Options) -> None:
        patience = options.timeouts.load
        runtime.download(name, progress, timeout=patience, until=options.until, cancel=options.cancel)

    return fetch


def _dialect(given: str | Dialect) -> Dialect | None:
    if isinstance(given, Dialect):
        return given
    return None if given == "auto" else named(given)
