"""GroupCore: the parts of a client of several services, and of its views."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from foundry_rest.client.core import Core
from foundry_rest.client.spec import ClientSpec
from foundry_rest.schema.use import ConnectionUse, SlotUse, summed
from foundry_rest.services.context import Context
from foundry_rest.services.group import Member, ServiceGroup
from foundry_rest.services.group_context import GroupContext, GroupSender, GroupTargets
from foundry_rest.services.pool import TargetPool

if TYPE_CHECKING:
    from foundry_rest.runtime import LocalRuntime
    from foundry_rest.schema.service_facts import ServiceFacts
    from foundry_rest.schema.stats import Stats


class GroupCore(Core):
    """The parts of a client of several services: those of each, which share figures, circuits and budget.

    Args:
        spec: The client's settings.
        runtime: The embedded runtime that the client owns; it is the first of the services.
    """

    def __init__(self, spec: ClientSpec, runtime: LocalRuntime | None = None) -> None:
        first, *others = spec.services
        super().__init__(spec.at(first), runtime)
        self._others = [Core(spec.at(each), beside=self) for each in others]

    def context(self, spec: ClientSpec) -> Context:
        """Return the context of the endpoints of a client or view with these settings."""
        first, *rest = spec.services
        contexts = [super().context(spec.at(first))]
        contexts += [core.context(spec.at(each)) for core, each in zip(self._others, rest, strict=True)]
        members = [
            Member(service, context, core.bounds.slots)
            for service, context, core in zip(spec.services, contexts, (self, *self._others), strict=True)
        ]
        group = ServiceGroup(members, spec.policy, self.bounds.budget, spec.prefer)
        return GroupContext(
            sender=GroupSender(group),
            probe=contexts[0].probe,
            targets=cast("TargetPool", GroupTargets(group)),
            config=spec.config,
            emit=self.emit,
            flights=self.flights,
            locks=contexts[0].locks,
            closing=self.bounds.closing,
            has_cache=self.caching is not None,
            group=group,
        )

    def facts(self, context: Context) -> tuple[ServiceFacts, ...]:
        """Return what is known of each service."""
        return cast("GroupContext", context).group.facts()

    def figures(self) -> Stats:
        """Return the statistics so far, and the use of what the calls share now, of all services."""
        first = super().figures()
        others = [core.figures() for core in self._others]
        return replace(
            first,
            slots=summed(SlotUse, [first.slots, *(each.slots for each in others)]),
            connections=summed(ConnectionUse, [first.connections, *(each.connections for each in others)]),
        )

    def close(self) -> None:
        """End every wait and close the connections to all services."""
        super().close()
        for core in self._others:
            core.close()
