"""What follows a failed attempt: a recovery, a wait, or the end of the call.

After a failure two things are tried, in this order. First the recovery for exactly this error class, once
per call; it does not count as a retry. Then the retry policy, which gives a wait or gives up, and the budget,
which all calls of a client share. The final error carries every attempt.

A request whose connection broke twice without an answer is given up, whatever the policy allows: it may be
the one that kills the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import Attempt, Cancelled, FoundryError, ServiceUnreachable, TransportError
from foundry_rest.events import AttemptFailed, CureStarted
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.resilience.failures import is_answer, is_loss, outcome_of
from foundry_rest.transport.call import Call, Options, Replay
from foundry_rest.transport.cancellation import sleep

if TYPE_CHECKING:
    from foundry_rest.resilience.interfaces import GuardedTarget, Recovery
    from foundry_rest.resilience.retry import RetryPolicy
    from foundry_rest.resilience.sender import Execution
    from foundry_rest.resilience.slot_lease import Lease

#: Connections of one call that may break without an answer until it is given up.
_DEATHS = 2
#: The name of the recovery that only needs a new connection.
_RECONNECT = "reconnect"


class Aftermath:
    """What follows the failed attempts of one call.

    Args:
        policy: The client's policy of retries.
        options: Options of the call.
    """

    def __init__(self, policy: RetryPolicy, options: Options) -> None:
        self._policy = policy if options.retries is None else replace(policy, retries=options.retries)
        self._recovered: set[str] = set()
        self._deaths = 0
        self._has_counted = False

    def of(
        self,
        run: Execution,
        error: FoundryError,
        began: float,
        lease: Lease,
        target: GuardedTarget | None,
    ) -> FoundryError | None:
        """Recover from a failure or wait; return the final error when neither helps.

        Args:
            run: The execution of the call.
            error: What ended its last attempt.
            began: Monotonic instant at which that began.
            lease: What the attempt holds; it is released.
            target: Where it was sent to; ``None`` if none was found.
        """
        targets = run.terms.targets
        error = _diagnosed(run, error, target)
        error.url = error.url or ("" if target is None else target.url)
        if is_loss(error, is_embedded=targets.is_embedded):
            targets.miss(error.url)  # first, else calls meet the open circuit of an address it has left
        if lease.breaker is not None and lease.ticket is not None:
            lease.breaker.report(lease.ticket, self._counted(outcome_of(error), error), error)
        lease.release()
        failed = 1 + sum(not earlier.cure for earlier in run.failures)
        at, elapsed = began - run.started, clock.monotonic() - began
        where = error.url if run.whole is not None else ""
        tried = Attempt(len(run.failures) + 1, at, elapsed, type(error).__name__, error.message, url=where)
        run.failures.append(tried)
        self._deaths += isinstance(error, ServiceUnreachable) and error.sent
        cure = self._recover(run, error) if self._deaths < _DEATHS else ""
        wait = 0.0 if cure else self._wait(run, error, failed)
        run.failures[-1] = replace(tried, cure=cure, wait=wait or 0.0)
        _emit_failure(run, error, wait)
        if wait is None:
            return _final(run, error)
        if run.whole is not None and not cure:
            return _with_attempts(run, error)  # whoever has the other services goes on
        if wait:
            _pause(run, wait)
        return None

    def _counted(self, outcome: Outcome, error: FoundryError) -> Outcome:
        """Return how a failure counts; of all error answers to one call only the first counts."""
        if outcome is Outcome.FAILURE and is_answer(error):
            if self._has_counted:
                return Outcome.NEUTRAL
            self._has_counted = True
        return outcome

    def _recover(self, run: Execution, error: FoundryError) -> str:
        """Return the name of the recovery that worked, ``""`` for none."""
        may_have_begun = isinstance(error, TransportError) and error.sent
        if may_have_begun and _replay(run) is not Replay.ALWAYS:
            return ""  # a repetition may do harm
        may_reconnect = self._policy.retries > 0 and _RECONNECT not in self._recovered
        if isinstance(error, ServiceUnreachable) and error.stale and may_reconnect:
            self._recovered.add(_RECONNECT)
            return _RECONNECT
        known = run.terms.recoveries(run.options.may_load)
        name, recovery = known.get(type(error), ("", None))
        if recovery is None or name in self._recovered or not _apply(run, name, recovery, error):
            return ""
        self._recovered.add(name)  # not one that failed: a killed process may take a moment to die
        return name

    def _wait(self, run: Execution, error: FoundryError, failed: int) -> float | None:
        terms, whole, wait = run.terms, run.whole, None
        policy, left = self._policy, run.options.until - clock.monotonic()
        if whole is not None and whole.has_other(error):
            wait = policy.wait_elsewhere(error, _replay(run), failed, left)
        elif self._deaths < _DEATHS:
            wait = policy.wait_before_next(error, _replay(run), failed, left, terms.jitter)
        wait = wait if wait is not None and terms.bounds.budget.spend() else None
        if whole is not None:
            whole.decide(wait)
        return wait


def _diagnosed(run: Execution, error: FoundryError, target: GuardedTarget | None) -> FoundryError:
    """Return the cause of a failure; a stream that 1.x cut does not report its own."""
    if run.call is None or run.call.plain is None or target is None:
        return error
    try:
        return run.terms.explain(run.call, target, error)
    except FoundryError as ended:
        return ended


def _replay(run: Execution) -> Replay:
    """Return when the call may be sent again: always before it was built, and so never sent."""
    return Replay.ALWAYS if run.call is None else run.call.replay


def _apply(run: Execution, name: str, recovery: Recovery, error: FoundryError) -> bool:
    label, model = _names(run, error)
    run.terms.emit(CureStarted(error.url, run.call_id, label, model, len(run.failures), name, error))
    try:
        return recovery(run.request, error)
    except FoundryError as failure:
        _emit_failure(run, error, None)
        raise _final(run, failure) from error


def _pause(run: Execution, seconds: float) -> None:
    """Wait before the next try, unless the call is ended from elsewhere."""
    try:
        sleep(seconds, run.tokens, "to try again")
    except Cancelled as error:
        raise _final(run, error) from None


def _emit_failure(run: Execution, error: FoundryError, wait: float | None) -> None:
    label, model = _names(run, error)
    number, elapsed, cure = run.failures[-1].number, run.failures[-1].elapsed, run.failures[-1].cure
    event = AttemptFailed(error.url, run.call_id, label, model, number, error, elapsed, wait, cure)
    run.terms.emit(event)


def _final(run: Execution, error: FoundryError) -> FoundryError:
    """Return ``error`` with all attempts in it, and emit the event of the call's end."""
    run.finish(_with_attempts(run, error).url, error, _names(run, error))
    return error


def _with_attempts(run: Execution, error: FoundryError) -> FoundryError:
    """Return ``error`` with all attempts in it, and the names of the call."""
    error.attempts = tuple(run.failures)
    label, model = _names(run, error)
    error.call, error.model = label, error.model or model
    return error


def _names(run: Execution, error: FoundryError) -> tuple[str, str]:
    """Return label and model of the call; before it was built, those for the lost service."""
    call = run.call or _lost_call(run)
    return (error.call, run.request.runs_on) if call is None else (call.label, call.model)


def _lost_call(run: Execution) -> Call | None:
    lost = run.terms.targets.last
    try:
        return None if lost is None else run.request.call_for(lost)
    except FoundryError:
        return None
