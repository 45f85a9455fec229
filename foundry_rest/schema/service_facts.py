"""ServiceFacts: one of the services of a client, as the client knows it."""

from __future__ import annotations

import msgspec

from foundry_rest.values import Value


class ServiceFacts(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One of the services of a client, as the client knows it; nobody is asked.

    Attributes:
        url: Its address.
        generation: Its generation, such as ``"2.x"``; ``None`` before it is recognised.
        circuit: State of its circuit: ``"closed"``, ``"open"`` or ``"half-open"``; ``""`` without a breaker.
        retry_in: Seconds until its circuit admits a call; 0.0 when it does now.
        in_use: Calls and open streams under way.
        weight: How many calls it can bear, in proportion to the others'.
        model: Model that is asked there where a call names none.
        answered_last: Whether it answered last.
        reason: Why its circuit is not closed; ``""`` if it is.
    """

    url: str
    generation: str | None = None
    circuit: str = ""
    retry_in: float = 0.0
    in_use: int = 0
    weight: float = 1.0
    model: str = ""
    answered_last: bool = False
    reason: str = ""
