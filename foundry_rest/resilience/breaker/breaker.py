"""The circuit breaker: admission of calls around pybreaker's state machine.

pybreaker's ``call()`` holds a lock while the guarded function runs, so that calls run one after the other,
and only that lock makes its half-open state admit a single probe; ``calling()`` does neither.
Here pybreaker moves the circuit from state to state, and admission is our own:

* ``admit()`` decides in microseconds and returns a ticket; for a closed circuit it takes no lock;
* the request then runs without any lock;
* ``report()`` replays a failure, or a probe's result, into pybreaker, again in microseconds.

A ticket carries the epoch in which it was given. Each change of state begins a new epoch, and reports for
tickets of an older epoch are ignored: a storm of late time-outs neither opens a circuit again nor keeps it
open. While half-open, one ticket is out at a time; one that is never reported (Ctrl-C, kill -9) counts as
lost after the wait of a first trip. A neutral outcome (a caller's mistake, a cancelled call, an error that a
recovery removes) never reaches pybreaker, which counts excluded errors as successes.

The state object decides where the record is stored (``record``, ``storage``). Epochs are part of the record,
so that all this holds between processes as it does between threads. A state that cannot be read or written
counts as a closed circuit.

What is *not* done: no request is ever sent here, nothing is retried, and slow requests that succeed count as
successes.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.errors import CircuitOpen, FoundryError, TransportError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.errors.process import late_import
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.policy import BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import CLOSED, OPEN, UNKNOWN, MemoryState, Record
from foundry_rest.resilience.breaker.transitions import Transitions

if TYPE_CHECKING:
    from foundry_rest.resilience.breaker.decisions import Decisions
    from foundry_rest.resilience.interfaces import BreakerState

__all__ = ["Breaker", "BreakerPolicy", "Outcome", "Ticket"]

#: ``retry_in``, in seconds, while another call's probe is out; most probes answer or fail within it.
_PROBE_WAIT = 0.1
#: Seconds, at least, until a probe that was never reported counts as lost.
_SHORTEST_CLAIM = 1.0
#: Seconds by which a wall clock may lag behind the recorded time before it counts as stepped back.
_STEP = 1.0


_WAIT_FOR_PROBE = Advice(
    "Look at the last error; the next probe is sent by itself.",
    Words("How the service is now is told by: foundry-rest health.", runs="health"),
)


def seconds_left(record: Record, now: float, policy: BreakerPolicy, claim: float) -> float:
    """Return the seconds to wait, 0 when a probe may be sent.

    More than the longest possible wait means that the clock stepped back: the wait is over.
    """
    is_open = record.state == OPEN
    left = (record.opened_until if is_open else record.claimed_until) - now
    longest = policy.wait(record.trips) if is_open else claim
    if not 0 < left <= longest + _STEP:
        return 0.0
    return left if is_open else _PROBE_WAIT


class Ticket(msgspec.Struct, frozen=True):
    """The admission of one attempt.

    Attributes:
        epoch: The circuit's epoch when it was given; a report for an older epoch is ignored.
        probe: The number of this probe of a half-open circuit; 0 for a ticket of a closed one.
    """

    epoch: int
    probe: int = 0


class Breaker:
    """The circuit breaker of one address.

    Args:
        policy: When to open and when to try again.
        state: Where the record is stored: in memory, or shared with other processes.
        address: Base URL, for events and errors.
        emit: Called with every change of state, outside every lock; an error that it raises is logged.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        state: BreakerState | None = None,
        address: str = "",
        emit: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._policy = policy
        self._state = state or MemoryState()
        self._address = address
        self._claim = max(policy.wait(1), _SHORTEST_CLAIM)
        self._last_error: FoundryError | None = None
        self._transitions = Transitions(address, emit)

    @property
    def current(self) -> str:
        """Return ``"closed"``, ``"open"`` or ``"half-open"``."""
        return self._state.read().state

    @property
    def last_error(self) -> FoundryError | None:
        """Return the failure that counted last in this process; ``None`` once the circuit is closed again."""
        return self._last_error

    @property
    def refuses(self) -> bool:
        """Return whether a call would be refused now; nothing is admitted or changed."""
        return self.retry_in > 0

    @property
    def retry_in(self) -> float:
        """Return the seconds until a call is admitted, 0.0 when one is now; nothing is changed."""
        record = self._state.read()
        return 0.0 if record.state == CLOSED else self._left(record, self._state.now())

    def admit(self) -> Ticket:
        """Return the ticket for one attempt; each ticket is reported once.

        Raises:
            CircuitOpen: No call is admitted for ``retry_in`` seconds; its cause is the last error.
        """
        record = self._state.read()
        if record.epoch > self._transitions.epoch:
            self._follow(record)
        if record.state == CLOSED:  # the usual case, and the hot path
            return Ticket(record.epoch)
        left = self._left(record, self._state.now())
        if left:  # a refusal needs no write
            raise self._refusal(left)
        try:
            decided = self._state.change(self._ready().admit_probe)
        except TransportError:  # the system opens no file more
            decided = None
        if decided is None:  # the state cannot be written: admit as if closed
            return Ticket(UNKNOWN.epoch)
        admitted, record = decided
        self._follow(record)
        if isinstance(admitted, float):
            raise self._refusal(admitted)
        return Ticket(record.epoch, admitted)

    def report(self, ticket: Ticket, outcome: Outcome, error: FoundryError | None = None) -> None:
        """Count the outcome of an admitted attempt, unless its epoch is over.

        Args:
            ticket: The ticket from ``admit``.
            outcome: How the attempt counts; report ``NEUTRAL`` too, because it returns a probe.
            error: The failure, which becomes the cause of each refusal.
        """
        if not ticket.probe:
            if outcome is Outcome.NEUTRAL:
                return
            record = self._state.read()
            if record.epoch != ticket.epoch or (outcome is Outcome.SUCCESS and not record.failures):
                return  # the hot path
        try:
            settle = self._ready().settle
        except TransportError:  # the system opens no file more, which says nothing of the service
            return
        # A copy, because the error's traceback would keep the request alive.
        keep = partial(setattr, self, "_last_error", copy.copy(error))
        self._follow(self._state.change(partial(settle, ticket, outcome, keep)))

    def force_open(self) -> None:
        """Open the circuit by hand; the first probe is admitted after the policy's wait.

        The wait of an open circuit begins again.

        Raises:
            TransportError: The system opens no file more, so that pybreaker cannot be imported.
        """
        self._follow(self._state.change(self._ready().force_open))

    def close(self) -> None:
        """Close the circuit by hand; calls under way no longer count.

        Raises:
            TransportError: The system opens no file more, so that pybreaker cannot be imported.
        """
        record = self._state.read()
        decisions = self._ready(moves=record.state != CLOSED or record.failures > 0)
        self._follow(self._state.change(decisions.close))

    def _left(self, record: Record, now: float) -> float:
        return seconds_left(record, now, self._policy, self._claim)

    def _ready(self, *, moves: bool = True) -> Decisions:
        """Return the decisions; what they need is imported here, so that no lock is held meanwhile.

        Args:
            moves: Whether one may move the circuit to another state, which pybreaker does.

        Raises:
            TransportError: The system opens no file more.
        """
        with late_import():
            from foundry_rest.resilience.breaker.decisions import Decisions

            if moves:
                importlib.import_module("foundry_rest.resilience.breaker.pybreaker_adapter")
        return Decisions(self._policy, self._claim)

    # ---------------------------------------------------------------- events and errors

    def _follow(self, record: Record | None) -> None:
        """Emit the changes up to a record; ``None`` stands for one that could not be stored."""
        if record is not None and self._transitions.follow(record) and record.state == CLOSED:
            self._last_error = None

    def _refusal(self, retry_in: float) -> CircuitOpen:
        error = CircuitOpen(
            f"the service failed too often and is left alone for {retry_in:.1f} s more",
            retry_in=retry_in,
            url=self._address,
            advice=_WAIT_FOR_PROBE,
        )
        error.__cause__ = self._last_error
        return error
