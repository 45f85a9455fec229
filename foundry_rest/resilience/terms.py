"""Terms: the rules for the attempts of a call, and the bounds that all calls of a client share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from foundry_rest.errors import FoundryError
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.transport.call import Call, Options, Request, Target
from foundry_rest.transport.cancellation import CancelToken

#: Removes the cause of one failure within the request's bounds; returns whether a repetition may succeed.
Recovery = Callable[[Request, FoundryError], bool]


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


class AnyTarget(msgspec.Struct, frozen=True):
    """An address without a breaker."""

    url: str = ""
    breaker: Breaker | None = None
    guards_unload: bool = False
    is_known: bool = True


class OneTarget(msgspec.Struct, frozen=True):
    """A single target that never changes."""

    current: AnyTarget = msgspec.field(default_factory=AnyTarget)
    last: AnyTarget | None = None
    is_embedded: bool = False

    def take(self, options: Options) -> AnyTarget:  # noqa: ARG002 (no choice)
        """Return the only target."""
        return self.current

    def miss(self, url: str) -> None:
        """Keep the only target."""


class Bounds(msgspec.Struct, frozen=True):
    """The bounds that all calls of a client and of its views share.

    Attributes:
        budget: Bound on the load that retries add.
        closing: Cancelled when the client closes.
        slots: Bound on concurrent calls; ``None`` for none.
        locks: Locks on the models that requests run on.
    """

    budget: RetryBudget = msgspec.field(default_factory=RetryBudget)
    closing: CancelToken = msgspec.field(default_factory=CancelToken)
    slots: Slots | None = None
    locks: ModelLocks = msgspec.field(default_factory=ModelLocks)


class Terms(msgspec.Struct, frozen=True):
    """The rules for the execution of a call.

    Attributes:
        policy: When to try again.
        targets: The targets that calls may go to.
        bounds: The bounds that calls share.
        recoveries: Error class, exactly -> the recovery to try once, with its name for events.
        emit: Called with an event for every failed attempt and for the end of the call.
        explain: Returns the cause of a failure that does not show it.
        jitter: Returns a random number between 0 and its argument.
        without_load: The recoveries of a call for which no model may be loaded.
    """

    policy: RetryPolicy
    targets: Targets = OneTarget()
    bounds: Bounds = msgspec.field(default_factory=Bounds)
    recoveries: Mapping[type[FoundryError], tuple[str, Recovery]] = msgspec.field(default_factory=dict)
    emit: Callable[[Event], None] = lambda event: None
    explain: Explain = lambda call, target, error: error
    jitter: Callable[[float], float] = full_jitter
    without_load: Mapping[type[FoundryError], tuple[str, Recovery]] = msgspec.field(default_factory=dict)
