"""The first argument of a chat call, by either of its names."""

from __future__ import annotations

from collections.abc import Iterable

from foundry_rest.errors import ConfigError
from foundry_rest.schema.messages import Message

#: A user's prompt, or OpenAI messages.
Conversation = str | Iterable[Message]


def one_of(prompt: Conversation | None, messages: Conversation | None) -> Conversation:
    """Return what was given, under whichever name.

    Raises:
        ConfigError: Neither was given, or both were.
    """
    if (prompt is None) == (messages is None):
        what = (
            "nothing to ask: give"
            if prompt is None
            else "prompt and messages are two names of one thing: give one,"
        )
        raise ConfigError(f'{what} a prompt, such as "Hello", or a list of messages')
    return messages if prompt is None else prompt  # type: ignore[return-value]
