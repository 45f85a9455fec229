"""ResilientSender: the one loop and the one sleep.

One logical call is some attempts. Each attempt takes a slot, asks the breaker, and only then begins its
own time-outs. After each failure, in this order: a cure for exactly this failure, once per call and free
of charge; else the retry policy, which grants a wait or gives up, and the budget, which all calls of a
client share. The error that leaves tells every attempt.

Nothing is repeated after a stream has opened: from there on the caller has seen tokens, and the break is
the stream's to report. The stream keeps its slot until it ends. A request whose connection died twice
without an answer is given up whatever else would allow it: it may be the one that kills the service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.config import SLOT_TIMEOUT
from foundry_rest.errors import Attempt, Cancelled, FoundryError, ServiceUnreachable, TransportError
from foundry_rest.events import AttemptFailed, CallFinished, CureStarted, Event
from foundry_rest.resilience.breaker.breaker import Breaker, Outcome
from foundry_rest.resilience.concurrency import RetryBudget, Slots
from foundry_rest.resilience.failures import is_answer, outcome_of
from foundry_rest.resilience.lease import Holdings, Lease, LeasedReply
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.transport.call import Call, CancelToken, OpenReply, Replay, Reply, Sender

R = TypeVar("R")

#: Removes the cause of one failure; returns the call to repeat, or ``None`` when it cannot help.
Cure = Callable[[Call, FoundryError], "Call | None"]
#: Connections of one call that may die without an answer.
_DEATHS = 2
#: The cure that needs nothing but a new connection.
_RECONNECT = "reconnect"


class Bounds(msgspec.Struct, frozen=True):
    """Hold what all calls of a client, and of its views, share.

    Attributes:
        budget: What retries may add to the load.
        closing: Cancelled when the client closes.
        slots: Calls at a time; ``None`` for no bound.
        breaker: Returns the breaker of the service's address; ``None`` for none.
        uses: Models that requests run on.
    """

    budget: RetryBudget = msgspec.field(default_factory=RetryBudget)
    closing: CancelToken = msgspec.field(default_factory=CancelToken)
    slots: Slots | None = None
    breaker: Callable[[], Breaker] | None = None
    uses: ModelLocks = msgspec.field(default_factory=ModelLocks)


class ResilientSender:
    """Send calls until they succeed, cannot succeed, or their time is over.

    Args:
        inner: Makes one attempt.
        policy: When to try again.
        bounds: What this sender shares with others.
        cures: What to do once about an error of exactly this class, with its name for events.
        emit: Told of every failed attempt and of every finished call.
        jitter: Returns a random number between 0 and its argument.
    """

    def __init__(
        self,
        inner: Sender,
        policy: RetryPolicy,
        *,
        bounds: Bounds | None = None,
        cures: Mapping[type[FoundryError], tuple[str, Cure]] | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        jitter: Callable[[float], float] = full_jitter,
    ) -> None:
        self._inner = inner
        self.policy = policy
        self.bounds = bounds or Bounds()
        self.cures = cures or {}
        self.emit = emit
        self.jitter = jitter

    def send(self, call: Call) -> Reply:
        """Return the whole answer, or raise the last error with all attempts in it."""
        journey = _Execution(self, call)
        admitted = journey.run(self._inner.send)
        admitted.succeed()
        reply = admitted.let_go()
        self.emit(CallFinished(call.label, reply.url, call.model, journey.elapsed))
        return reply

    def open(self, call: Call) -> OpenReply:
        """Return an open stream whose first event has come, or raise as ``send`` does."""
        return LeasedReply(_Execution(self, call).run(self._inner.open))

    def close(self) -> None:
        """End every wait, and close the sender below."""
        self.bounds.closing.cancel()
        self._inner.close()


class _Execution:
    """One logical call: what was tried so far and what comes next."""

    def __init__(self, sender: ResilientSender, call: Call) -> None:
        self._sender = sender
        self._call = call
        self._policy = (
            sender.policy
            if call.retries is None
            else msgspec.structs.replace(sender.policy, retries=call.retries)
        )
        self._started = clock.monotonic()
        self._failures: list[Attempt] = []
        self._cured: set[str] = set()
        self._deaths = 0
        self._has_counted = False

    @property
    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return clock.monotonic() - self._started

    def run(self, attempt: Callable[[Call], R]) -> Lease[R]:
        """Return the first answer that ``attempt`` gives."""
        self._sender.bounds.budget.earn()
        while True:
            at = self.elapsed
            try:
                return self._try(attempt)
            except FoundryError as error:
                self._after(error, at)

    # ---------------------------------------------------------------- one attempt

    def _try(self, attempt: Callable[[Call], R]) -> Lease[R]:
        hold = self._take()
        try:
            return self._admit(attempt, hold)
        except BaseException:
            hold.release()
            raise

    def _take(self) -> Holdings:
        """Wait for the model first, then for a slot: one who unloads the model needs a slot for it."""
        bounds, call = self._sender.bounds, self._call
        until = min(call.until, clock.monotonic() + SLOT_TIMEOUT)
        asks_model = bool(call.model) and call.body is not None
        use = bounds.uses.begin(call.model, until, self._tokens) if asks_model else None
        try:
            slot = None if bounds.slots is None else bounds.slots.acquire(until, self._tokens)
            return Holdings(slot, use)
        except BaseException:
            Holdings(None, use).release()
            raise

    def _admit(self, attempt: Callable[[Call], R], hold: Holdings) -> Lease[R]:
        find = self._sender.bounds.breaker
        if find is None:
            return Lease(attempt(self._call), hold, None, None)
        breaker = find()
        ticket = breaker.admit()
        try:
            answer = attempt(self._call)
        except FoundryError as error:  # kept in no variable: it would hold its own frame, and a socket
            breaker.report(ticket, self._judge(error), error)
            raise
        except BaseException:  # Ctrl-C tells nothing, but gives a probe back
            breaker.report(ticket, Outcome.NEUTRAL)
            raise
        if ticket.probe:
            breaker.report(ticket, Outcome.SUCCESS)
        return Lease(answer, hold, breaker, ticket)

    def _judge(self, error: FoundryError) -> Outcome:
        """Return what a failure tells; answers with a status count once per call, however often asked."""
        outcome = outcome_of(error)
        if outcome is Outcome.FAILURE and is_answer(error):
            if self._has_counted:
                return Outcome.NEUTRAL
            self._has_counted = True
        return outcome

    @property
    def _tokens(self) -> tuple[CancelToken, ...]:
        closing, own = self._sender.bounds.closing, self._call.cancel
        return (closing,) if own is None else (closing, own)

    # ---------------------------------------------------------------- after a failure

    def _after(self, error: FoundryError, at: float) -> None:
        """Cure or wait, whichever fits the failure; raise ``error`` when neither does."""
        failed = 1 + sum(not earlier.cure for earlier in self._failures)
        tried = Attempt(len(self._failures) + 1, at, self.elapsed - at, type(error).__name__, error.message)
        self._failures.append(tried)
        self._deaths += isinstance(error, ServiceUnreachable) and error.sent
        cure = self._cure(error) if self._deaths < _DEATHS else ""
        wait = 0.0 if cure else self._wait(error, failed)
        self._failures[-1] = msgspec.structs.replace(tried, cure=cure, wait=wait or 0.0)
        self._tell(error, wait)
        if wait is None:
            raise self._final(error)
        if wait:
            self._pause(wait)

    def _cure(self, error: FoundryError) -> str:
        """Return the name of the cure that worked, ``""`` for none."""
        if not self._may_repeat(error):
            return ""
        may_reconnect = self._policy.retries > 0 and _RECONNECT not in self._cured
        if isinstance(error, ServiceUnreachable) and error.stale and may_reconnect:
            self._cured.add(_RECONNECT)
            return _RECONNECT
        name, cure = self._sender.cures.get(type(error), ("", None))
        if cure is None or name in self._cured or not self._apply(name, cure, error):
            return ""
        self._cured.add(name)  # one that was no help may be later: a killed process takes a moment to die
        return name

    def _may_repeat(self, error: FoundryError) -> bool:
        """Tell whether repeating is harmless: nothing can have begun, or asking twice is."""
        may_have_begun = isinstance(error, TransportError) and error.sent
        return self._call.replay is Replay.ALWAYS or not may_have_begun

    def _apply(self, name: str, cure: Cure, error: FoundryError) -> bool:
        call = self._call
        self._sender.emit(CureStarted(call.label, error.url, call.model, name, error))
        try:
            repeat = cure(call, error)
        except FoundryError as why_not:
            self._tell(error, None)
            raise self._final(why_not) from error
        self._call = repeat or call
        return repeat is not None

    def _wait(self, error: FoundryError, failed: int) -> float | None:
        if self._deaths >= _DEATHS:
            return None
        sender, left = self._sender, self._call.until - clock.monotonic()
        wait = self._policy.wait_before_next(error, self._call.replay, failed, left, sender.jitter)
        return wait if wait is not None and sender.bounds.budget.spend() else None

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, unless the call is ended from elsewhere."""
        ended = threading.Event()
        with ExitStack() as watching:
            for token in self._tokens:
                watching.enter_context(token.watched(ended.set))
            clock.wait(ended, seconds)
        if ended.is_set():
            raise self._final(Cancelled("the call was ended from elsewhere while it waited to try again"))

    def _tell(self, error: FoundryError, wait: float | None) -> None:
        call, tried = self._call, self._failures[-1]
        self._sender.emit(
            AttemptFailed(
                call.label, error.url, call.model, tried.number, error, tried.elapsed, wait, tried.cure
            )
        )

    def _final(self, error: FoundryError) -> FoundryError:
        """Return ``error`` with everything that was tried in it."""
        call = self._call
        error.attempts = tuple(self._failures)
        error.call, error.model = call.label, error.model or call.model
        self._sender.emit(CallFinished(call.label, error.url, call.model, self.elapsed, error))
        return error
