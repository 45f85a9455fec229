"""ResilientSender: the one loop and the one sleep.

One logical call is some attempts. After each failure, in this order: a cure for exactly this failure,
once per call and free of charge; else the retry policy, which grants a wait or gives up. The error that
leaves tells every attempt. Nothing is repeated after a stream has opened: from there on the caller has
seen tokens, and the break is the stream's to report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from foundry_rest import clock
from foundry_rest.errors import Attempt, FoundryError
from foundry_rest.events import AttemptFailed, CallFinished, Event
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.transport.call import Call, OpenReply, Reply, Sender

R = TypeVar("R")

#: Removes the cause of one failure; returns the call to repeat, or ``None`` when it cannot help.
Cure = Callable[[Call], "Call | None"]


class ResilientSender:
    """Send calls until they succeed, cannot succeed, or their time is over.

    Args:
        inner: Makes one attempt.
        policy: When to try again.
        cures: What to do once about an error of exactly this class, with its name for events.
        emit: Told of every failed attempt and of every finished call.
        jitter: Returns a random number between 0 and its argument.
    """

    def __init__(
        self,
        inner: Sender,
        policy: RetryPolicy,
        *,
        cures: Mapping[type[FoundryError], tuple[str, Cure]] | None = None,
        emit: Callable[[Event], None] = lambda event: None,
        jitter: Callable[[float], float] = full_jitter,
    ) -> None:
        self._inner = inner
        self.policy = policy
        self.cures = cures or {}
        self.emit = emit
        self.jitter = jitter

    def send(self, call: Call) -> Reply:
        """Return the whole answer, or raise the last error with all attempts in it."""
        journey = _Journey(self, call)
        reply = journey.run(self._inner.send)
        self.emit(CallFinished(call.label, reply.url, call.model, journey.elapsed))
        return reply

    def open(self, call: Call) -> OpenReply:
        """Return an open stream whose first event has come, or raise as ``send`` does."""
        return _Journey(self, call).run(self._inner.open)

    def close(self) -> None:
        """Close the sender below."""
        self._inner.close()


class _Journey:
    """One logical call: what was tried so far and what comes next."""

    def __init__(self, sender: ResilientSender, call: Call) -> None:
        self._sender = sender
        self._call = call
        self._started = clock.monotonic()
        self._failures: list[Attempt] = []
        self._cured: set[str] = set()

    @property
    def elapsed(self) -> float:
        """Return the seconds since the call began."""
        return clock.monotonic() - self._started

    def run(self, attempt: Callable[[Call], R]) -> R:
        """Return the first answer that ``attempt`` gives."""
        while True:
            at = self.elapsed
            try:
                return attempt(self._call)
            except FoundryError as error:
                self._after(error, at)

    def _after(self, error: FoundryError, at: float) -> None:
        """Cure or wait, whichever fits the failure; raise ``error`` when neither does."""
        failed = 1 + sum(not earlier.cure for earlier in self._failures)
        tried = Attempt(len(self._failures) + 1, at, self.elapsed - at, type(error).__name__, error.message)
        self._failures.append(tried)
        cure = self._cure(error)
        wait = 0.0 if cure else self._wait(error, failed)
        self._failures[-1] = replace(tried, cure=cure, wait=wait or 0.0)
        self._tell(error, wait)
        if wait is None:
            raise self._final(error)
        if wait:
            clock.sleep(wait)

    def _cure(self, error: FoundryError) -> str:
        """Return the name of the cure that worked, ``""`` for none."""
        name, cure = self._sender.cures.get(type(error), ("", None))
        if cure is None or name in self._cured:
            return ""
        self._cured.add(name)
        try:
            repeat = cure(self._call)
        except FoundryError as why_not:
            self._tell(error, None)
            raise self._final(why_not) from error
        self._call = repeat or self._call
        return name if repeat is not None else ""

    def _wait(self, error: FoundryError, failed: int) -> float | None:
        left = self._call.until - clock.monotonic()
        sender = self._sender
        return sender.policy.wait_before_next(error, self._call.replay, failed, left, sender.jitter)

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
