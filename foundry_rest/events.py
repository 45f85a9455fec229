"""Frozen facts that observers are told. None holds a prompt, an answer or a key.

An event is about a call (``CallEvent``) or about a service. All events of one call carry the same
``call_id``; the last one is its ``CallFinished``, which tells how it ended.
"""

from __future__ import annotations

import msgspec

from foundry_rest.errors import FoundryError

#: How a call may end; a call whose answer came from a cache is ``"cached"``.
OK, ERROR, ABANDONED, CACHED = "ok", "error", "abandoned", "cached"


class Event(msgspec.Struct, frozen=True):
    """One fact.

    Attributes:
        url: Address of the service.
    """

    url: str


class CallEvent(Event, frozen=True):
    """One fact about one call.

    Attributes:
        call_id: Id of the call, the same in all its events.
        call: Label of the operation, such as ``"chat.complete"``.
        model: Model name as the caller gave it.
        attempt: Number of the try that it is about, from 1; 0 when there was none.
    """

    call_id: str
    call: str
    model: str
    attempt: int

    @property
    def number(self) -> int:
        """Return ``attempt``, by its first name."""
        return self.attempt


class AttemptFailed(CallEvent, frozen=True):
    """One try that failed.

    Attributes:
        error: What happened.
        elapsed: Seconds of this try.
        wait: Seconds until the next try, or ``None`` when there is none.
        cure: What was done before the next try (``"load"``, ``"resolve"``), or ``""``.
    """

    error: FoundryError
    elapsed: float
    wait: float | None
    cure: str = ""


class CallFinished(CallEvent, frozen=True):
    """The end of a call, well or not; for a stream, when its last event came or its reader left.

    Attributes:
        outcome: ``"ok"``, ``"error"``, ``"abandoned"`` for a stream that its reader left, or ``"cached"``.
        elapsed: Seconds from the start of the call, all attempts and waits included.
        error: ``None`` for a call that did not fail.
        first_token: Seconds to the first event of a stream, else ``None``.
        prompt_tokens: As the service counted, or 0.
        completion_tokens: As the service counted, or 0.
    """

    outcome: str
    elapsed: float
    error: FoundryError | None = None
    first_token: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class CureStarted(CallEvent, frozen=True):
    """The beginning of a recovery from a failure, which may take minutes for a load.

    Attributes:
        cure: ``"load"``, ``"resolve"`` or ``"rediscover"``.
        error: The failure.
    """

    cure: str
    error: FoundryError


class CircuitChanged(Event, frozen=True):
    """A change of the circuit of an address.

    Attributes:
        before: ``"closed"``, ``"open"`` or ``"half-open"``.
        after: The same.
    """

    before: str
    after: str


class ServiceMoved(Event, frozen=True):
    """A service that is at another address now.

    Attributes:
        before: Where it was.
    """

    before: str
