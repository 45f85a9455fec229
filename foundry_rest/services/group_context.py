"""GroupContext: the shared parts of the endpoints of a client of several services."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from foundry_rest.services.context import Build, Context
from foundry_rest.services.group import Member, ServiceGroup
from foundry_rest.services.target import Target
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.interfaces import OpenReply, Request

T = TypeVar("T")
S = TypeVar("S", bound=AnswerStream[Any])


class GroupContext(Context, kw_only=True):
    """The shared parts of the endpoints of a client of several services.

    A request is asked of one service after the other; what an endpoint asks about "the" service is answered
    for the one that answered last.

    Attributes:
        group: The services.
    """

    has_several: ClassVar[bool] = True
    group: ServiceGroup

    def ask(
        self,
        build: Build[Reply, T],
        options: Options,
        *,
        model: str = "",
        probe: bool = False,
        recognise: bool = True,
    ) -> T:
        """Return the parsed response of the first service that answers; see ``Context.ask``."""

        def ask(member: Member, within: Options) -> T:
            return member.context.ask(build, within, model=model, probe=probe, recognise=recognise)

        return self.group.ask(ask, options)

    def open(
        self,
        kind: type[S],
        build: Build[bytes, Any],
        options: Options,
        *,
        model: str = "",
        started: float | None = None,
        probe: bool = False,
    ) -> S:
        """Return the open stream of the first service that begins to answer; see ``Context.open``."""

        def open_(member: Member, within: Options) -> S:
            return member.context.open(kind, build, within, model=model, started=started, probe=probe)

        return self.group.ask(open_, options)


class GroupTargets:
    """The target of the service that answered last, as a pool.

    Args:
        group: The services.
    """

    def __init__(self, group: ServiceGroup) -> None:
        self._group = group

    @property
    def current(self) -> Target | None:
        """Return its target; ``None`` while it is lost."""
        return self._group.last.context.targets.current

    @property
    def last(self) -> Target | None:
        """Return its target that was lost last."""
        return self._group.last.context.targets.last

    @property
    def limits_calls(self) -> bool:
        """Return whether each of the services bounds its concurrent calls by itself."""
        return all(member.context.targets.limits_calls for member in self._group.members)

    def take(self, options: Options | None = None) -> Target:
        """Return its target; search for it where it is lost."""
        return self._group.last.context.targets.take(options)

    def has_moved(self, url: str, options: Options | None = None) -> bool:
        """Return whether the service that was lost at an address is found at another one."""
        return any(member.context.targets.has_moved(url, options) for member in self._group.members)

    def miss(self, url: str) -> None:
        """Search again before the next request to the service at an address."""
        for member in self._group.members:
            member.context.targets.miss(url)

    def note_pid(self, pid: int | None) -> None:
        """Record the pid of the service that answered last."""
        self._group.last.context.targets.note_pid(pid)


class GroupSender:
    """The sender of the service that answered last.

    Args:
        group: The services.
    """

    def __init__(self, group: ServiceGroup) -> None:
        self._group = group

    def send(self, request: Request) -> Reply:
        """Return its whole answer, or raise one of our errors."""
        return self._group.last.context.sender.send(request)

    def open(self, request: Request) -> OpenReply:
        """Return its open stream, or raise one of our errors."""
        return self._group.last.context.sender.open(request)

    def close(self) -> None:
        """Close nothing: each service's own sender is closed with the client."""
