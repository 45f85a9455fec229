"""What was observed of one operation, and the time-outs of its next attempt that follow from it."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors.advice import Advice
from foundry_rest.events import TimeoutChanged
from foundry_rest.resilience.adaptive_silence import (
    NEIGHBOURS,
    PAUSE,
    WINDOW,
    Estimate,
    Observation,
    estimate,
    follow,
    length_class,
    length_of,
    load_class,
)

if TYPE_CHECKING:
    from foundry_rest.errors import ServiceTimeout
    from foundry_rest.timeouts import AdaptiveTimeouts
    from foundry_rest.transport.interfaces import Target

FIRST_TOKEN, IDLE = "first_token", "idle"
#: Phase of a time-out -> the adaptive one that was exceeded.
_PHASES = {"headers": FIRST_TOKEN, "first_token": FIRST_TOKEN, "idle": IDLE}

_HIGHER_FLOOR: str = Advice("If the service is only slow, give Timeouts.adaptive() a higher floor=.")
_HIGHER_CEILING: str = Advice("If the service is only slow, give Timeouts.adaptive() a higher ceiling=.")


class Prompt(NamedTuple):
    """The classes of a prompt's length and of the load, which decide about its time-outs."""

    length: float
    load: int


class History:
    """What was observed of one operation of one model in one process.

    Args:
        target: The service.
        names: Its address, the label of the operation, and the model.
        reason: Why nothing older is known; ``""`` at first.
        in_force: The estimates that hold, by phase and prompt.
    """

    def __init__(
        self,
        target: Target,
        names: tuple[str, str, str],
        reason: str = "",
        in_force: dict[tuple[str, Prompt], float] | None = None,
    ) -> None:
        self.target, self.names, self.reason = target, names, reason
        self.seen = {phase: deque[Observation](maxlen=WINDOW) for phase in (FIRST_TOKEN, IDLE)}
        self.in_force = {} if in_force is None else in_force

    def renewed(self, target: Target, reason: str) -> History:
        """Return a history that knows nothing but which time-outs are in force."""
        return History(target, self.names, reason, self.in_force)

    def for_target(self, target: Target, now: float) -> History:
        """Return the history that is right for an attempt: a new one where this one says nothing any more."""
        if self.target is not target:
            return self.renewed(target, "another process answers there")
        seen = self.seen[FIRST_TOKEN]
        if seen and now - seen[-1].at > PAUSE:
            return self.renewed(target, f"there was no call for {PAUSE:g} s")
        return self

    def follow(self, phase: str, prompt: Prompt, now: float) -> tuple[float, float, str]:
        """Return the estimate that was in force and the one that is now, in seconds, and what it follows."""
        found = estimate(list(self.seen[phase]), *prompt, now)  # a copy in one step: other threads add to it
        before = self.in_force.get((phase, prompt), inf)
        after = inf if found is None else follow(before, found.seconds)
        self.in_force[phase, prompt] = after
        return before, after, self._explain(found)

    def _explain(self, found: Estimate | None) -> str:
        if found is None:
            return self.reason or f"fewer than {NEIGHBOURS} calls of the last hour are known"
        what = "timed out after" if found.by.timed_out else "was silent for"
        return f"a comparable call {what} {found.by.seconds:.3g} s"


class Timing:
    """One attempt under way: what it is allowed, and where the time that it takes is noted.

    Args:
        history: What was observed of its operation.
        size: Bytes of the request.
        load: Calls under way, this one included.
    """

    def __init__(self, history: History, size: int, load: int) -> None:
        self._history, self._length, self._load = history, length_of(size), load
        self._given: AdaptiveTimeouts | None = None
        self._allowed: dict[str, float] = {}

    def adapt(self, given: AdaptiveTimeouts, now: float) -> tuple[AdaptiveTimeouts, list[TimeoutChanged]]:
        """Return the time-outs of the attempt, and how they differ from those before."""
        prompt = Prompt(length_class(self._length), load_class(self._load))
        self._given, changes = given, []
        for phase in self._history.seen:
            least, most = given.floor, getattr(given, phase)
            before, after, reason = self._history.follow(phase, prompt, now)
            before, after = max(least, min(before, most)), max(least, min(after, most))
            self._allowed[phase] = after
            if after != before:
                about = *self._history.names, phase, int(2**prompt.length), prompt.load
                changes.append(TimeoutChanged(*about, before, after, reason))
        return replace(given, **self._allowed), changes

    def note(self, phase: str, seconds: float, *, timed_out: bool = False) -> None:
        """Note a silence, or how long it was waited for in vain."""
        seen = Observation(seconds, self._length, self._load, clock.monotonic(), timed_out)
        self._history.seen[phase].append(seen)

    def time_out(self, error: ServiceTimeout, seconds: float) -> None:
        """Note a time-out after so many seconds, and say in its error what was allowed, and why."""
        phase = _PHASES.get(error.phase)
        if phase is None:
            return
        known = len(self._history.seen[phase])
        self.note(phase, seconds, timed_out=True)
        if self._given is None:
            return
        allowed, longest = self._allowed[phase], self._given.load
        # What took nearly as long as a load was not silent: comments came, or an event bit by bit.
        if longest > allowed and seconds > (allowed + longest) / 2:
            return
        error.advice = _HIGHER_CEILING
        if allowed < getattr(self._given, phase):
            error.advice = _HIGHER_FLOOR
            error.args = (f"{error.message}: {allowed:.3g} s, adapted to the last {known} calls",)
