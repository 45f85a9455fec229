"""A table of probes: which dialect speaks at an address.

No generation tells its version; what ``/status`` holds does (docs/service.md, section 2).
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

#: By the generation's name: module and class, imported when it speaks, for a program meets one.
DIALECTS = {
    "2.x": ("generation2_native", "Generation2Dialect"),
    "1.x": ("generation1_core", "Generation1Dialect"),
    "0.x": ("generation0_cli", "Generation0Dialect"),
    "openai": ("openai", "OpenAIDialect"),
}
#: The first edition's names, still understood.
_FORMER_NAMES = {"native": "2.x", "core": "1.x", "legacy": "0.x"}

_Fits = Callable[[object], bool]
#: path -> what the decoded body holds -> who speaks; asked in this order, first match wins.
_PROBES: tuple[tuple[str, tuple[tuple[_Fits, str], ...]], ...] = (
    (
        "/status",
        (
            (lambda body: _has(body, "modelCachePath", "pid"), "2.x"),
            (lambda body: _has(body, "modelDirPath"), "1.x"),
        ),
    ),
    (
        "/openai/status",
        # The documents say ModelDirPath, its own client reads modelDirPath.
        ((lambda body: _has(body, "modelDirPath") or _has(body, "ModelDirPath"), "0.x"),),
    ),
    (
        "/v1/models",
        ((lambda body: isinstance(body, list) or _has(body, "data"), "openai"),),
    ),
)


def named(name: str) -> Dialect:
    """Return the dialect of that name.

    Raises:
        ConfigError: There is none.
    """
    name = _FORMER_NAMES.get(name, name)
    if name not in DIALECTS:
        raise ConfigError(f"dialect must be 'auto', {', '.join(map(repr, DIALECTS))}, not {name!r}")
    return class_of(name)()


def class_of(name: str) -> type[Dialect]:
    """Return the class of the dialect of that name."""
    module, class_name = DIALECTS[name]
    found: type[Dialect] = getattr(import_module(f"foundry_rest.dialects.{module}"), class_name)
    return found


class Detected(msgspec.Struct, frozen=True):
    """A service that was recognised: its dialect, and its status where the probe's answer held it."""

    dialect: Dialect
    status: ServiceStatus | None = None


def detect(send: Callable[[Call], Reply], options: Options) -> Detected:
    """Return what speaks at the address that ``send`` reaches.

    Raises:
        InvalidReply: Something answers, but nothing that is known here.
        ServiceError: A gateway in front refuses or fails.
        TransportError: Nothing answers.
    """
    url, refusal = "", None
    for path, speakers in _PROBES:
        try:
            reply = send(_probe(path, options))
            url, body = reply.url, reply.raw
            for fits, dialect in speakers:
                if fits(body):
                    return _detected(named(dialect), path, reply, options)
        except (ServiceError, InvalidReply) as error:
            url = error.url or url
            if isinstance(error, (AuthenticationError, TooManyRequests, ServerError)):
                refusal = error
    if refusal is not None:
        raise refusal
    raise InvalidReply("what answers there is no Foundry Local service", url=url, call="detect")


def _detected(dialect: Dialect, path: str, reply: Reply, options: Options) -> Detected:
    """Return the dialect, with the status that the probe was told where it asked for just that."""
    status = dialect.status(options)
    if status.call.path != path:
        return Detected(dialect)
    try:
        return Detected(dialect, status.parse(reply))
    except InvalidReply:
        return Detected(dialect)


def _probe(path: str, options: Options) -> Call:
    # It may be 2.x, which resets what is longer.
    return Call("GET", path, None, Replay.ALWAYS, options, "detect", header_limit=NATIVE_HEADER_LIMIT)


def _has(body: object, *names: str) -> bool:
    return isinstance(body, dict) and all(name in body for name in names)
