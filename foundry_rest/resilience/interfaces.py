"""The interfaces of targets, circuits and recoveries, for type checkers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from foundry_rest.errors import FoundryError
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.breaker.record import Record
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.interfaces import Request, Target

T = TypeVar("T")

#: Removes the cause of one failure within the request's bounds; returns whether a repetition may succeed.
Recovery = Callable[[Request, FoundryError], bool]
#: Error class, exactly -> the recovery to try once, with its name for events.
Recoveries = Mapping[type[FoundryError], tuple[str, Recovery]]
#: Returns the cause of a failed attempt: the given error, or the one that its target gives when asked.
Explain = Callable[[Call, Target, FoundryError], FoundryError]


class GuardedTarget(Target, Protocol):
    """One address with its circuit breaker."""

    @property
    def breaker(self) -> Breaker | None:
        """Return the breaker of the address, or ``None``."""

    @property
    def guards_unload(self) -> bool:
        """Return whether the service itself keeps a model in memory while an answer runs on it."""


class Targets(Protocol):
    """The targets that calls may go to."""

    @property
    def current(self) -> GuardedTarget | None:
        """Return the target if there is no choice; ``None`` when ``take`` must choose one."""

    @property
    def last(self) -> GuardedTarget | None:
        """Return the target that was lost last; ``None`` if none was."""

    @property
    def is_embedded(self) -> bool:
        """Return whether the service is a child of this process."""

    def take(self, options: Options, /) -> GuardedTarget:
        """Return the target of the next attempt, within the call's bounds."""

    def miss(self, url: str, /) -> None:
        """Search again before the next attempt: the service at ``url`` may be gone."""


class BreakerState(Protocol):
    """The storage of one circuit's record. It never raises: a record out of reach counts as closed."""

    def read(self) -> Record:
        """Return the record as it is now; ``UNKNOWN`` when it cannot be read."""

    def now(self) -> float:
        """Return the time on the clock of all that share this state."""

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return the result of ``decide(record, now)``, and store its changes of the record.

        ``decide`` may be called again with a fresh record when another process was faster. The result is
        ``None`` when the record cannot be stored; ``decide`` may not have been called then.
        """
