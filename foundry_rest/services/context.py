"""Context: the shared parts of all endpoints, and the two methods that send every request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import msgspec

from foundry_rest import clock
from foundry_rest.checks import cache_mark, instance_of, only_known, positive_seconds, whole_number
from foundry_rest.config import Config
from foundry_rest.dialects.detect import detect
from foundry_rest.dialects.operation import UNKNOWN, Dialect, Operation
from foundry_rest.errors import FoundryError, InvalidReply, ServiceError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.events import ERROR, CallFinished, Event
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.resilience.sender import new_call_id
from foundry_rest.services.pool import TargetPool
from foundry_rest.services.target import LearnedNames, Target
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.transport.call import LANES, Call, Options, Reply, declared_options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.single_flight import SingleFlight

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.schema import DownloadStep
    from foundry_rest.transport.call_options import CallOptions
    from foundry_rest.transport.interfaces import Sender

    S = TypeVar("S", bound=AnswerStream[Any])  # at run time its bound would cost 30 us

A = TypeVar("A")
T = TypeVar("T")

#: Builds an operation for a target; pure, and called again when the target or its dialect or ids change.
Build = Callable[[Target], Operation[A, T]]
#: Downloads a model by name, with a callback for progress, within the limits of the options.
Fetch = Callable[[str, "Callable[[DownloadStep], object]", Options], None]
#: Has the embedded runtime forget a model whose folder was deleted, by its exact id.
Forget = Callable[[str, Options], None]

_EXTRA_ADVICE = Advice(Words("Another field of the request body goes through extra={...}.", ""))
#: The options with a field of their own in ``Options``.
_OPTION_FIELDS = frozenset(("timeout", "deadline", "headers", "cancel", "retries", "lane"))


def _lane(given: str | None) -> str:
    """Return the lane of a call, ``""`` when none is given."""
    if given is not None:
        only_known((given,), LANES, "lane")
    return given or ""


class TargetedRequest(Generic[A, T]):
    """One request, whose call is built for the target of each attempt.

    Args:
        build: Builds the operation.
        options: Options of the call.
        runs_on: Model that the request uses, as the caller named it; ``""`` for none.
        recognise: Detects the dialect of a target where it is unknown; ``None`` where it is not needed.
    """

    def __init__(
        self,
        build: Build[A, T],
        options: Options,
        runs_on: str = "",
        recognise: Callable[[Target, Options], None] | None = None,
    ) -> None:
        self.options, self.runs_on, self.asked_as = options, runs_on, runs_on
        self._build, self._recognise = build, recognise
        self._built_for: tuple[object, ...] = ()
        self.operation: Operation[A, T]

    def call_for(self, target: Target) -> Call:
        """Return the call for a target; the same one while its dialect and the model's id are unchanged."""
        if target.dialect is UNKNOWN and self._recognise is not None:
            self._recognise(target, self.options)
        info = target.names.get(self.runs_on)
        self.asked_as = self.runs_on if info is None else info.id
        key = (target, target.dialect, self.asked_as)
        if key != self._built_for:
            self.operation, self._built_for = self._build(target), key
        return self.operation.call


class Context(msgspec.Struct):
    """The shared parts of all endpoints of a client.

    Attributes:
        sender: Sender with retries and recoveries.
        probe: Sender of one attempt, for health checks.
        targets: Pool of the services.
        config: Settings of this client or view.
        emit: Function that receives every event.
        flights: Operations in progress whose result several threads share.
        locks: Locks of the models that requests use.
        closing: Token that is cancelled when the client closes.
        prepare: Function that resolves and loads a model before the first request by its name.
        fetch: Function that downloads a model through the embedded runtime; ``None`` without one.
        forget: Function that has the embedded runtime forget a deleted model; ``None`` without one.
        has_cache: Whether calls may be answered from a cache.
        has_several: Whether there are several services.
    """

    sender: Sender
    probe: Sender
    targets: TargetPool
    config: Config
    emit: Callable[[Event], None] = lambda event: None
    flights: SingleFlight = msgspec.field(default_factory=SingleFlight)
    locks: ModelLocks = msgspec.field(default_factory=ModelLocks)
    closing: CancelToken = msgspec.field(default_factory=CancelToken)
    prepare: Callable[[str, Options], None] | None = None
    fetch: Fetch | None = None
    forget: Forget | None = None
    has_cache: bool = False
    has_several: ClassVar[bool] = False

    # ---------------------------------------------------------------- sending

    def ask(
        self,
        build: Build[Reply, T],
        options: Options,
        *,
        model: str = "",
        probe: bool = False,
        recognise: bool = True,
    ) -> T:
        """Send the operation that ``build`` returns for the target, and return its parsed response.

        Args:
            build: Builds the operation for a target.
            options: Options of the call.
            model: Model that the request uses, as the caller named it; ``""`` for none.
            probe: Whether to send once, without retries and breaker, as health checks do.
            recognise: Whether the service's dialect has to be detected first.
        """
        request = self._request(build, options, model, recognise=recognise)
        reply = (self.probe if probe else self.sender).send(request)
        operation = request.operation
        try:
            return operation.parse(reply)
        except (InvalidReply, ServiceError) as error:  # a failure may come under HTTP 200
            error.call, error.url, error.model = operation.call.label, reply.url, operation.call.model
            raise

    def open(
        self,
        kind: type[S],
        build: Build[bytes, Any],
        options: Options,
        *,
        model: str = "",
        started: float | None = None,
        probe: bool = False,
    ) -> S:
        """Send the operation that ``build`` returns for the target, and return its open stream.

        Args:
            kind: Class of the stream.
            build: Builds the operation for a target.
            options: Options of the call.
            model: Model that the request uses, as the caller named it; ``""`` for none.
            started: Monotonic time at which the call began; default now.
            probe: Whether to open it once, without retries and breaker.
        """
        began = clock.monotonic() if started is None else started
        request = self._request(build, options, model)
        opened = (self.probe if probe else self.sender).open(request)
        return kind(opened, request.operation, began, self.emit)

    # ---------------------------------------------------------------- options and target

    def options(self, **given: Unpack[CallOptions]) -> Options:
        """Return the checked options of one call; the client's settings are the defaults.

        Raises:
            ConfigError: There is no such option, or it has a bad value.
        """
        if not given:
            return Options(self.config.timeouts, self._until(None))
        if not given.keys() <= (declared := declared_options()).keys():
            only_known(given, declared)
        timeout, retries, cancel = given.get("timeout"), given.get("retries"), given.get("cancel")
        cache_mark(given.get("cache"), has_cache=self.has_cache)
        return Options(
            self.config.timeouts if timeout is None else self.config.timeouts.for_call(timeout),
            self._until(given.get("deadline")),
            given.get("headers") or {},
            None if cancel is None else instance_of("cancel", cancel, CancelToken),
            None if retries is None else whole_number("retries", retries, 0),
            _lane(given.get("lane")),
            {name: value for name, value in given.items() if name not in _OPTION_FIELDS},
        )

    def split(
        self, given: Mapping[str, Any], known: AbstractSet[str], explained: AbstractSet[str] = frozenset()
    ) -> tuple[Options, dict[str, object]]:
        """Return the checked options of a call and the remaining keyword arguments.

        Args:
            given: The keyword arguments.
            known: Names of those that are no options.
            explained: Names that are passed on to be refused in words of their own.

        Raises:
            ConfigError: There is no such argument, or an option has a bad value.
        """
        if given.keys() <= known:
            return self.options(), dict(given)
        declared = declared_options()
        params = {name: value for name, value in given.items() if name not in declared}
        if not params.keys() <= known:
            advice = _EXTRA_ADVICE if "extra" in known else ""
            only_known(params.keys() - explained, {*known, *declared}, advice=advice)
        return self.options(**{name: value for name, value in given.items() if name in declared}), params

    def target(self, options: Options) -> Target:
        """Return the target that a request would be sent to now."""
        return self.targets.take(options)

    def dialect_for(self, options: Options, *, probe: bool = False) -> Dialect:
        """Return the dialect of the target, or of the lost one; it is detected at its first use."""
        target = self.targets.current or self.targets.last or self.targets.take(options)
        if target.dialect is not UNKNOWN:
            return target.dialect
        found = detect((self.probe if probe else self.sender).send, options.part())
        target = self.targets.take(options)  # another one, if the service has moved meanwhile
        target.learn(found.dialect, found.status)
        return target.dialect

    @property
    def names(self) -> LearnedNames:
        """Return the learned model names of the current target; none before a service was found."""
        target = self.targets.current
        return LearnedNames() if target is None else target.names

    @property
    def url(self) -> str:
        """Return the address of the current target or of the lost one, for errors; nothing is searched."""
        target = self.targets.current or self.targets.last
        return "" if target is None else target.url

    @property
    def generation(self) -> str | None:
        """Return the generation of the current target or of the lost one; ``None`` before it is detected."""
        target = self.targets.current or self.targets.last
        return None if target is None or target.dialect is UNKNOWN else target.dialect.generation

    def _until(self, deadline: float | None) -> float:
        limit = self.config.deadline if deadline is None else deadline
        return clock.monotonic() + (limit if limit == math.inf else positive_seconds("deadline", limit))

    def _request(
        self, build: Build[A, T], options: Options, model: str, *, recognise: bool = True
    ) -> TargetedRequest[A, T]:
        request = TargetedRequest(build, options, model, self._recognise if recognise else None)
        if model and self.prepare is not None:
            target = self.targets.current or self.targets.last
            if target is None or target.must_prepare(model):
                self._prepare(request, model, options)
        return request

    def _recognise(self, _: Target, options: Options) -> None:
        """Detect the dialect of a target that was found in the middle of a call."""
        self.dialect_for(options, probe=True)

    def _prepare(self, request: TargetedRequest[Any, Any], model: str, options: Options) -> None:
        """Resolve an unknown name before the request is sent; report a failure as that of the call."""
        prepare = cast("Callable[[str, Options], None]", self.prepare)
        began = clock.monotonic()
        try:
            prepare(model, options.part())
        except FoundryError as error:
            call = request.call_for(self.targets.take(options))
            error.call, error.model = call.label, error.model or model
            self.emit(
                CallFinished(
                    url=error.url,
                    call_id=new_call_id(),
                    call=call.label,
                    model=call.model,
                    attempt=0,
                    outcome=ERROR,
                    elapsed=clock.monotonic() - began,
                    error=error,
                )
            )
            raise
