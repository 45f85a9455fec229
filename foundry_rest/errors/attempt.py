"""The record of one failed try of a call, as errors carry it."""

from __future__ import annotations

import msgspec

from foundry_rest.values import Value


class Attempt(Value, msgspec.Struct, frozen=True):
    """The record of one failed try of a call.

    Attributes:
        number: 1 for the first try.
        at: Seconds from the start of the call to the start of this try.
        elapsed: Seconds that this try took.
        error: The error's class name.
        message: What happened, without advice.
        cure: What was done before the next try (``"load"``, ``"resolve"``, ``"rediscover"`` or
            ``"reconnect"``), or ``""``.
        wait: Seconds waited before the next try.
        model: The model that was asked, of a call with ``fallback_models``; else ``""``.
        url: The service that was asked, of a client of several; else ``""``.
    """

    number: int
    at: float
    elapsed: float
    error: str
    message: str
    cure: str = ""
    wait: float = 0.0
    model: str = ""
    url: str = ""
