"""A sender over a script, with all that bounds it."""

from __future__ import annotations

import msgspec

from foundry_rest.errors import ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Outcome, Ticket
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.resilience.sender import ResilientSender
from foundry_rest.resilience.terms import Bounds, Terms
from foundry_rest.testing import FakeSender
from foundry_rest.transport.call import Call, Replay, Reply
from foundry_rest.transport.cancellation import CancelToken

OK = Reply(200, {}, b"{}", "http://h")
CALL = Call("POST", "/x", b"{}", Replay.ALWAYS, label="chat.complete", model="m")
REFUSED = ServiceUnreachable("refused", sent=False)
SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL


class AnyTarget(msgspec.Struct, frozen=True):
    """An address without a breaker."""

    url: str = ""
    breaker: object = None
    guards_unload: bool = False
    is_known: bool = True


class OneTarget(msgspec.Struct, frozen=True):
    """A single target that never changes."""

    current: AnyTarget = msgspec.field(default_factory=AnyTarget)
    last: AnyTarget | None = None
    is_embedded: bool = False

    def take(self, options) -> AnyTarget:
        """Return the only target."""
        return self.current

    def miss(self, url: str) -> None:
        """Keep the only target."""


class FakeBreaker:
    """Note what it is asked and told, and how many slots were free then; refuse when told to."""

    def __init__(self, slots, refusal=None):
        self.slots, self.refusal = slots, refusal
        self.seen: list[object] = []
        self.free: list[int] = []

    def admit(self):
        """Note and admit, or refuse."""
        self.free.append(self.slots.free)
        if self.refusal:
            raise self.refusal
        return Ticket(len(self.free))

    def report(self, ticket, outcome, error=None):
        """Note."""
        self.seen.append((ticket.epoch, outcome))


class Bench:
    """A sender over a script, with all that bounds it."""

    def __init__(self, *script, retries=3, recoveries=None, refusal=None, budget=None):
        self.slots = Slots(1)
        self.breaker = FakeBreaker(self.slots, refusal)
        self.closing = CancelToken()
        self.events: list[object] = []
        self.inner = FakeSender(script)
        terms = Terms(
            RetryPolicy(retries=retries),
            OneTarget(AnyTarget("http://h", self.breaker)),
            Bounds(budget or RetryBudget(), self.closing, self.slots),
            lambda may_load: recoveries or {},
            self.events.append,
            jitter=lambda bound: bound,
        )
        self.sender = ResilientSender(self.inner, terms)


def died(**more) -> ServiceUnreachable:
    """Return the error of a connection that ended without an answer."""
    return ServiceUnreachable("died", sent=True, url="http://h", **more)
