"""The detection of the dialect at an address.

No generation reports its version, but the fields of ``/status`` identify 2.x and 1.x
(docs/reference/service.md, section 2). 0.x is known by ``/openai/status``, asked only where the ``Server``
header allows it: gateways pass it on to a service outside. Any other server with ``/v1/models`` speaks
OpenAI's dialect.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from urllib.parse import urlsplit

import msgspec

from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import (
    AuthenticationError,
    ConfigError,
    InvalidReply,
    ServerError,
    ServiceError,
    TooManyRequests,
)
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ServiceStatus
from foundry_rest.transport.call import NATIVE_HEADER_LIMIT, Call, Options, Replay, Reply

#: Generation -> (module, class); imported only when detected, because most programs meet one generation.
DIALECTS = {
    "2.x": ("generation2_native", "Generation2Dialect"),
    "1.x": ("generation1_core", "Generation1Dialect"),
    "0.x": ("generation0_cli", "Generation0Dialect"),
    "openai": ("openai", "OpenAIDialect"),
}
#: Earlier names of the generations, still accepted.
_EARLIER_NAMES = {"native": "2.x", "core": "1.x", "legacy": "0.x"}

#: What the ``Server`` header of 0.x and 1.x holds.
_MICROSOFTS = "kestrel"
_UNKNOWN_ADVICE = Advice(
    Words(
        'If it speaks OpenAI\'s dialect, give dialect="openai"; else look at the address.',
        "Look at the address.",
    ),
    Words("What answers there is told by: foundry-rest health.", runs="health"),
)


def named(name: str, url: str = "") -> Dialect:
    """Return a dialect by its generation's name.

    Args:
        name: ``"2.x"``, ``"1.x"``, ``"0.x"`` or ``"openai"``.
        url: Base URL; a path in it stands in place of ``/v1`` for ``"openai"``.

    Raises:
        ConfigError: There is no such generation.
    """
    name = _EARLIER_NAMES.get(name, name)
    if name not in DIALECTS:
        raise ConfigError(f"dialect must be 'auto', {', '.join(map(repr, DIALECTS))}, not {name!r}")
    dialect_class = class_of(name)
    return dialect_class.at(url) if name == "openai" else dialect_class()  # type: ignore[attr-defined]


def class_of(name: str) -> type[Dialect]:
    """Return the class of a dialect by its generation's name."""
    module, class_name = DIALECTS[name]
    with late_import():
        dialect_class: type[Dialect] = getattr(import_module(f"foundry_rest.dialects.{module}"), class_name)
    return dialect_class


class Detected(msgspec.Struct, frozen=True):
    """A detected service: its dialect, and its status when the probe's response held it."""

    dialect: Dialect
    status: ServiceStatus | None = None


def detect(send: Callable[[Call], Reply], options: Options) -> Detected:
    """Return the dialect of the service that ``send`` reaches.

    Raises:
        InvalidReply: No probe recognised the response.
        ServiceError: A gateway in front of the service refused or failed.
        TransportError: No response came.
    """
    probes = _Probes(send, options)
    found = probes.ask("/status", _by_status)
    if found is not None:
        return found
    stranger = probes.ask("/models", _by_models) if urlsplit(probes.url).path else None
    stranger = stranger or probes.ask("/v1/models", _by_models)
    if _MICROSOFTS in probes.servers or not (stranger or probes.servers):
        found = probes.ask("/openai/status", _by_old_status)
    if found or stranger:
        return found or stranger  # type: ignore[return-value]
    if probes.refusal is not None:
        raise probes.refusal
    raise InvalidReply(
        "what answers there is no Foundry Local service",
        url=probes.url,
        call="detect",
        advice=_UNKNOWN_ADVICE,
    )


class _Probes:
    """The requests by which a service is recognised.

    Attributes:
        servers: What the ``Server`` headers so far hold, in lower case.
        url: The address that answered.
        refusal: The last refusal of a gateway.
    """

    def __init__(self, send: Callable[[Call], Reply], options: Options) -> None:
        self._send, self._options = send, options
        self.servers, self.url = "", ""
        self.refusal: ServiceError | None = None

    def ask(self, path: str, recognise: Callable[[object], str]) -> Detected | None:
        """Return the service that ``recognise`` names for the response to one path."""
        try:
            reply = self._send(_probe(path, self._options))
            self.url = reply.url
            self.servers += reply.headers.get("server", "").lower()
            name = recognise(reply.raw)
            dialect = named(name, reply.url if path == "/models" else "") if name else None
            return None if dialect is None else _detected(dialect, path, reply, self._options)
        except (ServiceError, InvalidReply) as error:
            self.url = error.url or self.url
            response = getattr(error, "response", None)
            self.servers += "" if response is None else response.headers.get("server", "").lower()
            if isinstance(error, (AuthenticationError, TooManyRequests, ServerError)):
                self.refusal = error
            return None


def _by_status(body: object) -> str:
    if _has_keys(body, "modelCachePath", "pid"):
        return "2.x"
    return "1.x" if _has_keys(body, "modelDirPath") else ""


def _by_models(body: object) -> str:
    return "openai" if isinstance(body, list) or _has_keys(body, "data") else ""


def _by_old_status(body: object) -> str:
    """0.x's documents say ModelDirPath, its own client reads modelDirPath."""
    return "0.x" if _has_keys(body, "modelDirPath") or _has_keys(body, "ModelDirPath") else ""


def _detected(dialect: Dialect, path: str, reply: Reply, options: Options) -> Detected:
    """Return the dialect, with its status if the probe's path is the dialect's status route."""
    status = dialect.status(options)
    if status.call.path != path:
        return Detected(dialect)
    try:
        return Detected(dialect, status.parse(reply))
    except InvalidReply:
        return Detected(dialect)


def _probe(path: str, options: Options) -> Call:
    # It may be 2.x, which resets requests with longer headers.
    return Call("GET", path, None, Replay.ALWAYS, options, "detect", header_limit=NATIVE_HEADER_LIMIT)


def _has_keys(body: object, *keys: str) -> bool:
    return isinstance(body, dict) and all(name in body for name in keys)
