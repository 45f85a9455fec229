"""LogicalCall: one call of a caller's that several services may be asked to answer."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest import clock
from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.transport.call import Replay


class LogicalCall:
    """One call of a caller's, with what its attempts at all services have shown so far.

    Args:
        id_: Its id in events.
        has_other: Returns whether another service may answer what this error came of.

    Attributes:
        id: Its id in events.
        started: Monotonic instant at which it began.
        failures: The attempts that failed so far, at all services.
        replay: When it may be sent again; always before it was built, and so never sent.
        is_decided: The attempts at the last service have ended with a decision: ``wait``.
        wait: Seconds to wait before a service is asked next; ``None`` to give up.
    """

    __slots__ = ("failures", "has_other", "id", "is_decided", "replay", "started", "wait")

    def __init__(self, id_: str, has_other: Callable[[FoundryError], bool]) -> None:
        self.id, self.has_other, self.started = id_, has_other, clock.monotonic()
        self.failures: list[Attempt] = []
        self.replay = Replay.ALWAYS
        self.is_decided = False
        self.wait: float | None = None

    @property
    def failed(self) -> int:
        """Return how many tries failed so far; one whose cause was removed does not count."""
        return sum(not attempt.cure for attempt in self.failures)

    def decide(self, wait: float | None) -> None:
        """Record what comes after the attempts at one service."""
        self.is_decided, self.wait = True, wait
