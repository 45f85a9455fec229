"""Admission around pybreaker: admit, refuse, report.

pybreaker's ``call()`` holds a lock while the guarded function runs, so calls queue up one behind the
other, and only that lock makes its half-open state admit a single probe; ``calling()`` gives up both.
Here pybreaker moves the circuit from state to state, and admission is ours:

* ``admit()`` decides in microseconds and returns a ticket; through a closed circuit it takes no lock;
* the request then runs without any lock;
* ``report()`` replays a failure, or what a probe found, into pybreaker, again in microseconds.

A ticket carries the epoch in which it was given. Each change of state begins a new epoch, and what an
older ticket reports moves nothing: a storm of late time-outs neither opens a circuit again nor keeps it
open. In half-open one ticket is out at a time; one that is never reported (Ctrl-C, kill -9) counts as
lost after the wait of a first trip. A neutral outcome (a caller's mistake, a cancelled call, a curable
error) never reaches pybreaker, which takes excluded errors for successes.

Where the record lives is the state's affair (``state``, ``storage``); epochs live there too, so that all
this holds between processes as it does between threads. A state that cannot be read or written is a
closed circuit.

What is *not* done: no request is ever made here, nothing is retried, and nothing is known of requests
that are slow but succeed.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import msgspec

from foundry_rest.errors import CircuitOpen, FoundryError
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.policy import BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import CLOSED, OPEN, UNKNOWN, BreakerState, MemoryState, Record
from foundry_rest.resilience.breaker.transitions import Transitions

if TYPE_CHECKING:
    import pybreaker

__all__ = ["Breaker", "BreakerPolicy", "Outcome", "Ticket"]

#: Seconds a caller is told to wait while another one's probe is out; most answer or fail by then.
_PROBE_WAIT = 0.1
#: Least seconds until a probe that was never reported counts as lost.
_SHORTEST_CLAIM = 1.0
#: Seconds by which a wall clock may differ from what was written before it counts as stepped back.
_STEP = 1.0


class Ticket(msgspec.Struct, frozen=True):
    """The admission of one attempt.

    Attributes:
        epoch: The circuit's epoch when it was given; an older one's report moves nothing.
        probe: The number of this probe of a half-open circuit; 0 for a ticket through a closed one.
    """

    epoch: int
    probe: int = 0


class Breaker:
    """The circuit breaker of one address.

    Args:
        policy: When to open and when to try again.
        state: Where the record lives: in memory, or shared with other processes.
        address: Base URL, for events and errors.
        emit: Told of every change of state, outside every lock; what it raises is logged.
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

    def admit(self) -> Ticket:
        """Return the ticket for one attempt; each ticket is reported once.

        Raises:
            CircuitOpen: The service is left alone for ``retry_in`` seconds; its cause is the last error.
        """
        record = self._state.read()
        if record.epoch > self._transitions.epoch:
            self._follow(record)
        if record.state == CLOSED:  # the usual case, and the hot path
            return Ticket(record.epoch)
        left = self._left(record, self._state.now())
        if left:  # no need to write only to refuse
            raise self._refusal(left)
        _import_pybreaker()
        decided = self._state.change(self._admit_probe)
        if decided is None:  # the state cannot be kept: go on as if closed
            return Ticket(UNKNOWN.epoch)
        ticket, record = decided
        self._follow(record)
        if isinstance(ticket, float):
            raise self._refusal(ticket)
        return ticket

    def report(self, ticket: Ticket, outcome: Outcome, error: FoundryError | None = None) -> None:
        """Take the outcome of an admitted attempt into account, unless its epoch is over.

        Args:
            ticket: As ``admit`` gave it.
            outcome: What the attempt told about the service; report ``NEUTRAL`` too, it frees the probe.
            error: The failure, shown as the cause of each refusal.
        """
        if not ticket.probe:
            if outcome is Outcome.NEUTRAL:
                return
            record = self._state.read()
            if record.epoch != ticket.epoch or (outcome is Outcome.SUCCESS and not record.failures):
                return  # the hot path
        _import_pybreaker()
        self._follow(self._state.change(partial(self._settle, ticket, outcome, error)))

    def force_open(self) -> None:
        """Open the circuit by hand; the first probe goes after ``reset_after`` seconds, or as it would."""
        _import_pybreaker()
        self._follow(self._state.change(self._force_open))

    def close(self) -> None:
        """Close the circuit by hand: the service is believed again, and calls on their way move nothing."""
        record = self._state.read()
        if record.state != CLOSED or record.failures:
            _import_pybreaker()
        self._follow(self._state.change(self._close))

    # -------------------------------- decisions, each in one piece: they write the record and return it

    def _admit_probe(self, record: Record, now: float) -> tuple[Ticket | float, Record]:
        """Give a ticket, or the seconds to wait: somebody else may have been faster."""
        if record.state == CLOSED:
            return Ticket(record.epoch), record
        left = self._left(record, now)
        if left:
            return left, record
        if record.state == OPEN:
            with self._circuit(record, now) as circuit:
                circuit.half_open()
        record.probes += 1
        record.claimed_until = now + self._claim
        return Ticket(record.epoch, record.probes), record

    def _settle(
        self, ticket: Ticket, outcome: Outcome, error: FoundryError | None, record: Record, now: float
    ) -> Record:
        """Let an outcome of the current epoch count, and give its probe back."""
        if ticket.probe and ticket.probe == record.probes:
            record.claimed_until = 0.0
        if ticket.epoch != record.epoch or record.state == OPEN or outcome is Outcome.NEUTRAL:
            return record
        has_failed = outcome is Outcome.FAILURE
        if has_failed:
            # A copy: the error itself holds its traceback, and with it the request, alive.
            self._last_error = copy.copy(error)
        with self._circuit(record, now) as circuit, contextlib.suppress(_Failure):
            circuit.call(_fail if has_failed else _succeed)
        return record

    def _force_open(self, record: Record, now: float) -> Record:
        if record.state == OPEN:
            record.opened_until = now + self._policy.wait(record.trips)
        else:
            with self._circuit(record, now) as circuit:
                circuit.open()
        return record

    def _close(self, record: Record, now: float) -> Record:
        before = record.epoch
        if record.state != CLOSED or record.failures:
            with self._circuit(record, now) as circuit:
                circuit.close()
        record.epoch = before + 1
        return record

    def _left(self, record: Record, now: float) -> float:
        """Return the seconds to wait, 0 when a probe may go.

        More than there ever was to wait means a clock that stepped back: the wait is over.
        """
        is_open = record.state == OPEN
        left = (record.opened_until if is_open else record.claimed_until) - now
        longest = self._policy.wait(record.trips) if is_open else self._claim
        if not 0 < left <= longest + _STEP:
            return 0.0
        return left if is_open else _PROBE_WAIT

    @contextlib.contextmanager
    def _circuit(self, record: Record, now: float) -> Iterator[pybreaker.CircuitBreaker]:
        """Let pybreaker move the record, then note what it does not know: epoch, trips and times."""
        from foundry_rest.resilience.breaker.pybreaker_adapter import circuit_on

        before = record.state
        yield circuit_on(record.storage(), self._policy)
        if record.state == before:
            return
        record.epoch += 1
        if record.state == OPEN:
            record.trips += 1
            record.opened_until = now + self._policy.wait(record.trips)
        elif record.state == CLOSED:
            record.trips = 0

    # ---------------------------------------------------------------- what is told

    def _follow(self, record: Record | None) -> None:
        """Tell what changed up to a record; ``None`` is one that could not be kept."""
        if record is not None and self._transitions.follow(record) and record.state == CLOSED:
            self._last_error = None

    def _refusal(self, retry_in: float) -> CircuitOpen:
        error = CircuitOpen(
            f"the service failed too often and is left alone for {retry_in:.1f} s more",
            retry_in=retry_in,
            url=self._address,
            advice="Look at the last error, and at foundry-rest health; the next probe is sent by itself.",
        )
        error.__cause__ = self._last_error
        return error


class _Failure(Exception):
    """The failure that pybreaker is shown; it never leaves this module."""


def _fail() -> NoReturn:
    raise _Failure


def _succeed() -> None:
    pass


def _import_pybreaker() -> None:
    """Import pybreaker before a state is changed: while it is, others wait."""
    importlib.import_module("foundry_rest.resilience.breaker.pybreaker_adapter")
