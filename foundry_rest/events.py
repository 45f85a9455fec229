"""The events that observers receive: frozen facts, none of which holds a prompt, a reply or a key.

An event is about a call (``CallEvent``) or about a service. All events of one call have the same
``call_id``; the last one is its ``CallFinished``, which states the outcome.
"""

from __future__ import annotations

import msgspec

from foundry_rest.errors import FoundryError
from foundry_rest.values import Value

#: The outcomes of a call; ``"cached"`` is for one that was answered from a cache.
OK, ERROR, ABANDONED, CACHED = "ok", "error", "abandoned", "cached"


class Event(Value, msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        url: Address of the service.
    """

    url: str


class CallEvent(Event, frozen=True):
    """One event of one call.

    Attributes:
        call_id: Id of the call, the same in all its events.
        call: Label of the operation, such as ``"chat.complete"``.
        model: Model name as the caller gave it.
        attempt: Number of the attempt, from 1; 0 when none was made.
    """

    call_id: str
    call: str
    model: str
    attempt: int

    @property
    def number(self) -> int:
        """Return ``attempt``, which was formerly called ``number``."""
        return self.attempt


class AttemptFailed(CallEvent, frozen=True):
    """One attempt that failed.

    Attributes:
        error: The failure.
        elapsed: Seconds that the attempt took.
        wait: Seconds until the next attempt; ``None`` when there is none.
        cure: Recovery before the next attempt (``"load"``, ``"resolve"``, ``"rediscover"`` or
            ``"reconnect"``), or ``""``.
    """

    error: FoundryError
    elapsed: float
    wait: float | None
    cure: str = ""


class CallFinished(CallEvent, frozen=True):
    """The end of a call; for a stream, the arrival of its last event or its early close.

    Attributes:
        outcome: ``"ok"``, ``"error"``, ``"abandoned"`` for a stream that was closed early, or ``"cached"``.
        elapsed: Seconds from the start of the call, all attempts and waits included.
        error: The failure; ``None`` for a call that did not fail.
        first_token: Seconds to the first event of a stream, else ``None``.
        prompt_tokens: Count that the service reported, or 0.
        completion_tokens: Count that the service reported, or 0.
    """

    outcome: str
    elapsed: float
    error: FoundryError | None = None
    first_token: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class CureStarted(CallEvent, frozen=True):
    """The start of a recovery from a failure; a load may take minutes.

    Attributes:
        cure: ``"load"``, ``"resolve"`` or ``"rediscover"``.
        error: The failure.
    """

    cure: str
    error: FoundryError


class CircuitChanged(Event, frozen=True):
    """A change of the state of an address's circuit.

    Attributes:
        before: State before: ``"closed"``, ``"open"`` or ``"half-open"``.
        after: State after: one of the same.
    """

    before: str
    after: str


class ServiceMoved(Event, frozen=True):
    """The move of a service to another address.

    Attributes:
        before: The address where it was.
    """

    before: str


class TimeoutChanged(Event, frozen=True):
    """A change of an adaptive time-out, which holds from the next attempt on.

    Attributes:
        call: Label of the operations that it is for.
        model: Model name as the caller gave it.
        phase: ``"first_token"`` or ``"idle"``.
        length: Bytes of the longest request that it is for; shorter ones have their own.
        load: Most calls under way for which it holds; fewer have their own.
        before: Seconds before.
        after: Seconds now.
        reason: What it follows, in one sentence.
    """

    call: str
    model: str
    phase: str
    length: int
    load: int
    before: float
    after: float
    reason: str
