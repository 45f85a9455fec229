"""What an answer holds until it is over: its slot, its model, and its ticket of the breaker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

import msgspec

from foundry_rest.errors import FoundryError
from foundry_rest.resilience.breaker.breaker import Breaker, Outcome, Ticket
from foundry_rest.resilience.concurrency import Slot
from foundry_rest.resilience.failures import outcome_of
from foundry_rest.resilience.model_locks import ModelLock
from foundry_rest.transport.call import OpenReply

R = TypeVar("R")


class Holdings(msgspec.Struct, frozen=True):
    """Hold what a request takes while it is under way: a slot, and the use of a model."""

    slot: Slot | None
    use: ModelLock | None

    def release(self) -> None:
        """Give both back; the first call counts."""
        for taken in (self.slot, self.use):
            if taken is not None:
                taken.release()


class Lease(msgspec.Struct, Generic[R], frozen=True):
    """Hold an answer with what was taken for it, and its ticket of the breaker."""

    answer: R
    hold: Holdings
    breaker: Breaker | None
    ticket: Ticket | None

    def let_go(self) -> R:
        """Give back what was taken and return the answer."""
        self.hold.release()
        return self.answer

    def succeed(self) -> None:
        """Tell the breaker that the answer came whole; a probe has told it already."""
        if self.ticket is not None and not self.ticket.probe:
            self.report(Outcome.SUCCESS)

    def report(self, outcome: Outcome, error: FoundryError | None = None) -> None:
        """Tell the breaker how the answer ended."""
        if self.breaker is not None and self.ticket is not None:
            self.breaker.report(self.ticket, outcome, error)


class LeasedReply:
    """Pass an open stream on, with its slot until it ends.

    Success is told at the end, so that a service that breaks every stream in the middle is found out; only
    a probe has told it at the first event, for the circuit must not wait for the last. A stream that its
    reader leaves tells nothing.
    """

    def __init__(self, admitted: Lease[OpenReply]) -> None:
        self._admitted = admitted
        self._opened = admitted.answer
        self._has_failed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers."""
        return self._opened.headers

    @property
    def url(self) -> str:
        """Return the address that answers."""
        return self._opened.url

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._opened)

    def set_idle(self, seconds: float) -> None:
        """Bound the time for all that may still come, in seconds."""
        self._opened.set_idle(seconds)

    def fail(self, error: FoundryError) -> None:
        """Tell the breaker what ended the stream, on the wire or in what was read."""
        self._has_failed = True
        self._admitted.report(outcome_of(error), error)

    def finish(self) -> None:
        """Release connection and slot after the last event."""
        self._opened.finish()
        self._admitted.let_go()
        if not self._has_failed:
            self._admitted.succeed()

    def close(self) -> None:
        """Abandon the stream, and release its slot; from any thread."""
        self._opened.close()
        self._admitted.let_go()
