"""Any route, through the same resilience."""

from __future__ import annotations

from foundry_rest.errors import ConfigError
from foundry_rest.schema.request import check_json
from foundry_rest.transport.call import Call, Options, Replay, encode_json


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
        header_limit=header_limit,
    )
