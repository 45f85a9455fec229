"""ResilientSender: the one retry loop.

One logical call consists of attempts. Each attempt takes a target and a slot, is admitted by the target's
breaker, has the call built for the target, and only then do its own time-outs begin. What follows a failed
attempt is decided by ``aftermath``, which is imported with the first failure.

Nothing is repeated after a stream has opened: the caller may have seen tokens, so the stream itself reports
a break. The stream keeps its slot until it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.errors.process import is_out_of_resources, out_of_resources
from foundry_rest.events import ERROR, OK, CallFinished
from foundry_rest.resilience.breaker.policy import Outcome
from foundry_rest.resilience.slot_lease import Lease, LeasedReply
from foundry_rest.resilience.terms import Terms
from foundry_rest.transport.call import Call, Reply

if TYPE_CHECKING:
    from foundry_rest.resilience.aftermath import Aftermath
    from foundry_rest.resilience.interfaces import GuardedTarget
    from foundry_rest.transport.interfaces import OpenReply, Request, Target, Transport

R = TypeVar("R")


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
    """The execution of one logical call: its attempts so far.

    Attributes:
        terms: The rules for the attempts.
        request: What is sent.
        options: Options of the call.
        whole: The call of which these are the attempts at one service of several; else ``None``.
        call_id: The call's id in events.
        call: The call as it was sent last; ``None`` before it was built.
        tokens: The tokens that end its waits.
        started: Monotonic instant at which it began.
        failures: The attempts that failed so far.
    """

    def __init__(self, terms: Terms, request: Request) -> None:
        self.terms, self.request = terms, request
        self.options = options = request.options
        self.whole = whole = options.whole
        self.call_id = new_call_id() if whole is None else whole.id
        self.call: Call | None = None
        closing, own = terms.bounds.closing, options.cancel
        self.tokens = (closing,) if own is None else (closing, own)
        self.started = clock.monotonic() if whole is None else whole.started
        self.failures: list[Attempt] = [] if whole is None else whole.failures
        self._aftermath: Aftermath | None = None

    def run(self, attempt: Callable[[Call, Target], R]) -> tuple[R, Lease]:
        """Return the first answer of ``attempt``, with its lease."""
        terms, options = self.terms, self.options
        if not terms.bounds.budget.full and not self.failures:
            terms.bounds.budget.earn()
        while True:
            began, lease, target = clock.monotonic(), _NOTHING, None
            try:
                target = terms.targets.current or terms.targets.take(options)
                lease = self._acquire(target)
                if target.breaker is not None:
                    lease.admit(target.breaker)
                call = self.request.call_for(target)
                number = len(self.failures) + 1
                self.call = call = replace(call, id=self.call_id, attempt=number, began=self.started)
                if self.whole is not None:
                    self.whole.replay = call.replay
                return attempt(call, target), lease
            except FoundryError as error:
                aftermath = self._aftermath or self._new_aftermath()
                final = aftermath.of(self, error, began, lease, target)
            except BaseException as error:
                if not is_out_of_resources(error):  # Ctrl-C says nothing of the service, but returns a probe
                    lease.report(Outcome.NEUTRAL)
                    lease.release()
                    raise
                aftermath = self._aftermath or self._new_aftermath()
                final = aftermath.of(self, out_of_resources(error), began, lease, target)
            if final is not None:
                try:
                    raise final
                finally:  # a frame that refers to its own error would keep the error's socket open
                    final = None

    def finish(self, url: str, error: FoundryError | None = None, names: tuple[str, str] = ("", "")) -> None:
        """Emit the event of the call's end.

        Args:
            url: The address that answered or failed.
            error: What ended it; ``None`` for an answer.
            names: Label and model of a call that was not built.
        """
        call, tried = self.call, len(self.failures) + (error is None)
        label, model = names if call is None else (call.label, call.model)
        elapsed = clock.monotonic() - self.started
        outcome = OK if error is None else ERROR
        self.terms.emit(CallFinished(url, self.call_id, label, model, tried, outcome, elapsed, error))

    def _acquire(self, target: GuardedTarget) -> Lease:
        """Wait for the model first, then for a slot, because unloading the model needs a slot."""
        bounds, until = self.terms.bounds, self.options.until
        model = "" if target.guards_unload else self.request.runs_on
        lock = bounds.locks.shared(model, until, self.tokens) if model else None
        try:
            slots, lane = bounds.slots, self.options.lane
            return Lease(None if slots is None else slots.acquire(until, self.tokens, lane), lock)
        except BaseException:  # Ctrl-C too: an unload would wait for ever
            Lease(None, lock).release()
            raise

    def _new_aftermath(self) -> Aftermath | _Surrender:
        try:
            from foundry_rest.resilience.aftermath import Aftermath
        except OSError:  # the system opens no file more, so that nothing helps
            return _Surrender()
        self._aftermath = Aftermath(self.terms.policy, self.options)
        return self._aftermath


class _Surrender:
    """What follows a failed attempt where nothing can be imported: the end of the call."""

    def of(
        self,
        run: Execution,
        error: FoundryError,
        began: float,
        lease: Lease,
        _: GuardedTarget | None,
    ) -> FoundryError:
        """Return the error with all attempts."""
        lease.report(Outcome.NEUTRAL)
        lease.release()
        number, at, elapsed = len(run.failures) + 1, began - run.started, clock.monotonic() - began
        run.failures.append(Attempt(number, at, elapsed, type(error).__name__, error.message))
        error.attempts = tuple(run.failures)
        run.finish(error.url, error, (error.call, run.request.runs_on))
        return error
