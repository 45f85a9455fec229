"""Terms: what the attempts of a call go by, and what all calls of a client share."""

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

#: Removes the cause of one failure within the request's bounds; tells whether it may succeed now.
Recovery = Callable[[Request, FoundryError], bool]


#: Returns the error that tells why an attempt failed: the given one, or what its target says when asked.
Explain = Callable[[Call, Target, FoundryError], FoundryError]


class GuardedTarget(Target, Protocol):
    """One address with what guards it."""

    @property
    def breaker(self) -> Breaker | None:
        """Return the circuit of the address; ``None`` for none."""

    @property
    def guards_unload(self) -> bool:
        """Tell whether the service itself keeps a model in memory on which an answer runs."""


class Targets(Protocol):
    """The targets that may be asked."""

    @property
    def current(self) -> GuardedTarget | None:
        """Return the target to ask where there is no choice; ``None`` when one must be taken."""

    def take(self, options: Options, /) -> GuardedTarget:
        """Return the target of the next attempt, within the call's bounds."""


class AnyTarget(msgspec.Struct, frozen=True):
    """An address, alone."""

    url: str = ""
    breaker: Breaker | None = None
    guards_unload: bool = False


class OneTarget(msgspec.Struct, frozen=True):
    """Targets of which there is one, for ever."""

    current: AnyTarget = msgspec.field(default_factory=AnyTarget)

    def take(self, options: Options) -> AnyTarget:  # noqa: ARG002 (no choice)
        """Return it."""
        return self.current


class Bounds(msgspec.Struct, frozen=True):
    """What all calls of a client, and of its views, share.

    Attributes:
        budget: What retries may add to the load.
        closing: Cancelled when the client closes.
        slots: Calls at a time; ``None`` for no bound.
        locks: Models that requests run on.
    """

    budget: RetryBudget = msgspec.field(default_factory=RetryBudget)
    closing: CancelToken = msgspec.field(default_factory=CancelToken)
    slots: Slots | None = None
    locks: ModelLocks = msgspec.field(default_factory=ModelLocks)


class Terms(msgspec.Struct, frozen=True):
    """What an execution goes by.

    Attributes:
        policy: When to try again.
        targets: What may be asked.
        bounds: What calls share.
        recoveries: What to do once about an error of exactly this class, with its name for events.
        emit: Told of every failed attempt and of the call's end.
        explain: Returns the cause of a failure that does not tell it.
        jitter: Returns a random number between 0 and its argument.
    """

    policy: RetryPolicy
    targets: Targets = OneTarget()
    bounds: Bounds = msgspec.field(default_factory=Bounds)
    recoveries: Mapping[type[FoundryError], tuple[str, Recovery]] = msgspec.field(default_factory=dict)
    emit: Callable[[Event], None] = lambda event: None
    explain: Explain = lambda call, target, error: error
    jitter: Callable[[float], float] = full_jitter
