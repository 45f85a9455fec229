"""Frozen facts that observers are told. None holds a prompt, an answer or a key."""

from __future__ import annotations

import msgspec

from foundry_rest.errors import FoundryError


class Event(msgspec.Struct, frozen=True):
    """Tell about one call.

    Attributes:
        call: Label of the operation, such as ``"chat.complete"``.
        url: Address of the service.
        model: Model name as the caller gave it.
    """

    call: str
    url: str
    model: str


class AttemptFailed(Event, frozen=True):
    """Tell that one try failed.

    Attributes:
        number: 1 for the first try.
        error: What happened.
        elapsed: Seconds of this try.
        wait: Seconds until the next try, or ``None`` when there is none.
        cure: What was done before the next try (``"load"``, ``"resolve"``), or ``""``.
    """

    number: int
    error: FoundryError
    elapsed: float
    wait: float | None
    cure: str = ""


class CallFinished(Event, frozen=True):
    """Tell that a call ended, well or not; for a stream, when its last event came.

    Attributes:
        elapsed: Seconds from the start of the call, all attempts and waits included.
        error: ``None`` for a call that ended well.
        first_token: Seconds to the first event of a stream, else ``None``.
        prompt_tokens: As the service counted, or 0.
        completion_tokens: As the service counted, or 0.
    """

    elapsed: float
    error: FoundryError | None = None
    first_token: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class CureStarted(Event, frozen=True):
    """Tell that the cause of a failure is being removed, which may take minutes for a load.

    Attributes:
        cure: ``"load"``, ``"resolve"`` or ``"rediscover"``.
        error: The failure.
    """

    cure: str
    error: FoundryError


class CircuitChanged(Event, frozen=True):
    """Tell that the circuit of an address changed its state.

    Attributes:
        before: ``"closed"``, ``"open"`` or ``"half-open"``.
        after: The same.
    """

    before: str
    after: str


class ServiceMoved(Event, frozen=True):
    """Tell that the service is at another address now.

    Attributes:
        before: Where it was.
    """

    before: str
