"""The names of spans, their events and attributes, and what each is read from.

Those that begin with ``gen_ai``, ``http``, ``server``, ``url`` and ``error`` are OpenTelemetry's own: of the
published semantic conventions (1.41), or of the latest ones, which have no release yet. The conventions have
no name for the others, which begin with ``foundry_rest``. The names of metrics are in ``metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from foundry_rest.events import (
    AttemptFailed,
    CallFinished,
    CircuitChanged,
    CureStarted,
    Event,
    ServiceMoved,
    TimeoutChanged,
)

#: The value of ``gen_ai.provider.name``: the conventions have none for Foundry Local.
PROVIDER = "foundry_local"
#: Label of a call -> the conventions' name of the operation; any other label is a name of its own.
OPERATIONS = {
    "chat.complete": "chat",
    "chat.completion": "chat",
    "chat.stream": "chat",
    "responses.create": "chat",
    "responses.stream": "chat",
    "embeddings.create": "embeddings",
}

Value = str | int | float


def operation_of(label: str) -> str:
    """Return the name of the operation that a call's label means."""
    return OPERATIONS.get(label, label)


@lru_cache(maxsize=64)  # asked several times in every call, for a handful of addresses
def server_of(url: str) -> tuple[str, int | None]:
    """Return host and port of an address; ``("", None)`` for one that is not known.

    >>> server_of("http://127.0.0.1:5273"), server_of("https://gateway/api")
    (('127.0.0.1', 5273), ('gateway', 443))
    """
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


#: Attribute -> its value, read from an event; ``None`` and ``""`` are left out.
_READ: dict[str, Callable[[Any], Value | None]] = {
    "gen_ai.operation.name": lambda event: operation_of(event.call),
    "gen_ai.provider.name": lambda event: PROVIDER,
    "gen_ai.request.model": lambda event: event.model,
    "gen_ai.response.time_to_first_chunk": lambda event: event.first_token,
    "gen_ai.usage.input_tokens": lambda event: event.prompt_tokens or None,
    "gen_ai.usage.output_tokens": lambda event: event.completion_tokens or None,
    "server.address": lambda event: server_of(event.url)[0],
    "server.port": lambda event: server_of(event.url)[1],
    "error.type": lambda event: None if event.error is None else type(event.error).__name__,
    "foundry_rest.label": lambda event: event.call,
    "foundry_rest.call_id": lambda event: event.call_id,
    "foundry_rest.attempt": lambda event: event.attempt,
    "foundry_rest.outcome": lambda event: event.outcome,
    "foundry_rest.cure": lambda event: event.cure,
    "foundry_rest.wait": lambda event: event.wait,
    "foundry_rest.phase": lambda event: event.phase,
    "foundry_rest.before": lambda event: event.before,
    "foundry_rest.after": lambda event: event.after,
}
SERVER = ("server.address", "server.port")
OF_CALL = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", *SERVER)


def attributes_of(event: Event, names: Iterable[str]) -> dict[str, Value]:
    """Return the attributes of these names that an event tells."""
    read = ((name, _READ[name](event)) for name in names if name in _READ)
    return {name: value for name, value in read if value is not None and value != ""}


# ---------------------------------------------------------------- spans


class Signal(NamedTuple):
    """One kind of span, or of event on a call's span.

    Attributes:
        name: Its name; attributes in braces stand for their values.
        kind: ``"CLIENT"`` or ``"INTERNAL"`` for a span, ``""`` for an event on the call's span.
        attributes: Names of its attributes; those that are not known are left out.
        help: What it is.
    """

    name: str
    kind: str
    attributes: tuple[str, ...]
    help: str


#: What is known of a call when its span starts.
CALL_STARTS = (*OF_CALL, "foundry_rest.label", "foundry_rest.call_id")

CALL = Signal(
    "{gen_ai.operation.name} {gen_ai.request.model}",
    "CLIENT",
    (
        *CALL_STARTS,
        "gen_ai.request.stream",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "error.type",
        "foundry_rest.attempt",
        "foundry_rest.outcome",
    ),
    "A call, from its start to its last event: all attempts and waits.",
)
ATTEMPT = Signal(
    "{http.request.method}",
    "CLIENT",
    (
        "http.request.method",
        "url.full",
        *SERVER,
        "http.request.resend_count",
        "http.response.status_code",
        "error.type",
    ),
    "One request of a call, to the end of its answer; a child of the call's span.",
)
#: Event -> what it is told as.
SIGNALS: dict[type[Event], Signal] = {
    AttemptFailed: Signal(
        "foundry_rest.attempt_failed",
        "",
        ("error.type", "foundry_rest.attempt", "foundry_rest.cure", "foundry_rest.wait"),
        "An attempt that failed, also one that was refused before it was sent.",
    ),
    CallFinished: CALL,
    CureStarted: Signal(
        "foundry_rest.cure_started",
        "",
        ("error.type", "foundry_rest.attempt", "foundry_rest.cure"),
        "The start of a recovery.",
    ),
    CircuitChanged: Signal(
        "circuit {foundry_rest.after}",
        "INTERNAL",
        (*SERVER, "foundry_rest.before", "foundry_rest.after"),
        "A change of the state of an address's circuit; it has no length.",
    ),
    ServiceMoved: Signal(
        "service moved",
        "INTERNAL",
        (*SERVER, "foundry_rest.before"),
        "The move of a service to another address; it has no length.",
    ),
    TimeoutChanged: Signal(
        "timeout changed",
        "INTERNAL",
        (
            *SERVER,
            "gen_ai.request.model",
            "foundry_rest.label",
            "foundry_rest.phase",
            "foundry_rest.before",
            "foundry_rest.after",
        ),
        "A change of an adaptive time-out, in seconds; it has no length.",
    ),
}


def name_of(signal: Signal, attributes: Mapping[str, Value]) -> str:
    """Return the name of a span with the values of its attributes."""
    name = signal.name
    for attribute in signal.attributes:
        name = name.replace(f"{{{attribute}}}", str(attributes.get(attribute, "")))
    return name.strip()
