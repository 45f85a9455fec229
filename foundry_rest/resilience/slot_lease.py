"""Leases: the slot, the model's lock and the breaker's ticket that an answer holds until its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.resilience.breaker.breaker import Breaker, Outcome, Ticket
from foundry_rest.resilience.concurrency import Slot
from foundry_rest.resilience.model_locks import SharedLock

if TYPE_CHECKING:
    from foundry_rest.transport.interfaces import OpenReply


class Lease:
    """The slot and the model's lock of one attempt, and the breaker's ticket once it is admitted.

    Attributes:
        breaker: The circuit that admitted it, or ``None``.
        ticket: The circuit's ticket.
    """

    __slots__ = ("_has_reported", "_lock", "_slot", "breaker", "ticket")

    def __init__(self, slot: Slot | None, lock: SharedLock | None) -> None:
        self._slot, self._lock = slot, lock
        self.breaker: Breaker | None = None
        self.ticket: Ticket | None = None
        self._has_reported = False

    def admit(self, breaker: Breaker) -> None:
        """Take the breaker's ticket.

        Raises:
            CircuitOpen: The breaker refuses the attempt.
        """
        self.ticket = breaker.admit()
        self.breaker = breaker

    def report(self, outcome: Outcome, error: FoundryError | None = None) -> None:
        """Report to the breaker how the attempt or its answer ended."""
        if self.breaker is not None and self.ticket is not None:
            self.breaker.report(self.ticket, outcome, error)

    def begin(self) -> None:
        """Report success when a probe's answer has begun: the circuit must not wait for its end."""
        if self.ticket is not None and self.ticket.probe:
            self._has_reported = True
            self.report(Outcome.SUCCESS)

    def succeed(self) -> None:
        """Report success at the end of the answer, unless ``begin`` did, and release the lease."""
        if self.breaker is not None and self.ticket is not None and not self._has_reported:
            self.breaker.report(self.ticket, Outcome.SUCCESS)
        self.release()

    def release(self) -> None:
        """Release slot and lock; the first call counts."""
        if self._slot is not None:
            self._slot.release()
        if self._lock is not None:
            self._lock.release()


class LeasedReply:
    """An open stream with its lease, which it keeps until it ends.

    Success is reported at the end, so that the breaker notices a service that breaks every stream in the
    middle; only a probe reports it at the first event, because the circuit must not wait for the last. An
    abandoned stream reports nothing. One that breaks is the first sign of a service that has ended: the next
    call searches for it, else several streams that break at once open the circuit of an address it has left.

    Args:
        opened: The open stream.
        lease: Its slot, lock and ticket.
        call_id: Id of the call in events.
        failures: The attempts that failed before it.
        miss: Called with the address of a service that broke the stream.

    Attributes:
        call_id: Id of the call in events.
        attempt: Number of the attempt that opened it.
        failures: The attempts that failed before it.
        url: The address that answers.
        cached: It comes from a cache, which no answer of the service does.
        stale_for: Seconds since it expired there.
    """

    cached = False
    stale_for = 0.0

    def __init__(
        self,
        opened: OpenReply,
        lease: Lease,
        call_id: str,
        failures: tuple[Attempt, ...],
        miss: Callable[[str], None],
    ) -> None:
        self.call_id, self.attempt, self.failures = call_id, len(failures) + 1, failures
        self.url = opened.url
        self._opened, self._lease, self._miss = opened, lease, miss
        self._has_failed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers."""
        return self._opened.headers

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._opened)

    def set_idle(self, seconds: float) -> None:
        """Bound the time for the rest of the stream, in seconds."""
        self._opened.set_idle(seconds)

    def fail(self, error: FoundryError) -> None:
        """Report to the breaker the error that ended the stream, on the wire or in its content."""
        self._has_failed = True
        self._opened.fail(error)
        try:
            from foundry_rest.resilience.failures import is_loss, outcome_of
        except OSError:  # the system opens no file more, which says nothing of the service
            return
        if is_loss(error):
            self._miss(self._opened.url)
        self._lease.report(outcome_of(error), error)

    def finish(self) -> None:
        """Release connection and slot after the last event."""
        self._opened.finish()
        if self._has_failed:
            self._lease.release()
        else:
            self._lease.succeed()

    def close(self) -> None:
        """Abandon the stream, and release its lease; from any thread."""
        self._opened.close()
        self._lease.release()
