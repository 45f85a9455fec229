"""ServiceGroup: several services that may answer one call, asked one after the other until one has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import (
    Attempt,
    AuthenticationError,
    CircuitOpen,
    ContextLengthExceeded,
    FoundryError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.resilience.failover import LEAST, choose
from foundry_rest.resilience.failures import row_of
from foundry_rest.resilience.retry import RetryPolicy, full_jitter
from foundry_rest.resilience.retry_budget import RetryBudget
from foundry_rest.resilience.sender import new_call_id
from foundry_rest.schema.service_facts import ServiceFacts
from foundry_rest.services.context import Context
from foundry_rest.services.service_spec import ServiceSpec
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import sleep
from foundry_rest.transport.logical_call import LogicalCall

T = TypeVar("T")

#: Services that may end without an answer to a call until it is given up: it may be what ends them.
_ENDED = 2
_WAIT_FOR_ONE = Advice(
    Words(
        "Give a deadline=, within which a call waits for the first of them, or look at each service.",
        "Give a --deadline (FOUNDRY_DEADLINE), within which a call waits for the first of them.",
    )
)


class Member:
    """One service of a group.

    Args:
        spec: The settings of its own.
        context: What sends requests to it, and knows its names and dialect.
        slots: The bound on its calls under way.

    Attributes:
        spec: The settings of its own.
        context: What sends requests to it.
    """

    def __init__(self, spec: ServiceSpec, context: Context, slots: Slots | None) -> None:
        self.spec, self.context, self._slots = spec, context, slots

    @property
    def url(self) -> str:
        """Return its address, the last known one where it may move."""
        return self.context.url or self.spec.url

    @property
    def in_use(self) -> int:
        """Return how many of its calls are under way."""
        return 0 if self._slots is None else self._slots.in_use

    @property
    def load(self) -> float:
        """Return its calls under way for each unit of its weight."""
        return self.in_use / self.spec.weight

    @property
    def breaker(self) -> Breaker | None:
        """Return the circuit of its address, or ``None``."""
        target = self.context.targets.current or self.context.targets.last
        return None if target is None else target.breaker

    @property
    def retry_in(self) -> float:
        """Return the seconds until its circuit admits a call; 0.0 when it does now."""
        breaker = self.breaker
        return 0.0 if breaker is None else breaker.retry_in

    def facts(self, *, answered_last: bool) -> ServiceFacts:
        """Return what is known of it; nobody is asked."""
        breaker = self.breaker
        error = None if breaker is None else breaker.last_error
        return ServiceFacts(
            url=self.url,
            generation=self.context.generation,
            circuit="" if breaker is None else breaker.current,
            retry_in=self.retry_in,
            in_use=self.in_use,
            weight=self.spec.weight,
            model=self.spec.model or self.context.config.model,
            answered_last=answered_last,
            reason="" if error is None else error.message,
        )

    def model_for(self, model: str) -> str:
        """Return the model to ask: its own in place of the client's default one."""
        own = self.spec.model
        return own if own is not None and model == self.context.config.model else model


class Round:
    """One call's way through the services of a group.

    Args:
        group: The services.
        options: The options of the call.

    Attributes:
        options: The options of the attempts: those of the call, which name it as their whole.
        whole: What the attempts have shown so far.
    """

    def __init__(self, group: ServiceGroup, options: Options) -> None:
        self._group = group
        self.whole = LogicalCall(new_call_id(), self._has_other)
        self.options = replace(options, whole=self.whole)
        self._asked: list[Member] = []
        self._silent: list[Member] = []
        self._others: list[Member] = []
        self._ended: set[Member] = set()

    def next(self) -> Member:
        """Return the service to ask next; wait for the first circuit that lets a call pass, if there is time.

        Raises:
            CircuitOpen: All circuits are open for longer than the call's deadline, or it has none.
        """
        while True:
            well = self._others or self._well()
            for spared in (self._silent, []):  # all were asked: begin again, with the silent ones last
                if not well:
                    self._asked = [*spared]
                    well = self._well()
            if well:
                member = choose(well, self._group.prefer)
                self._asked.append(member)
                self._others = []
                self.whole.is_decided = False
                return member
            self._wait_for_one()

    def failed(self, error: FoundryError, began: float, policy: RetryPolicy, budget: RetryBudget) -> bool:
        """Return whether another try is made; wait before it where that is due."""
        whole = self.whole
        if isinstance(error, ServiceTimeout) and self._asked[-1] not in self._silent:
            self._silent.append(self._asked[-1])
        if not whole.is_decided:
            self._record(error, began)
            left = self.options.until - clock.monotonic()
            if self._has_other(error):
                wait = policy.wait_elsewhere(error, whole.replay, whole.failed, left)
            else:
                wait = policy.wait_before_next(error, whole.replay, whole.failed, left, full_jitter)
            whole.wait = wait if wait is not None and budget.spend() else None
            error.attempts = tuple(whole.failures)
        if whole.wait:
            sleep(whole.wait, self.options.tokens(self._group.closing), "to try again")
        return whole.wait is not None

    def _well(self) -> list[Member]:
        """Return the services that were not asked yet and whose circuits let a call pass."""
        asked = self._asked
        return [each for each in self._group.members if each not in asked and not each.retry_in]

    def _has_other(self, error: FoundryError) -> bool:
        """Return whether another service may answer what the last one did not, and keep which."""
        refused = self._asked[-1].spec
        others = self._well()
        if isinstance(error, ServiceUnreachable) and error.sent:
            self._ended.add(self._asked[-1])
        if len(self._ended) >= _ENDED:
            others = []
        elif isinstance(error, ContextLengthExceeded):  # the same model has the same length anywhere
            others = [each for each in others if each.spec.model != refused.model]
        elif isinstance(error, AuthenticationError):
            others = [each for each in others if each.spec.api_key != refused.api_key]
        elif not row_of(error).elsewhere:
            others = []
        self._others = others
        return bool(others)

    def _record(self, error: FoundryError, began: float) -> None:
        """Add the tries of an error that came up outside the attempts: of an answer, or of a preparation."""
        whole = self.whole
        known = len(whole.failures)
        made = error.attempts[known:] if error.attempts[:known] == tuple(whole.failures) else error.attempts
        elapsed = clock.monotonic() - began
        at = began - whole.started
        for each in made or (Attempt(1, 0.0, elapsed, type(error).__name__, error.message),):
            number = len(whole.failures) + 1
            whole.failures.append(replace(each, number=number, at=at + each.at, url=error.url))

    def _wait_for_one(self) -> None:
        members = self._group.members
        soonest = min(each.retry_in for each in members)
        left = self.options.until - clock.monotonic()
        if left == float("inf") or soonest >= left:
            raise _all_open(members, soonest, self.whole)
        sleep(soonest, self.options.tokens(self._group.closing), "for a service that may be asked")


class ServiceGroup:
    """Several services that may answer one call.

    Args:
        members: The services, in the order of preference.
        policy: When a call is tried again.
        budget: Bound on the load that further tries add.
        prefer: ``"least"``: the one with the least to do; ``"first"``: the first that is well.

    Attributes:
        members: The services.
        prefer: How one is chosen.
        last: The service that answered last; the first before any has.
        closing: Cancelled when the client closes.
    """

    def __init__(
        self, members: Sequence[Member], policy: RetryPolicy, budget: RetryBudget, prefer: str = LEAST
    ) -> None:
        self.members, self.prefer = tuple(members), prefer
        self._policy, self._budget = policy, budget
        self.last = self.members[0]
        self.closing = self.last.context.closing

    def facts(self) -> tuple[ServiceFacts, ...]:
        """Return what is known of each service; nobody is asked."""
        return tuple(each.facts(answered_last=each is self.last) for each in self.members)

    def ask(self, ask: Callable[[Member, Options], T], options: Options) -> T:
        """Return the first answer that one of the services gives.

        Args:
            ask: Asks one service, within the options.
            options: Options of the call; its deadline and its number of tries are one for all services.

        Raises:
            FoundryError: The last one's failure, with the attempts at all of them.
        """
        way = Round(self, options)
        policy = self._policy if options.retries is None else replace(self._policy, retries=options.retries)
        while True:
            member = way.next()
            began = clock.monotonic()
            try:
                answer = ask(member, way.options)
            except FoundryError as error:
                if not way.failed(error, began, policy, self._budget):
                    raise
            else:
                self.last = member
                return answer


def _all_open(members: Sequence[Member], soonest: float, whole: LogicalCall) -> CircuitOpen:
    reasons = "; ".join(f"{each.url}: {_reason(each)}" for each in members)
    error = CircuitOpen(
        f"all services failed too often and are left alone for {soonest:.1f} s more ({reasons})",
        retry_in=soonest,
        url=members[0].url,
        advice=_WAIT_FOR_ONE,
    )
    error.attempts = tuple(whole.failures)
    return error


def _reason(member: Member) -> str:
    breaker = member.breaker
    cause = None if breaker is None else breaker.last_error
    return "its circuit is open" if cause is None else cause.message
