"""The input of a chat call, which may be given as ``prompt`` or as ``messages``."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, UnsetType

from foundry_rest.errors import ConfigError
from foundry_rest.schema.messages import Message

#: A user's prompt, or OpenAI messages.
Conversation = str | Iterable[Message]

_NEITHER = 'there is no prompt: give prompt="..." or messages=[{"role": "user", "content": "..."}]'
_BOTH = 'give prompt or messages, not both: a prompt goes into messages as {"role": "user", "content": "..."}'


def prompt_or_messages(prompt: Conversation | UnsetType, messages: Conversation | UnsetType) -> Conversation:
    """Return whichever of the two arguments is given; either takes a text or messages.

    Raises:
        ConfigError: Both are given, or neither is.
    """
    if prompt is not UNSET and messages is not UNSET:
        raise ConfigError(_BOTH)
    given = messages if prompt is UNSET else prompt
    if given is UNSET:
        raise ConfigError(_NEITHER)
    return given
