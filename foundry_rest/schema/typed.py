"""Typed: a value that was read from an answer, together with the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from foundry_rest.schema.chat import ChatReply

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Typed(tuple[T, ChatReply], Generic[T]):
    """A value of a type and the reply that it was read from; ``value, reply = ...`` takes them apart."""

    __slots__ = ()

    def __new__(cls, value: T, reply: ChatReply) -> Self:
        """Return the pair."""
        return super().__new__(cls, (value, reply))

    @property
    def value(self) -> T:
        """Return the value."""
        return self[0]

    @property
    def reply(self) -> ChatReply:
        """Return the reply: the last one, if the model was asked again."""
        return self[1]

    def __getnewargs__(self) -> tuple[T, ChatReply]:
        return self[0], self[1]

    def __repr__(self) -> str:
        return f"Typed(value={self[0]!r}, reply={self[1]!r})"
