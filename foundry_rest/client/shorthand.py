"""The calls that every script makes, on the client itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar, overload

from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.health import Health
from foundry_rest.schema import ChatParams, ChatReply, HealthReport, Message
from foundry_rest.stream import ChatStream

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class Shorthand:
    """Shorten the most used operations of the endpoints that a subclass sets."""

    chat: Chat
    health: Health

    @overload
    def complete(
        self, prompt: str | Iterable[Message], /, *, model: str | None = None, **params: Unpack[ChatParams]
    ) -> ChatReply: ...

    @overload
    def complete(
        self,
        prompt: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        response_model: type[T],
        **params: Unpack[ChatParams],
    ) -> T: ...

    def complete(
        self,
        prompt: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        response_model: type[T] | None = None,
        **params: Unpack[ChatParams],
    ) -> ChatReply | T:
        """Return the whole answer; short for ``client.chat.complete``, which takes all options."""
        if response_model is None:
            return self.chat.complete(prompt, model=model, **params)
        return self.chat.complete(prompt, model=model, response_model=response_model, **params)

    def stream_complete(
        self, prompt: str | Iterable[Message], /, *, model: str | None = None, **params: Unpack[ChatParams]
    ) -> ChatStream:
        """Return the answer in chunks; short for ``client.chat.stream``, which takes all options."""
        return self.chat.stream(prompt, model=model, **params)

    def health_check(self) -> HealthReport:
        """Return how the service is; short for ``client.health.check()``."""
        return self.health.check()
