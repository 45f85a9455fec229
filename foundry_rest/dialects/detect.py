"""The detection of the dialect at an address, by a table of probes.

No generation reports its version, but the fields of ``/status`` identify it (docs/service.md, section 2).
``/v1/models`` comes last: on Foundry Local it may wait for the public catalog.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

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

_Predicate = Callable[[object], bool]
#: (path, ((predicate on the decoded body, generation), ...)), probed in order; the first match wins.
_PROBES: tuple[tuple[str, tuple[tuple[_Predicate, str], ...]], ...] = (
    (
        "/status",
        (
            (lambda body: _has_keys(body, "modelCachePath", "pid"), "2.x"),
            (lambda body: _has_keys(body, "modelDirPath"), "1.x"),
        ),
    ),
    (
        "/openai/status",
        # 0.x's documents say ModelDirPath, its own client reads modelDirPath.
        ((lambda body: _has_keys(body, "modelDirPath") or _has_keys(body, "ModelDirPath"), "0.x"),),
    ),
    (
        "/v1/models",
        ((lambda body: isinstance(body, list) or _has_keys(body, "data"), "openai"),),
    ),
)


def named(name: str) -> Dialect:
    """Return a dialect by its generation's name.

    Raises:
        ConfigError: There is no such generation.
    """
    name = _EARLIER_NAMES.get(name, name)
    if name not in DIALECTS:
        raise ConfigError(f"dialect must be 'auto', {', '.join(map(repr, DIALECTS))}, not {name!r}")
    return class_of(name)()


def class_of(name: str) -> type[Dialect]:
    """Return the class of a dialect by its generation's name."""
    module, class_name = DIALECTS[name]
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
    url, refusal = "", None
    for path, candidates in _PROBES:
        try:
            reply = send(_probe(path, options))
            url, body = reply.url, reply.raw
            for matches, dialect in candidates:
                if matches(body):
                    return _detected(named(dialect), path, reply, options)
        except (ServiceError, InvalidReply) as error:
            url = error.url or url
            if isinstance(error, (AuthenticationError, TooManyRequests, ServerError)):
                refusal = error
    if refusal is not None:
        raise refusal
    raise InvalidReply("what answers there is no Foundry Local service", url=url, call="detect")


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
