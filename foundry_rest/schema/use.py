"""What a client uses beside the service: its slots, its connections, its cache; and how its circuits went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from foundry_rest.values import Value

S = TypeVar("S", bound=msgspec.Struct)


class SlotUse(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The use of a client's slots, one for each call under way.

    Attributes:
        limit: Most calls at a time; with ``max_concurrency="auto"`` the number found so far.
        in_use: Calls and open streams that hold a slot now.
        waiting: Calls that wait for one now.
        waits: Calls that had to wait.
        waited: Seconds that they waited, in sum.
    """

    limit: int = 0
    in_use: int = 0
    waiting: int = 0
    waits: int = 0
    waited: float = 0.0


class ConnectionUse(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The use of a client's connections; those of a given session are counted, too.

    Attributes:
        opened: Connections made.
        requests: Requests sent over them: a connection that is reused serves several.
        idle: Connections that wait for the next request now.
    """

    opened: int = 0
    requests: int = 0
    idle: int = 0


class CacheUse(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The use of a client's cache.

    Attributes:
        hits: Calls that it answered, or an equal call under way did.
        stale: Those of these whose answer had expired, while the circuit was open.
        misses: Calls that it could not answer.
        kept: Answers that it took in.
    """

    hits: int = 0
    stale: int = 0
    misses: int = 0
    kept: int = 0


class CircuitChange(Value, msgspec.Struct, frozen=True, kw_only=True):
    """A change of the state of an address's circuit.

    Attributes:
        at: When, in seconds since 1970.
        url: The address.
        before: State before: ``"closed"``, ``"open"`` or ``"half-open"``.
        after: State after.
    """

    at: float
    url: str
    before: str
    after: str


def summed(kind: type[S], parts: Iterable[S]) -> S:
    """Return a struct of numbers whose fields are the sums of those of all parts."""
    found = list(parts)
    return kind(**{name: sum(getattr(part, name) for part in found) for name in kind.__struct_fields__})
