"""The endpoints of a client of several services."""
# ruff: noqa: SLF001 (each class asks other instances of its own base class)

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec.structs import replace

from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.health import Health
from foundry_rest.endpoints.models import Models
from foundry_rest.errors import FoundryError
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, HealthReport, ServiceStatus
from foundry_rest.schema.service_state import ServiceState
from foundry_rest.services.context import Context
from foundry_rest.services.group import Member
from foundry_rest.services.group_context import GroupContext
from foundry_rest.stream.chat import ChatStream
from foundry_rest.transport.call import Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.transport.call_options import CallOptions

T = TypeVar("T")

#: States from the best to the worst.
_ORDER = ("ready", "busy", "standby", "starting", "offline")


def parts_of(context: Context) -> tuple[Context, Chat, Models, Health]:
    """Return the context of what is stored or loaded, and the endpoints.

    Chat and health ask all services. Models, and responses that are stored, are those of the first one: they
    stay where they are.
    """
    group_context = cast("GroupContext", context)
    first = group_context.group.members[0].context
    return first, GroupChat(group_context), Models(first), GroupHealth(group_context)


class GroupChat(Chat):
    """Chat with several services: each question goes to one, and to another where that may answer."""

    def __init__(self, context: GroupContext) -> None:
        super().__init__(context)
        self._group = context.group
        self._chats = {member: Chat(member.context) for member in context.group.members}

    def _complete(self, request: ChatRequest, options: Options) -> ChatReply:
        def ask(member: Member, within: Options) -> ChatReply:
            return self._chats[member]._complete(_for(member, request), within)

        return self._group.ask(ask, options)

    def _complete_with(self, request: ChatRequest, options: Options, parse: Callable[[Reply], T]) -> T:
        def ask(member: Member, within: Options) -> T:
            return self._chats[member]._complete_with(_for(member, request), within, parse)

        return self._group.ask(ask, options)

    def _open(
        self,
        request: ChatRequest,
        options: Options,
        started: float,
        label: str,
        parse: Callable[[bytes], ChatChunk] | None = None,
    ) -> ChatStream:
        def ask(member: Member, within: Options) -> ChatStream:
            return self._chats[member]._open(_for(member, request), within, started, label, parse)

        return self._group.ask(ask, options)


class GroupHealth(Health):
    """Health of several services: that of the first that answers, with those of all."""

    def __init__(self, context: GroupContext) -> None:
        super().__init__(context)
        self._members = context.group.members
        self._all = [Health(member.context) for member in self._members]

    def state(self, model: str | None = None, **options: Unpack[CallOptions]) -> ServiceState:
        """Return the state of the first service that can be used; ``services`` holds those of all.

        Args:
            model: Alias or id of a model that has to be in memory to be ready; any by default.
            options: As for ``check``.
        """
        states = self._of_all(lambda health: health.state(model, **options))
        best = min(states, key=lambda state: _ORDER.index(state.status))
        return replace(best, services=tuple(states))

    def _check(self, options: Options) -> HealthReport:
        found = self._of_all(lambda health: _outcome(lambda: health._check(options)))
        reports = tuple(each for each in found if isinstance(each, HealthReport))
        both = zip(self._members, found, strict=True)
        silent = tuple(member.url for member, each in both if isinstance(each, FoundryError))
        return replace(_first(found), services=reports, unreachable=silent)

    def _status(self, options: Options) -> tuple[ServiceStatus, Reply]:
        return _first(self._of_all(lambda health: _outcome(lambda: health._status(options))))

    def _of_all(self, ask: Callable[[Health], T]) -> list[T]:
        """Return what all services say, asked at the same time: a silent one holds up no other."""
        with ThreadPoolExecutor(len(self._all), "foundry-rest-health") as threads:
            return list(threads.map(ask, self._all))


def _outcome(ask: Callable[[], T]) -> T | FoundryError:
    try:
        return ask()
    except FoundryError as error:
        return error


def _first(found: Sequence[T | FoundryError]) -> T:
    """Return the first answer; if there is none, raise the first failure, which tells of the others."""
    failures = [each for each in found if isinstance(each, FoundryError)]
    if len(failures) == len(found):
        first, *others = failures
        first.places = (*first.places, *(f"{each.url}: {each.message}" for each in others))
        raise first
    return next(each for each in found if not isinstance(each, FoundryError))


def _for(member: Member, request: ChatRequest) -> ChatRequest:
    """Return the request to one service: to the model that its settings name in place of the default."""
    model = member.model_for(request.model)
    return request if model == request.model else replace(request, model=model, id=model)
