"""What the checks judge: each thing is asked for once, in a thread of its own, with a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import VARIABLES, Config, base_url, from_env, is_loopback
from foundry_rest.errors import ConfigError, DeadlineExceeded, FoundryError, NotFound, ServiceNotFound
from foundry_rest.ops.doctor.findings import DoctorSettings
from foundry_rest.ops.doctor.listeners import Listener, listeners_at
from foundry_rest.schema import HealthReport, ModelInfo
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.discovery.search import START_ONE
from foundry_rest.services.discovery.survey import COMMANDS, SOURCES, Place, looks, unasked
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.call import Options

T = TypeVar("T")

#: Shares of the time: until when places are looked at, for the service's health, and for all questions.
_PLACES, _HEALTH, _ALL = 0.7, 0.45, 0.95
_MORE_TIME = "The foundry command did not answer yet: give --timeout 15."
#: Least seconds that a question gets.
_LEAST = 0.001


class Service(NamedTuple):
    """The service as it told its health, or why it did not.

    Attributes:
        url: Its address; ``""`` if none was found.
        report: Its health.
        failure: Why there is none.
        config: Settings of a client of it.
        headers: Headers that it is sent.
    """

    url: str
    report: HealthReport | None
    failure: FoundryError | None
    config: Config
    headers: Mapping[str, str] = {}


class Model(NamedTuple):
    """The model that is wanted, or why there is none.

    Attributes:
        info: The model.
        failure: Why it is not known.
        may_be: Id that begins with its name, of which that may be the alias; a service on another machine
            tells no aliases.
    """

    info: ModelInfo | None = None
    failure: FoundryError | None = None
    may_be: str = ""


class Evidence:
    """What is known of this machine's settings and of the service.

    Args:
        settings: What is looked at.
        environ: Environment variables.
    """

    def __init__(self, settings: DoctorSettings, environ: Mapping[str, str]) -> None:
        self.settings, self.environ = settings, environ
        self._begun = clock.monotonic()
        self.config = usable_config(environ).with_changes(model=settings.model)
        self.named = settings.url or self.config.endpoint
        asked = not settings.offline
        self._places = {
            name: start(partial(self._survey, name)) for name in SOURCES if asked or name not in COMMANDS
        }
        self._service: Future[Service] = start(self._ask_service) if asked else Future()
        self._model: Future[Model] = start(self._ask_model) if asked else Future()
        self._listeners: Future[list[Listener]] = start(self._look_who_listens) if asked else Future()

    @property
    def is_model_named(self) -> bool:
        """Return whether a model was given, and the default is not merely what is left."""
        return self.settings.model is not None or bool(self.environ.get("FOUNDRY_MODEL", "").strip())

    def left(self, share: float = 1.0) -> float:
        """Return the seconds that are left of a share of the time."""
        return max(_LEAST, self._begun + share * self.settings.timeout - clock.monotonic())

    def seconds(self, share: float) -> float:
        """Return how long one question may take: a share of the whole time, as far as that is left."""
        return min(self.left(_ALL), share * self.settings.timeout)

    def places(self, source: str) -> list[Place]:
        """Return what one place of discovery names, and what answers there."""
        try:
            return self._places[source].result(self.left(_ALL))
        except TooLate:  # what else is known is told all the same
            return [_late(source, self.settings.timeout)]

    def usable_place(self) -> Place | None:
        """Return the address that a client without one uses."""
        found = (place for source in self._places for place in self.places(source))
        return next((place for place in found if place.is_usable), None)

    @property
    def service(self) -> Service:
        """Return the service, once it has answered or the time for it is over."""
        return self._service.result(self.left())

    @property
    def report(self) -> HealthReport | None:
        """Return the service's health; ``None`` if it did not tell."""
        return self.service.report

    @property
    def url(self) -> str:
        """Return the address of the service; ``""`` if none was found or may be asked for."""
        if self.named is not None:
            return base_url(self.named)
        return "" if self.settings.offline else self.service.url

    @property
    def model(self) -> Model:
        """Return the model that is wanted."""
        return self._model.result(self.left())

    @property
    def listeners(self) -> list[Listener]:
        """Return the processes that hold the port of the service's address on this machine."""
        return self._listeners.result(self.left())

    def _survey(self, source: str) -> list[Place]:
        bound = self.left(_PLACES)
        until = clock.monotonic() + bound
        try:
            candidates = list(SOURCES[source](Foundry(until)))
        except DeadlineExceeded:
            return [_late(source, bound)]
        if self.settings.offline:
            return [place for candidate in candidates for place in unasked(candidate)]
        options = Options(Timeouts(connect=bound, first_token=bound, idle=bound), until)
        jobs = [job for candidate in candidates for job in looks(candidate, options)]
        return [future.result(self.left()) for future in [start(job) for job in jobs]]

    def _look_who_listens(self) -> list[Listener]:
        return listeners_at(self.url) if self.url and is_loopback(self.url) else []

    def _ask_service(self) -> Service:
        place = None if self.named is not None else self.usable_place()
        if self.named is None and place is None:
            return Service("", None, self._nowhere(), self.config)
        config, headers = self.config.with_changes(endpoint=self.named or (place and place.url)), {}
        if place is None or place.is_known:
            headers = dict(self.settings.headers)
        else:
            config = without_key(config)
        service = Service(base_url(config.endpoint), None, None, config, headers)
        try:
            with self._client(service) as client:
                return service._replace(report=client.health_check(timeout=self.seconds(_HEALTH)))
        except FoundryError as failure:
            return service._replace(failure=failure)

    def _client(self, service: Service) -> FoundryAPIClient:
        # The present state is asked for: nothing is loaded, or refused because of what was before.
        return FoundryAPIClient(
            config=service.config,
            headers=service.headers,
            retries=self.settings.retries,
            breaker=None,
            auto_load=False,
        )

    def _nowhere(self) -> ServiceNotFound:
        is_late = any(place.is_late for source in self._places for place in self.places(source))
        return ServiceNotFound(
            "no Foundry Local service was found" + " in this time" * is_late,
            advice=_MORE_TIME if is_late else START_ONE,
        )

    def _ask_model(self) -> Model:
        service, name = self.service, self.config.model
        if service.failure is not None:
            return Model(failure=service.failure)
        with self._client(service) as client:
            try:
                return Model(client.models.resolve(name, deadline=self.left(_ALL)))
            except FoundryError as failure:
                return Model(
                    failure=failure, may_be=self._may_be(client) if isinstance(failure, NotFound) else ""
                )

    def _may_be(self, client: FoundryAPIClient) -> str:
        with suppress(FoundryError):
            return id_with_alias(self.config.model, client.models.catalog(deadline=self.left(_ALL)))
        return ""


def _late(source: str, seconds: float) -> Place:
    return Place(source, f"no answer within {seconds:.1f} s", is_late=True)


def start(work: Callable[[], T]) -> Future[T]:
    """Return the result that work in a thread will have; one that never ends keeps no program from ending."""
    future: Future[T] = Future()
    threading.Thread(target=_settle, args=(future, work), name="foundry_rest-doctor", daemon=True).start()
    return future


def id_with_alias(name: str, listed: Iterable[ModelInfo]) -> str:
    """Return the first id that begins with a name, among models whose alias is not told; ``""`` for none."""
    ids = (info.id for info in listed if not info.alias)
    return next((each for each in ids if each.casefold().startswith(f"{name.casefold()}-")), "")


def usable_config(environ: Mapping[str, str]) -> Config:
    """Return the settings of those variables that can be used."""
    return from_env({name: environ.get(name, "") for name in VARIABLES if problem_of(name, environ) is None})


def problem_of(name: str, environ: Mapping[str, str]) -> ConfigError | None:
    """Return why a variable of ours cannot be used; ``None`` if it can."""
    try:
        from_env({name: environ.get(name, "")})
    except ConfigError as problem:
        return problem
    return None


def without_key(config: Config) -> Config:
    """Return settings without the key of the environment, for a service of which nobody knows whose it is."""
    return msgspec.structs.replace(config, api_key=None)


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as failure:  # noqa: BLE001 (whoever asks for the result gets it)
        future.set_exception(failure)
