"""The service's report about itself, by which its generation is known."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from foundry_rest.values import Value


class ServiceStatus(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The service's report about itself.

    Attributes:
        pid: Id of its process, or ``None``.
        cache_path: Its model directory, or ``""``.
        raw: The decoded body.
        headers: HTTP headers of the response.
    """

    pid: int | None = None
    cache_path: str = ""
    raw: object = None
    headers: Mapping[str, str] = {}
