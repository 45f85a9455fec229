"""The interfaces of targets, and of what helps after a failure; only type checkers import them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from foundry_rest.errors import FoundryError
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.transport.call import Call, Options
from foundry_rest.transport.interfaces import Request, Target

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
