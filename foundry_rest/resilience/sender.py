"""ResilientSender: the one retry loop and its one sleep.

One logical call consists of attempts. Each attempt takes a target and a slot, is admitted by the target's
breaker, has the call built for the target, and only then do its own time-outs begin. After a failure two
things are tried, in this order. First the recovery for exactly this error class, once per call; it does not
count as a retry. Then the retry policy, which gives a wait or gives up, and the budget, which all calls of a
client share. The final error carries every attempt.

Nothing is repeated after a stream has opened: the caller may have seen tokens, so the stream itself reports
a break. The stream keeps its slot until it ends. A request whose connection broke twice without an answer is
given up, whatever the policy allows: it may be the one that kills the service.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import Attempt, Cancelled, FoundryError, ServiceUnreachable, TransportError
from foundry_rest.errors.process import is_out_of_resources, out_of_resources
from foundry_rest.events import ERROR, OK, AttemptFailed, CallFinished, CureStarted
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.resilience.slot_lease import Lease, LeasedReply, judge
from foundry_rest.resilience.terms import Terms
from foundry_rest.transport.call import Call, Replay, Reply
from foundry_rest.transport.cancellation import sleep

if TYPE_CHECKING:
    from foundry_rest.resilience.interfaces import GuardedTarget, Recovery
    from foundry_rest.transport.interfaces import OpenReply, Request, Target, Transport

R = TypeVar("R")

#: Connections of one call that may break without an answer until it is given up.
_DEATHS = 2
#: The name of the recovery that only needs a new connection.
_RECONNECT = "reconnect"


class ResilientSender:
    """A sender that tries again where that can help.

    Args:
        inner: Makes one attempt.
        terms: The rules for further attempts.
    """

    def __init__(self, inner: Transport, terms: Terms) -> None:
        self._inner = inner
        self.terms = terms

    def send(self, request: Request) -> Reply:
        """Return the whole answer, or raise the last error, which carries all attempts."""
        execution = Execution(self.terms, request)
        reply, lease = execution.run(self._inner.send)
        lease.succeed()
        execution.finish(reply.url)
        return reply

    def open(self, request: Request) -> OpenReply:
        """Return an open stream whose first event has arrived, or raise as ``send`` does."""
        execution = Execution(self.terms, request)
        opened, lease = execution.run(self._inner.open)
        lease.begin()
        failures = tuple(execution.failures)
        return LeasedReply(opened, lease, execution.call_id, failures, self.terms.targets.miss)

    def close(self) -> None:
        """End every wait, and close the sender below."""
        self.terms.bounds.closing.cancel()
        self._inner.close()


def new_call_id() -> str:
    """Return an id that no other call has, in this or another process."""
    return os.urandom(8).hex()


_NOTHING = Lease(None, None)


class Execution:
    """The execution of one logical call: its attempts so far, and the decision what comes next.

    Attributes:
        call_id: The call's id in events.
        failures: The attempts that failed so far.
    """

    def __init__(self, terms: Terms, request: Request) -> None:
        self._terms, self._request = terms, request
        self._options = options = request.options
        self._whole = whole = options.whole
        self.call_id = new_call_id() if whole is None else whole.id
        self._call: Call | None = None
        policy = terms.policy
        self._policy = policy if options.retries is None else replace(policy, retries=options.retries)
        closing, own = terms.bounds.closing, options.cancel
        self._tokens = (closing,) if own is None else (closing, own)
        self._started = clock.monotonic() if whole is None else whole.started
        self.failures: list[Attempt] = [] if whole is None else whole.failures
        self._recovered: set[str] = set()
        self._deaths = 0
        self._has_counted = False

    def run(self, attempt: Callable[[Call, Target], R]) -> tuple[R, Lease]:
        """Return the first answer of ``attempt``, with its lease."""
        terms, options = self._terms, self._options
        if not terms.bounds.budget.full and not self.failures:
            terms.bounds.budget.earn()
        while True:
            began, lease, target = clock.monotonic(), _NOTHING, None
            try:
                target = terms.targets.current or terms.targets.take(options)
                lease = self._acquire(target)
                if target.breaker is not None:
                    lease.admit(target.breaker)
                call = self._request.call_for(target)
                number = len(self.failures) + 1
                self._call = call = replace(call, id=self.call_id, attempt=number, began=self._started)
                if self._whole is not None:
                    self._whole.replay = call.replay
                return attempt(call, target), lease
            except FoundryError as error:
                final = self._after(error, began, lease, target)
            except BaseException as error:
                if not is_out_of_resources(error):  # Ctrl-C says nothing of the service, but returns a probe
                    lease.report(Outcome.NEUTRAL)
                    lease.release()
                    raise
                final = self._after(out_of_resources(error), began, lease, target)
            if final is not None:
                try:
                    raise final
                finally:  # a frame that refers to its own error would keep the error's socket open
                    final = None

    def finish(self, url: str, error: FoundryError | None = None) -> None:
        """Emit the event of the call's end."""
        call, tried = self._call, len(self.failures) + (error is None)
        label, model = (call.label, call.model) if call is not None else self._names(error)
        elapsed = clock.monotonic() - self._started
        outcome = OK if error is None else ERROR
        self._terms.emit(CallFinished(url, self.call_id, label, model, tried, outcome, elapsed, error))

    # ---------------------------------------------------------------- one attempt

    def _acquire(self, target: GuardedTarget) -> Lease:
        """Wait for the model first, then for a slot, because unloading the model needs a slot."""
        bounds, until = self._terms.bounds, self._options.until
        model = "" if target.guards_unload else self._request.runs_on
        lock = bounds.locks.shared(model, until, self._tokens) if model else None
        try:
            slots, lane = bounds.slots, self._options.lane
            return Lease(None if slots is None else slots.acquire(until, self._tokens, lane), lock)
        except BaseException:  # Ctrl-C too: an unload would wait for ever
            Lease(None, lock).release()
            raise

    def _diagnosed(self, error: FoundryError, target: GuardedTarget | None) -> FoundryError:
        """Return the cause of a failure; a stream that 1.x cut does not report its own."""
        if self._call is None or self._call.plain is None or target is None:
            return error
        try:
            return self._terms.explain(self._call, target, error)
        except FoundryError as ended:
            return ended

    def _counted(self, outcome: Outcome, error: FoundryError) -> Outcome:
        """Return how a failure counts; of all error answers to one call only the first counts."""
        if outcome is not Outcome.FAILURE:
            return outcome
        from foundry_rest.resilience.failures import is_answer

        if is_answer(error):
            if self._has_counted:
                return Outcome.NEUTRAL
            self._has_counted = True
        return outcome

    # ---------------------------------------------------------------- after a failure

    def _after(
        self, error: FoundryError, began: float, lease: Lease, target: GuardedTarget | None
    ) -> FoundryError | None:
        """Recover from a failure or wait; return the final error when neither helps."""
        error = self._diagnosed(error, target)
        error.url = error.url or ("" if target is None else target.url)
        targets = self._terms.targets
        outcome, is_loss = judge(error, is_embedded=targets.is_embedded)
        if is_loss:
            targets.miss(error.url)  # first, else calls meet the open circuit of an address it has left
        lease.report(self._counted(outcome, error), error)
        lease.release()
        failed = 1 + sum(not earlier.cure for earlier in self.failures)
        at, elapsed = began - self._started, clock.monotonic() - began
        where = error.url if self._whole is not None else ""
        tried = Attempt(len(self.failures) + 1, at, elapsed, type(error).__name__, error.message, url=where)
        self.failures.append(tried)
        self._deaths += isinstance(error, ServiceUnreachable) and error.sent
        cure = self._recover(error) if self._deaths < _DEATHS else ""
        wait = 0.0 if cure else self._wait(error, failed)
        self.failures[-1] = replace(tried, cure=cure, wait=wait or 0.0)
        self._emit_failure(error, wait)
        if wait is None:
            return self._final(error)
        if self._whole is not None and not cure:
            return self._with_attempts(error)  # whoever has the other services goes on
        if wait:
            self._pause(wait)
        return None

    def _recover(self, error: FoundryError) -> str:
        """Return the name of the recovery that worked, ``""`` for none."""
        may_have_begun = isinstance(error, TransportError) and error.sent
        if may_have_begun and self._replay is not Replay.ALWAYS:
            return ""  # a repetition may do harm
        may_reconnect = self._policy.retries > 0 and _RECONNECT not in self._recovered
        if isinstance(error, ServiceUnreachable) and error.stale and may_reconnect:
            self._recovered.add(_RECONNECT)
            return _RECONNECT
        known = self._terms.recoveries(self._options.may_load)
        name, recovery = known.get(type(error), ("", None))
        if recovery is None or name in self._recovered or not self._apply(name, recovery, error):
            return ""
        self._recovered.add(name)  # not one that failed: a killed process may take a moment to die
        return name

    @property
    def _replay(self) -> Replay:
        """Return when the call may be sent again: always before it was built, and so never sent."""
        return Replay.ALWAYS if self._call is None else self._call.replay

    def _apply(self, name: str, recovery: Recovery, error: FoundryError) -> bool:
        label, model = self._names(error)
        event = CureStarted(error.url, self.call_id, label, model, len(self.failures), name, error)
        self._terms.emit(event)
        try:
            return recovery(self._request, error)
        except FoundryError as failure:
            self._emit_failure(error, None)
            raise self._final(failure) from error

    def _wait(self, error: FoundryError, failed: int) -> float | None:
        terms, whole, wait = self._terms, self._whole, None
        policy, left = self._policy, self._options.until - clock.monotonic()
        if whole is not None and whole.has_other(error):
            wait = policy.wait_elsewhere(error, self._replay, failed, left)
        elif self._deaths < _DEATHS:
            wait = policy.wait_before_next(error, self._replay, failed, left, terms.jitter)
        wait = wait if wait is not None and terms.bounds.budget.spend() else None
        if whole is not None:
            whole.decide(wait)
        return wait

    def _pause(self, seconds: float) -> None:
        """Wait before the next try, unless the call is ended from elsewhere."""
        try:
            sleep(seconds, self._tokens, "to try again")
        except Cancelled as error:
            raise self._final(error) from None

    def _emit_failure(self, error: FoundryError, wait: float | None) -> None:
        label, model = self._names(error)
        tried = self.failures[-1]
        self._terms.emit(
            AttemptFailed(
                error.url, self.call_id, label, model, tried.number, error, tried.elapsed, wait, tried.cure
            )
        )

    def _final(self, error: FoundryError) -> FoundryError:
        """Return ``error`` with all attempts in it, and emit the event of the call's end."""
        self.finish(self._with_attempts(error).url, error)
        return error

    def _with_attempts(self, error: FoundryError) -> FoundryError:
        """Return ``error`` with all attempts in it, and the names of the call."""
        error.attempts = tuple(self.failures)
        label, model = self._names(error)
        error.call, error.model = label, error.model or model
        return error

    def _names(self, error: FoundryError | None) -> tuple[str, str]:
        """Return label and model of the call; before it was built, those for the lost service."""
        call = self._call or self._call_for_lost()
        if call is None:
            return (error.call if error is not None else ""), self._request.runs_on
        return call.label, call.model

    def _call_for_lost(self) -> Call | None:
        lost = self._terms.targets.last
        try:
            return None if lost is None else self._request.call_for(lost)
        except FoundryError:
            return None
