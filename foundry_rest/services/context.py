"""What every endpoint is given, and what the client has learnt about model names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.config import Config, Timeouts, positive_seconds, whole_number
from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import InvalidReply, ServiceError
from foundry_rest.events import Event
from foundry_rest.models.names import ModelNames
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.schema import DownloadStep
from foundry_rest.transport.call import Call, CancelToken, Options, Reply, Sender, encode_json
from foundry_rest.transport.single_flight import SingleFlight

T = TypeVar("T")

#: Downloads the named model, tells each step, within the options' bounds.
Fetch = Callable[[str, Callable[[DownloadStep], object], Options], None]


class Context(msgspec.Struct):
    """Hold what endpoints share.

    Attributes:
        sender: Sends with retries and cures.
        probe: Sends once, for health checks.
        dialect: Returns the dialect of the service, found over the given sender, within the call's
            bounds, when it is unknown.
        config: Settings of this client or view.
        emit: Told of what happens.
        names: What was learnt about model names.
        flights: Work under way that other threads may wait for.
        seen: Told which process answers.
        locate: Returns the service's address.
        uses: Models that requests run on.
        fetch: Downloads a model through the embedded runtime; ``None`` without one.
    """

    sender: Sender
    probe: Sender
    dialect: Callable[[Sender, Options], Dialect]
    config: Config
    emit: Callable[[Event], None] = lambda event: None
    names: ModelNames = msgspec.field(default_factory=ModelNames)
    flights: SingleFlight = msgspec.field(default_factory=SingleFlight)
    seen: Callable[[int | None], None] = lambda pid: None
    locate: Callable[[], str] = lambda: ""
    uses: ModelLocks = msgspec.field(default_factory=ModelLocks)
    fetch: Fetch | None = None

    def speak(self, options: Options) -> Dialect:
        """Return the dialect of the service."""
        return self.dialect(self.sender, options)

    def options(
        self,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
    ) -> Options:
        """Return one call's options; what is not given comes from the client's settings.

        Args:
            timeout: Seconds of silence, or a whole set.
            deadline: Seconds for the whole call from now; infinity for no bound.
            headers: Added to the client's own.
            cancel: Ends the call from another thread.
            retries: Tries after the first.
        """
        if retries is not None:
            whole_number("retries", retries, 0)
        limit = self.config.deadline if deadline is None else deadline
        if limit != math.inf:
            limit = positive_seconds("deadline", limit)
        timeouts = self.config.timeouts if timeout is None else Timeouts.of(timeout)
        return Options(timeouts, clock.monotonic() + limit, headers or {}, cancel, retries)

    def ask(self, operation: Operation[Reply, T]) -> T:
        """Send an operation and read its answer."""
        return read(operation, self.sender.send(operation.call))


def read(operation: Operation[Reply, T], reply: Reply) -> T:
    """Return what an operation reads from its answer; what cannot be read names the call."""
    try:
        return operation.parse(reply)
    except (InvalidReply, ServiceError) as error:  # a response may tell its failure under HTTP 200
        error.call, error.url, error.model = operation.call.label, reply.url, operation.call.model
        raise


def with_model(call: Call, model_id: str) -> Call | None:
    """Return ``call`` asking for another model id; ``None`` when it asks for that one already."""
    body = _asking(call.body, model_id)
    return (
        None
        if body is None
        else msgspec.structs.replace(call, body=body, plain=_asking(call.plain, model_id))
    )


def _asking(content: bytes | None, model_id: str) -> bytes | None:
    body = msgspec.json.decode(content) if content else None
    if not isinstance(body, dict) or "model" not in body or body["model"] == model_id:
        return None
    return encode_json({**body, "model": model_id})
