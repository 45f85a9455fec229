"""Batches: many requests in a bounded window, with an answer or an error for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from foundry_rest import clock
from foundry_rest.checks import flag, instance_of, only_known, whole_number_or_auto
from foundry_rest.config import MAX_CONCURRENCY
from foundry_rest.endpoints.window import Window
from foundry_rest.errors import Cancelled, ConfigError, ExecutorBroken, FoundryError
from foundry_rest.schema.batch import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    Answer,
    BatchRequest,
    BatchResult,
    read_request,
)
from foundry_rest.transport.call import BATCH
from foundry_rest.transport.call_options import CallOptions
from foundry_rest.transport.cancellation import CancelToken

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from foundry_rest.endpoints.chat import Chat
    from foundry_rest.endpoints.embeddings import Embeddings
    from foundry_rest.endpoints.responses import Responses
    from foundry_rest.resilience.adaptive_slots import AdaptiveSlots
    from foundry_rest.services.context import Context

T = TypeVar("T")

#: Calls at a time. Where all share two cores the service is full at 2 to 4, and more only wait longer
#: (docs/reference/service.md, section 10.2).
CONCURRENCY = 4


class Answering(Protocol):
    """A client's endpoints that answer the requests of a batch."""

    @property
    def chat(self) -> Chat:
        """Return the chat endpoint."""

    @property
    def embeddings(self) -> Embeddings:
        """Return the embeddings endpoint."""

    @property
    def responses(self) -> Responses:
        """Return the Responses endpoint."""


def answer(client: Answering, request: BatchRequest, **options: Unpack[CallOptions]) -> Answer:
    """Send one request of a batch and return its answer.

    Raises:
        FoundryError: Whatever the endpoint raises.
    """
    arguments: dict[str, Any] = {**request.params, "lane": BATCH, **options, "model": request.model}
    arguments.pop("encoding_format", None)  # how vectors are written, which is not the service's business
    return _METHODS[request.url](client)(request.input, **arguments)


class WorkerCalls(Protocol):
    """Where calls are made in place of this process."""

    def call(self, function: Callable[..., T], *arguments: object, **options: Unpack[CallOptions]) -> T:
        """Return what the function returns for a client of theirs and these arguments."""


class Answers(Protocol):
    """Who answers the requests of a batch."""

    def __call__(self, request: BatchRequest, **options: Unpack[CallOptions]) -> Answer:
        """Return the answer of one request."""


def answers_of(client: Answering, workers: WorkerCalls | None) -> Answers:
    """Return who answers: the client in this process, or the workers of an executor."""
    return partial(answer, client) if workers is None else partial(workers.call, answer)


_METHODS: dict[str, Callable[[Answering], Callable[..., Answer]]] = {
    CHAT: lambda client: client.chat.complete,
    RESPONSES: lambda client: client.responses.create,
    EMBEDDINGS: lambda client: client.embeddings.create,
}


class Gate:
    """The bound on the calls of a batch that are under way at once.

    It is a fixed number, or one that is found out from what the service delivers. A service that bounds its
    calls by itself gets the usual number.

    Args:
        concurrency: The number, or ``"auto"``.
        most: Largest number that ``"auto"`` may find.
        is_fixed: Tells whether the service bounds its calls by itself.

    Attributes:
        threads: Threads that make the calls; those without a slot wait.
    """

    def __init__(
        self,
        concurrency: int | Literal["auto"],
        most: int = MAX_CONCURRENCY,
        is_fixed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._slots: AdaptiveSlots | None = None
        self.threads = most if concurrency == "auto" else concurrency
        if concurrency == "auto":
            from foundry_rest.resilience.adaptive_slots import AdaptiveSlots

            self._slots = AdaptiveSlots(most, fixed=is_fixed, instead=CONCURRENCY, longest=math.inf)

    @classmethod
    def at(cls, context: Context, concurrency: int | Literal["auto"]) -> Self:
        """Return the gate of a batch that a client sends; one that adapts its slots needs no second bound."""
        config, targets = context.config, context.targets
        if concurrency == config.max_concurrency == "auto":
            return cls(config.most_calls)
        return cls(concurrency, config.most_calls, lambda: targets.limits_calls)

    @property
    def reached(self) -> int:
        """Return the number of calls at a time that is right as far as is known."""
        return self.threads if self._slots is None else self._slots.settled

    @contextmanager
    def turn(self, cancels: Iterable[CancelToken]) -> Iterator[Callable[[Answer], Answer]]:
        """Wait for room for one request; within the block, pass its answer through the yielded function.

        Raises:
            Cancelled: One of ``cancels`` ended the wait.
        """
        if self._slots is None:
            yield _unchanged
            return
        counts: list[int] = []

        def count(value: Answer) -> Answer:
            counts.append(value.usage.completion_tokens or value.usage.prompt_tokens or 1)
            return value

        slot = self._slots.acquire(cancels=cancels)
        try:
            yield count
        finally:
            slot.release()
        for tokens in counts:
            self._slots.finished(tokens)


def _unchanged(value: Answer) -> Answer:
    return value


def run_batch(
    client: Answering,
    context: Context,
    requests: Iterable[str | Mapping[str, object] | BatchRequest],
    *,
    max_concurrency: int | Literal["auto"] | None,
    ordered: bool,
    options: CallOptions,
    workers: WorkerCalls | None = None,
) -> Iterator[BatchResult]:
    """Return an iterator over the results; check the arguments at once, send nothing before its first step.

    Raises:
        ConfigError: An argument cannot be used.
    """
    only_known(options, CallOptions.__annotations__)
    context.options(**options)
    most = context.config.most_calls
    size = min(CONCURRENCY, most) if max_concurrency is None else max_concurrency
    checked = whole_number_or_auto("max_concurrency", size)
    if checked != "auto" and checked > most and workers is None:
        raise ConfigError(
            f"max_concurrency={checked} is more than the client's {most}",
            advice=f"Make the client with max_concurrency={checked}.",
        )
    flag("ordered", ordered)
    if isinstance(requests, (str, bytes, Mapping)) or not isinstance(requests, Iterable):
        raise ConfigError("requests must be an iterable of requests, not a single one")
    given = options.get("cancel")
    cancel = CancelToken() if given is None else instance_of("cancel", given, CancelToken)
    answers, gate = answers_of(client, workers), Gate.at(context, checked)
    return _Run(answers, context, cancel, options, gate).results(requests, ordered=ordered)


class _Run:
    """One run over the requests of a batch."""

    def __init__(
        self, answers: Answers, context: Context, cancel: CancelToken, options: CallOptions, gate: Gate
    ) -> None:
        self._answer, self._context, self._gate = answers, context, gate
        self._given, self._left = cancel, CancelToken()
        self._ends = (self._left, context.closing)
        self._options: CallOptions = {**options, "cancel": self._left}

    def results(self, requests: Iterable[Any], *, ordered: bool) -> Iterator[BatchResult]:
        key = self._given.watch(self._left.cancel)
        end_calls, size = self._left.cancel, self._gate.threads
        window = Window(self._result, enumerate(requests), size, end_calls=end_calls, ordered=ordered)
        groups = window.groups()
        try:
            for group in groups:
                yield from group
                if self._left.cancelled or self._context.closing.cancelled:
                    # Requests that nobody has read would be dropped in silence.
                    raise Cancelled("the batch was ended from elsewhere", call="batch")
        finally:
            self._given.unwatch(key)
            groups.close()

    def _result(self, numbered: tuple[int, Any]) -> BatchResult:
        """Return the outcome of one request; an error is a part of it."""
        index, given = numbered
        started, name = clock.monotonic(), f"request-{index}"
        try:
            request = read_request(given, name, self._context.config.model)
            name = request.custom_id
            with self._gate.turn(self._ends) as count:
                started = clock.monotonic()
                value = count(self._answer(request, **self._options))
        except ExecutorBroken:  # it would be the result of every further request
            raise
        except FoundryError as error:
            return BatchResult(custom_id=name, index=index, error=error, elapsed=clock.monotonic() - started)
        return BatchResult(custom_id=name, index=index, value=value, elapsed=clock.monotonic() - started)
