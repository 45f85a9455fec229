"""Core: the parts that a client and its views share, assembled once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.client.spec import ClientSpec
from foundry_rest.config import Config
from foundry_rest.dialects.operation import UNKNOWN
from foundry_rest.errors import FoundryError
from foundry_rest.errors.process import late_import
from foundry_rest.events import Event
from foundry_rest.observe.fan_out import fan_out
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.single_attempt import SingleAttempt
from foundry_rest.resilience.terms import Bounds, Terms
from foundry_rest.services.context import Context, Fetch, Forget
from foundry_rest.services.pool import Find, TargetPool
from foundry_rest.services.target import Found
from foundry_rest.timeouts import AdaptiveTimeouts
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.session.transport import SessionTransport
from foundry_rest.transport.single_flight import SingleFlight

if TYPE_CHECKING:
    from foundry_rest.client.caching import Caching
    from foundry_rest.models.loading import Loading
    from foundry_rest.resilience.interfaces import Recoveries
    from foundry_rest.runtime import LocalRuntime
    from foundry_rest.schema import DownloadStep
    from foundry_rest.schema.service_facts import ServiceFacts
    from foundry_rest.schema.stats import Stats
    from foundry_rest.transport.interfaces import Sender, Target, Transport


class Core:
    """The parts that a client and its views share; making them sends nothing.

    Args:
        spec: The client's settings.
        runtime: The embedded runtime that the client owns.
        beside: The parts for another service of the same client, with which these share figures, circuits,
            the budget for retries and the end.

    Attributes:
        breakers: The circuit breakers of all addresses, or ``None``.
        emit: Called with every event.
        stats: The statistics.
        targets: The services that calls go to.
        transport: Makes one attempt.
    """

    def __init__(
        self, spec: ClientSpec, runtime: LocalRuntime | None = None, beside: Core | None = None
    ) -> None:
        config = spec.config
        slots, listening = _slots(config, lambda: self.targets)
        self.emit: Callable[[Event], None]
        if beside is None:
            self.stats = StatsObserver()
            self.emit = fan_out((self.stats, *listening, *spec.observers), has_log=True)
            self.breakers = None
            if spec.breaker is not None:
                self.breakers = BreakerRegistry(spec.breaker, spec.breaker_state, self.emit)
            self.bounds = Bounds(slots=slots)
        else:
            self.stats, self.breakers = beside.stats, beside.breakers
            self.emit = fan_out((beside.emit, *listening)) if listening else beside.emit
            self.bounds = Bounds(budget=beside.bounds.budget, closing=beside.bounds.closing, slots=slots)
        closing = self.bounds.closing
        self.targets = TargetPool(
            config.endpoint,
            _finder(closing, auto_start=config.auto_start) if runtime is None else _reviver(runtime),
            dialect=spec.dialect or UNKNOWN,
            is_embedded=runtime is not None,
            breakers=self.breakers,
            emit=self.emit,
            closing=closing,
        )
        self.transport = SessionTransport(
            headers=spec.headers,
            auth=spec.auth,
            api_key=config.api_key,
            session=spec.session,
            pool_size=config.most_calls,
        )
        self._attempts = _watched(self.transport, spec)
        self._adaptive: list[Transport] = []
        self.flights = SingleFlight(closing)
        self.caching: Caching | None = None
        if spec.cache is not None:
            from foundry_rest.client.caching import Caching

            is_named = config.endpoint is not None and runtime is None
            self.caching = Caching(spec, spec.cache, self.targets, is_named=is_named)
        self.fetch: Fetch | None = None if runtime is None else partial(_fetch, runtime)
        self.forget: Forget | None = None if runtime is None else partial(_forget, runtime)

    def context(self, spec: ClientSpec) -> Context:
        """Return the context of the endpoints of a client or view with these settings."""
        loading = _loading_of(lambda: context)
        recoveries = _recoveries_of(loading, self.targets, auto_load=spec.config.auto_load)
        explain = partial(_diagnosed, self.transport)
        terms = Terms(spec.policy, self.targets, self.bounds, recoveries, self.emit, explain)
        sender: Sender = ResilientSender(self._attempts_of(spec), terms)
        if self.caching is not None:
            closing, note = self.bounds.closing, self.stats.note_cache
            sender = self.caching.around(sender, self.emit, closing, note, lambda: (context, loading()))
        context = Context(
            sender=sender,
            probe=SingleAttempt(self.transport, self.targets.take, explain),
            targets=self.targets,
            config=spec.config,
            emit=self.emit,
            flights=self.flights,
            locks=self.bounds.locks,
            closing=self.bounds.closing,
            fetch=self.fetch,
            forget=self.forget,
            has_cache=self.caching is not None,
        )
        context.prepare = partial(_prepare, context, loading)
        return context

    def facts(self, context: Context) -> tuple[ServiceFacts, ...]:
        """Return what is known of the service; nothing before it was found."""
        from foundry_rest.services.group import Member
        from foundry_rest.services.service_spec import ServiceSpec

        if not context.url:
            return ()
        return (Member(ServiceSpec(context.url), context, self.bounds.slots).facts(answered_last=True),)

    def figures(self) -> Stats:
        """Return the statistics so far, and the use of what the calls share now."""
        from foundry_rest.schema.use import SlotUse

        slots = self.bounds.slots
        return msgspec.structs.replace(
            self.stats.snapshot(),
            circuits=self.breakers.current() if self.breakers is not None else {},
            slots=SlotUse() if slots is None else slots.use,
            connections=self.transport.use,
        )

    def _attempts_of(self, spec: ClientSpec) -> Transport:
        """Return the transport of a view's attempts; views with adaptive time-outs share what they learn."""
        if not isinstance(spec.config.timeouts, AdaptiveTimeouts):
            return self._attempts
        if not self._adaptive:
            from foundry_rest.resilience.adaptive_timeouts import AdaptiveTransport

            self._adaptive.append(AdaptiveTransport(self._attempts, self.emit))
        return self._adaptive[0]  # the first, if several threads have made one

    def close(self) -> None:
        """End every wait and close the connections."""
        self.bounds.closing.cancel()
        self.transport.close()
        if self.caching is not None:
            self.caching.close()


def _watched(transport: SessionTransport, spec: ClientSpec) -> Transport:
    """Return the transport of the calls' attempts: with what the settings put around it."""
    watched: Transport = transport
    if spec.log_bodies:
        from foundry_rest.observe.bodies import BodyLog

        watched = BodyLog(watched, transport.hide_keys)
    for observer in spec.observers:
        wrap = getattr(type(observer), "wrap_transport", None)  # its class's: a mock has every attribute
        if wrap is not None:
            watched = wrap(observer, watched)
    return watched


def _slots(
    config: Config, targets: Callable[[], TargetPool]
) -> tuple[Slots, tuple[Callable[[Event], None], ...]]:
    """Return the slots for a client's calls, and what has to be told of the calls' ends."""
    if config.max_concurrency != "auto":
        return Slots(config.most_calls), ()
    from foundry_rest.resilience.adaptive_slots import AdaptiveSlots

    slots = AdaptiveSlots(config.most_calls, fixed=lambda: targets().limits_calls)
    return slots, (slots.observe,)


def _loading_of(context: Callable[[], Context]) -> Callable[[], Loading]:
    """Return a function that loads models, which is imported when a name has to be resolved."""

    @cache
    def loading() -> Loading:
        with late_import():
            from foundry_rest.models.inventory import Inventory
            from foundry_rest.models.loading import Loading

        return Loading(context(), Inventory(context()))

    return loading


def _recoveries_of(
    loading: Callable[[], Loading], targets: TargetPool, *, auto_load: bool
) -> Callable[[bool], Recoveries]:
    """Return a function that returns the recoveries, which are imported at the first failure."""

    def recoveries(may_load: bool) -> Recoveries:  # noqa: FBT001 (its only argument)
        try:
            from foundry_rest.models.recoveries import build_recoveries
        except OSError:  # the system opens no file more, so that nothing can be removed that way
            return {}
        return build_recoveries(loading, targets.has_moved, auto_load=auto_load and may_load)

    return recoveries


def _diagnosed(transport: Transport, call: Call, target: Target, error: FoundryError) -> FoundryError:
    """Return the cause of a stream's failure; what finds it is imported where one is not reported."""
    try:
        from foundry_rest.resilience.stream_diagnosis import diagnose
    except OSError:  # the system opens no file more, so that nothing can be asked either
        return error
    return diagnose(transport, call, target, error)


def _prepare(context: Context, loading: Callable[[], Loading], name: str, options: Options) -> None:
    """Resolve a name, and load its model, where the service accepts ids only."""
    context.dialect_for(options)
    if context.target(options).must_prepare(name):
        loading().prepare(name, options)


def _finder(closing: CancelToken, *, auto_start: bool) -> Find:
    """Return a function that discovers the service, and imports discovery only when it is called."""

    def find(options: Options) -> Found:
        with late_import():
            from foundry_rest.services.discovery.search import look

        return look(options, closing, auto_start=auto_start)

    return find


def _reviver(runtime: LocalRuntime) -> Find:
    """Return a function that starts the embedded runtime again if it died."""
    return lambda options: Found(runtime.revive())


def _fetch(
    runtime: LocalRuntime, name: str, progress: Callable[[DownloadStep], object], options: Options
) -> None:
    silence = options.timeouts.load
    runtime.download(name, progress, timeout=silence, until=options.until, cancel=options.cancel)


def _forget(runtime: LocalRuntime, id_: str, options: Options) -> None:
    runtime.forget(id_, timeout=options.timeouts.load, until=options.until, cancel=options.cancel)
