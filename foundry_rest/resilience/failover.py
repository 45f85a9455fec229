"""Failover: which service is asked, and when another one is worth a try. Pure decisions, no I/O.

A try at another service is a retry: it counts, and takes a token from the budget that all calls share. But it
needs no wait, because the other service has not failed yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, TypeVar

from foundry_rest.errors import FoundryError
from foundry_rest.resilience.failures import row_of

#: How the service of a call is chosen: the one with the least to do, or the first that is well.
Preference = Literal["least", "first"]
PREFERENCES = LEAST, FIRST = "least", "first"


class Candidate(Protocol):
    """One service that may be asked."""

    @property
    def load(self) -> float:
        """Return its calls under way for each unit of its weight."""


C = TypeVar("C", bound=Candidate)


def choose(candidates: Sequence[C], prefer: str, pick: Callable[[Sequence[C]], C] = random.choice) -> C:
    """Return the candidate to ask: the first, or one of those with the least to do, at random.

    Random, because equal clients that all begin with the same service would ask it all at once.

    Args:
        candidates: In the order of preference; at least one.
        prefer: ``"first"`` or ``"least"``.
        pick: Returns one of several at random.
    """
    if prefer == FIRST or len(candidates) == 1:
        return candidates[0]
    loads = [candidate.load for candidate in candidates]
    least = min(loads)
    idle = [candidate for candidate, load in zip(candidates, loads, strict=True) if load == least]
    return idle[0] if len(idle) == 1 else pick(idle)


def may_answer_elsewhere(error: FoundryError) -> bool:
    """Return whether another service may answer the same request."""
    return row_of(error).elsewhere
