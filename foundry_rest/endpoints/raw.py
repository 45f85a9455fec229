"""Requests to any route, with the same deadlines, retries and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from msgspec.structs import replace

from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ConfigError
from foundry_rest.schema.json_values import check_json
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import encode_json

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.transport.call_options import CallOptions

T = TypeVar("T")

_NOT_IN_PATH = r"[^!-~]|[#\\]"


class Raw:
    """A mixin with ``request``, for classes that have a context."""

    _context: Context

    if TYPE_CHECKING:

        @overload
        def request(
            self,
            method: str,
            path: str,
            *,
            json: object = None,
            replay: Replay = Replay.IF_UNSENT,
            parse: None = None,
            **options: Unpack[CallOptions],
        ) -> Reply: ...

        @overload
        def request(
            self,
            method: str,
            path: str,
            *,
            json: object = None,
            replay: Replay = Replay.IF_UNSENT,
            parse: Callable[[Reply], T],
            **options: Unpack[CallOptions],
        ) -> T: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        replay: Replay = Replay.IF_UNSENT,
        parse: Callable[[Reply], T] | None = None,
        **options: Unpack[CallOptions],
    ) -> Reply | T:
        """Send any request, with the same deadlines, retries and error classes as all others.

        Args:
            method: HTTP verb.
            path: Path below the base URL, with its query.
            json: Body, or ``None`` for none.
            replay: ``Replay.ALWAYS`` if the request may be sent twice; by default it is retried only when the
                service cannot have begun to process it.
            parse: Function that parses the response; its result is returned.
            options: Options of the call, see ``CallOptions``.

        Raises:
            ConfigError: The path or the body cannot be sent.
            ServiceError: The HTTP status is 300 or more.
            TransportError: No whole response came.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.request("GET", "/status").status
            200
        """
        checked = self._context.options(**options)
        call = build_raw_call(method, path, json, replay, checked)
        read: Callable[[Reply], Any] = parse or _unparsed

        def build(target: Target) -> Operation[Reply, Any]:
            return Operation(replace(call, header_limit=target.header_limit), read)

        answer: Reply | T = self._context.ask(build, checked, recognise=False)
        return answer


def build_raw_call(method: str, path: str, json: object, replay: Replay, options: Options) -> Call:
    """Return the call for any route.

    Raises:
        ConfigError: The verb, the path or the body cannot be sent.
    """
    check_route(method, path)
    check_json(json, "json")
    return Call(method.upper(), path, None if json is None else encode_json(json), replay, options)


def check_route(method: object, path: object) -> None:
    """Raise ConfigError for a verb or a path that cannot be sent."""
    if not isinstance(method, str) or not (method.isascii() and method.isalpha()):
        raise ConfigError(f"method must be an HTTP verb such as 'GET', not {method!r}")
    if not isinstance(path, str) or not path.startswith("/") or re.search(_NOT_IN_PATH, path):
        raise ConfigError(
            f"path must start with / and hold printable ASCII without spaces, # or \\, not {path!r}",
            call="request",
        )


def _unparsed(reply: Reply) -> Reply:
    return reply
