"""Context: what every endpoint is given, and the two doors through which all requests go."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from foundry_rest import clock
from foundry_rest.checks import instance_of, positive_seconds, whole_number
from foundry_rest.config import Config
from foundry_rest.dialects.detect import detect
from foundry_rest.dialects.operation import UNKNOWN, Dialect, Operation
from foundry_rest.errors import FoundryError, InvalidReply, ServiceError
from foundry_rest.events import ERROR, CallFinished, Event
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.schema import DownloadStep
from foundry_rest.services.pool import TargetPool
from foundry_rest.services.target import LearnedNames, Target
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.transport.call import Call, CallOptions, Options, Reply, Sender
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.single_flight import SingleFlight

if TYPE_CHECKING:
    from typing_extensions import Unpack

A = TypeVar("A")
T = TypeVar("T")
S = TypeVar("S", bound=AnswerStream[Any])

#: Builds an operation for a target: pure, and called again when target or what was learnt of it changes.
Build = Callable[[Target], Operation[A, T]]
#: Downloads the named model, tells each step, within the options' bounds.
Fetch = Callable[[str, Callable[[DownloadStep], object], Options], None]


#: The options there are; looked at each time, for a further one may be declared.
_DECLARED = CallOptions.__annotations__
#: The options that have a field of their own.
_READ_HERE = frozenset(("timeout", "deadline", "headers", "cancel", "retries"))


class TargetedRequest(Generic[A, T]):
    """One request, built for the target of each attempt and read by the operation that asked.

    Args:
        build: Builds the operation.
        options: The call's options.
        runs_on: The model that it makes work, as the caller named it; ``""`` for none.
        recognise: Has a target that is still unknown tell its dialect; ``None`` where none is needed.
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
        """Return the call for a target; the same one while nothing new was learnt."""
        if target.dialect is UNKNOWN and self._recognise is not None:
            self._recognise(target, self.options)
        info = target.names.get(self.runs_on)
        self.asked_as = self.runs_on if info is None else info.id
        learnt = (target, target.dialect, self.asked_as)
        if learnt != self._built_for:
            self.operation, self._built_for = self._build(target), learnt
        return self.operation.call


class Context(msgspec.Struct):
    """What endpoints share.

    Attributes:
        sender: Sends with retries and recoveries.
        probe: Sends once, for health checks.
        targets: The services that may be asked.
        config: Settings of this client or view.
        emit: Told of what happens.
        flights: Work under way that other threads may wait for.
        locks: Models that requests run on.
        closing: Cancelled when the client closes.
        prepare: Finds out, before the first request by some name, which model it means, and loads it.
        fetch: Downloads a model through the embedded runtime; ``None`` without one.
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

    # ---------------------------------------------------------------- the two doors

    def ask(
        self,
        build: Build[Reply, T],
        options: Options,
        *,
        model: str = "",
        probe: bool = False,
        recognise: bool = True,
    ) -> T:
        """Send what ``build`` makes for the target, and return what the operation reads from the answer.

        Args:
            build: Builds the operation for a target.
            options: The call's options.
            model: The model that it makes work, as the caller named it; ``""`` for none.
            probe: Send once, past retries and breaker, as health checks do.
            recognise: Find out first how the service spells things.
        """
        request = self._request(build, options, model, recognise=recognise)
        reply = (self.probe if probe else self.sender).send(request)
        operation = request.operation
        try:
            return operation.parse(reply)
        except (InvalidReply, ServiceError) as error:  # a response may tell its failure under HTTP 200
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
    ) -> S:
        """Return the answer to what ``build`` makes for the target as a stream of one kind.

        Args:
            kind: The stream's class.
            build: Builds the operation for a target.
            options: The call's options.
            model: The model that it makes work, as the caller named it; ``""`` for none.
            started: Monotonic instant at which the call began; default now.
        """
        began = clock.monotonic() if started is None else started
        request = self._request(build, options, model)
        opened = self.sender.open(request)
        return kind(opened, request.operation, began, self.emit)

    # ---------------------------------------------------------------- what endpoints ask before

    def options(self, **given: Unpack[CallOptions]) -> Options:
        """Return one call's options, checked; what is not given comes from the client's settings.

        Raises:
            ConfigError: One cannot be used.
            TypeError: There is no such option.
        """
        if not given:
            return Options(self.config.timeouts, self._until(None))
        unknown = given.keys() - _DECLARED.keys()
        if unknown:
            raise TypeError(
                f"there is no option {', '.join(sorted(unknown))}; a call takes {', '.join(_DECLARED)}"
            )
        retries, cancel = given.get("retries"), given.get("cancel")
        return Options(
            self.config.timeouts.with_silence(given.get("timeout")),
            self._until(given.get("deadline")),
            given.get("headers") or {},
            None if cancel is None else instance_of("cancel", cancel, CancelToken),
            None if retries is None else whole_number("retries", retries, 0),
            {name: value for name, value in given.items() if name not in _READ_HERE},
        )

    def split(self, given: Mapping[str, Any]) -> tuple[Options, dict[str, object]]:
        """Return the call's options among keyword arguments, checked, and the rest."""
        params = {name: value for name, value in given.items() if name not in _DECLARED}
        if len(params) == len(given):
            return self.options(), params
        return self.options(**{name: value for name, value in given.items() if name in _DECLARED}), params

    def target(self, options: Options) -> Target:
        """Return the target that would be asked now."""
        return self.targets.take(options)

    def dialect_for(self, options: Options, *, probe: bool = False) -> Dialect:
        """Return the dialect of the target, or of the one that was lost; the service is asked once."""
        target = self.targets.current or self.targets.last or self.targets.take(options)
        if target.dialect is not UNKNOWN:
            return target.dialect
        found = detect((self.probe if probe else self.sender).send, options)
        target = self.targets.take(options)  # another one, if it moved meanwhile
        target.learn(found.dialect, found.status)
        return target.dialect

    @property
    def names(self) -> LearnedNames:
        """Return what was learnt about model names; nothing while no service was found."""
        target = self.targets.current
        return LearnedNames() if target is None else target.names

    def url(self) -> str:
        """Return the address that would be asked now."""
        return self.targets.take().url

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

    def _recognise(self, target: Target, options: Options) -> None:
        """Have a target that came up in the middle of a call tell its dialect."""
        del target
        self.dialect_for(options, probe=True)

    def _prepare(self, request: TargetedRequest[Any, Any], model: str, options: Options) -> None:
        """Have an unknown name looked up before it is asked for; a failure is the call's own."""
        prepare = cast("Callable[[str, Options], None]", self.prepare)
        began = clock.monotonic()
        try:
            prepare(model, options)
        except FoundryError as error:
            call = request.call_for(self.targets.take(options))
            error.call, error.model = call.label, error.model or model
            self.emit(
                CallFinished(
                    url=error.url,
                    call_id="",
                    call=call.label,
                    model=call.model,
                    attempt=0,
                    outcome=ERROR,
                    elapsed=clock.monotonic() - began,
                    error=error,
                )
            )
            raise
