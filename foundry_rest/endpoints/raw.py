"""Any route, through the same resilience."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, overload

from foundry_rest.config import Timeouts
from foundry_rest.errors import ConfigError
from foundry_rest.schema.request import check_json
from foundry_rest.services.context import Context
from foundry_rest.services.target import Service
from foundry_rest.transport.call import Call, CancelToken, Options, Replay, Reply, encode_json

T = TypeVar("T")


class Raw:
    """Send requests of the caller's own making."""

    def __init__(self, context: Context, service: Service) -> None:
        self._context, self._service = context, service

    @overload
    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        replay: Replay = Replay.IF_UNSENT,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: None = None,
    ) -> Reply: ...

    @overload
    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        replay: Replay = Replay.IF_UNSENT,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: Callable[[Reply], T],
    ) -> T: ...

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        replay: Replay = Replay.IF_UNSENT,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: Callable[[Reply], T] | None = None,
    ) -> Reply | T:
        """Send any request through the same deadlines, retries and error classes.

        Args:
            method: HTTP verb.
            path: Path below the base URL, with its query.
            json: Body, or ``None`` for none.
            replay: ``Replay.ALWAYS`` if asking twice is harmless; by default a request is repeated
                only when it cannot have begun.
            timeout, deadline, headers, cancel, retries: For this call.
            parse: Reads the answer; its result is returned.

        Raises:
            ConfigError: The path or the body cannot be sent.
            ServiceError: The service answered 300 or more.
            TransportError: No whole answer came.
        """
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        self._service.locate(options)  # within the call's bounds; the transport has none for it
        call = build_raw_call(method, path, json, replay, options, self._service.header_limit)
        reply = self._context.sender.send(call)
        return reply if parse is None else parse(reply)


def build_raw_call(
    method: str, path: str, json: object, replay: Replay, options: Options, header_limit: int | None
) -> Call:
    """Return the call for a route of the caller's choice.

    Raises:
        ConfigError: The verb, the path or the body cannot be sent.
    """
    if not isinstance(method, str) or not (method.isascii() and method.isalpha()):
        raise ConfigError(f"method must be an HTTP verb such as 'GET', not {method!r}")
    check_json(json, "json")
    return Call(
        method.upper(),
        path,
        None if json is None else encode_json(json),
        replay,
        options.timeouts,
        options.until,
        label="request",
        headers=options.headers,
        cancel=options.cancel,
        retries=options.retries,
        header_limit=header_limit,
    )
