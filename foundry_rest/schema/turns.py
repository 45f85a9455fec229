"""The turns of a conversation, of which the oldest are dropped when it grows too long. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from foundry_rest.schema.messages import Message

#: Roles of messages that tell the model how to behave.
_STANDING = ("system", "developer")


class Turns:
    """A conversation in turns: a question and all that follows it, tool calls and their results included.

    What the system says stays, wherever it stands, and so does the last turn.

    Args:
        messages: The conversation.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        spoken = [number for number, each in enumerate(messages) if each.get("role") not in _STANDING]
        #: Where each turn begins; what an assistant says before the first question is a turn of its own.
        self._starts = [
            number
            for position, number in enumerate(spoken)
            if not position or messages[number].get("role") == "user"
        ]

    def __len__(self) -> int:
        return len(self._starts)

    def without(self, dropped: int) -> list[Message]:
        """Return the conversation without its oldest turns, at most all but the last."""
        start = self._starts[min(dropped, len(self._starts) - 1)] if self._starts else 0
        return [
            message
            for number, message in enumerate(self._messages)
            if number >= start or message.get("role") in _STANDING
        ]
