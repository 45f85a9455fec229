"""ClientSpec: the settings of a client as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from foundry_rest.checks import flag, instance_of, only_known
from foundry_rest.config import Config, EnvironmentKey, base_urls, from_env
from foundry_rest.dialects.detect import named
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import ConfigError
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.retry import RetryPolicy

if TYPE_CHECKING:
    import requests
    from typing_extensions import Self

    from foundry_rest.cache import ResponseCache
    from foundry_rest.client.arguments import ClientArguments
    from foundry_rest.resilience.interfaces import BreakerState
    from foundry_rest.services.service_spec import ServiceSpec
    from foundry_rest.timeouts import Timeouts
    from foundry_rest.transport.call import Auth

#: Five failures in a row open the circuit for 30 s, and for longer after each probe that fails.
_DEFAULT_BREAKER = BreakerPolicy()
#: Arguments that are fields of ``Config``.
_SETTINGS = ("model", "api_key", "deadline", "auto_load", "auto_start", "max_concurrency")


class ClientSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a client: its arguments and the environment's; a client pickles as this.

    Attributes:
        config: Every setting.
        policy: When a failed call is tried again.
        breaker: The circuit breaker's policy, or ``None`` for no breaker.
        breaker_state: Where the breaker's state is kept; ``None`` for this process.
        observers: Called with every event.
        log_bodies: Whether prompts and answers are logged.
        headers: Added to every request.
        auth: Signs every request.
        session: The caller's own session.
        dialect: The given dialect; ``None`` to recognise it.
        cache: Keeps whole answers; ``None`` for no cache.
        services: Several services, in the order of preference; empty for one.
        prefer: How one of them is chosen for a call.
    """

    config: Config
    policy: RetryPolicy
    breaker: BreakerPolicy | None = _DEFAULT_BREAKER
    breaker_state: Callable[[str], BreakerState] | None = None
    observers: tuple[Callable[[Event], object], ...] = ()
    log_bodies: bool = False
    headers: Mapping[str, str] | None = None
    auth: Auth | tuple[str, str] | None = None
    session: requests.Session | None = None
    dialect: Dialect | None = None
    cache: ResponseCache | None = None
    services: tuple[ServiceSpec, ...] = ()
    prefer: str = "least"

    @classmethod
    def of(cls, base_url: str | None, arguments: ClientArguments) -> Self:
        """Return the spec for a client's arguments; settings not given come from the environment.

        Raises:
            ConfigError: There is no such argument, or a setting cannot be used.
        """
        given: dict[str, Any] = dict(arguments)
        if not given.keys() <= _NAMES:
            from foundry_rest.client.arguments import ClientArguments

            only_known(given, ClientArguments.__annotations__)
        config = given.pop("config", None) or from_env()
        retries, timeout = given.pop("retries", None), given.pop("timeout", None)
        changes = {name: given.pop(name, None) for name in _SETTINGS}
        if given.get("services") is not None:
            base_url = _together(base_url, given)
        config = config.with_changes(endpoint=base_url, **changes).with_timeout(timeout)
        given["services"] = _services(given.get("services"), config.endpoint)
        given["prefer"] = _preference(given.get("prefer"), given["services"])
        given["observers"] = tuple(given.get("observers", ()))
        flag("log_bodies", given.get("log_bodies", False))
        given["dialect"] = _dialect(given.get("dialect", "auto"), config.endpoint or "")
        if given.get("cache") is not None:
            from foundry_rest.cache.response_cache import cache_of

            given["cache"] = cache_of(given["cache"])
        if given.get("breaker") is not None:
            instance_of("breaker", given["breaker"], BreakerPolicy)
        return cls(
            config=config, policy=RetryPolicy.of(config.retries if retries is None else retries), **given
        )

    @classmethod
    def beside(cls, url: str, arguments: ClientArguments) -> Self:
        """Return the spec of a client of a service at this address, and of those that are given."""
        if not arguments.get("services"):
            return cls.of(url, arguments)
        from foundry_rest.services.service_spec import ServiceSpec

        others = arguments["services"] or ()
        return cls.of(None, {**arguments, "services": (ServiceSpec(url), *others)})

    def with_options(
        self,
        *,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        retries: int | RetryPolicy | None = None,
        model: str | None = None,
    ) -> Self:
        """Return a spec with other settings of a call."""
        config = self.config.with_changes(model=model, deadline=deadline).with_timeout(timeout)
        policy = self.policy if retries is None else RetryPolicy.of(retries)
        return msgspec.structs.replace(self, config=config, policy=policy)

    def at(self, service: ServiceSpec) -> Self:
        """Return the spec of one service of several."""
        config = self.config.with_changes(endpoint=service.url, api_key=service.api_key)
        return msgspec.structs.replace(self, config=config, services=(), prefer="least")

    def elsewhere(self) -> Self:
        """Return the spec for another machine: without a key that the environment of this process gave."""
        if not isinstance(self.config.api_key, EnvironmentKey):
            return self
        return msgspec.structs.replace(self, config=msgspec.structs.replace(self.config, api_key=None))

    def here(self) -> Self:
        """Return the spec of another machine with the address and key of this one, where it has none."""
        given, own = self.config, from_env()
        config = given.with_changes(
            endpoint=given.endpoint or own.endpoint, api_key=given.api_key or own.api_key
        )
        return msgspec.structs.replace(self, config=config)

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return the fields that ``repr`` shows: those that cannot hold a key."""
        return [(name, getattr(self, name)) for name in ("config", "policy", "breaker", "observers")]

    def __repr__(self) -> str:
        return f"ClientSpec({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


#: The names of a client's arguments, without what is made of them.
_NAMES = frozenset((*ClientSpec.__struct_fields__, *_SETTINGS, "timeout", "retries")) - {"policy"}


def _together(base_url: str | None, given: dict[str, Any]) -> str:
    """Return the addresses of all services as one setting, and put their specs into what is given."""
    from foundry_rest.services.service_spec import services_of

    if base_url is not None:
        raise ConfigError("give base_url or services, not both: services names all that may be asked")
    given["services"] = services_of(given["services"])
    return ",".join(spec.url for spec in given["services"])


def _services(given: tuple[ServiceSpec, ...] | None, endpoint: str | None) -> tuple[ServiceSpec, ...]:
    """Return the services of a client; none where there is one address, or none."""
    if given is not None:
        return given
    urls = base_urls(endpoint) if "," in (endpoint or "") else ()
    if len(urls) < 2:
        return ()
    from foundry_rest.services.service_spec import services_of

    return services_of(urls)


def _preference(given: object, services: tuple[ServiceSpec, ...]) -> str:
    if given is None:
        return "least"
    if given not in ("least", "first"):
        raise ConfigError(f"prefer must be 'least' or 'first', not {given!r}")
    if not services:
        raise ConfigError("prefer goes with several services: name them by services=[...]")
    return str(given)


def _dialect(given: str | Dialect, url: str) -> Dialect | None:
    if isinstance(given, Dialect):
        return given
    return None if given == "auto" else named(given, url)
