"""Terms: the rules for the attempts of a call, and the bounds that all calls of a client share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.events import Event
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.model_locks import ModelLocks
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.transport.cancellation import CancelToken

if TYPE_CHECKING:
    from foundry_rest.resilience.interfaces import Explain, Recoveries, Targets


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
        recoveries: Returns the recoveries, given whether a model may be loaded for the call.
        emit: Called with an event for every failed attempt and for the end of the call.
        explain: Returns the cause of a failure that does not show it.
        jitter: Returns a random number between 0 and its argument.
    """

    policy: RetryPolicy
    targets: Targets
    bounds: Bounds = msgspec.field(default_factory=Bounds)
    recoveries: Callable[[bool], Recoveries] = lambda may_load: {}
    emit: Callable[[Event], None] = lambda event: None
    explain: Explain = lambda call, target, error: error
    jitter: Callable[[float], float] = full_jitter
