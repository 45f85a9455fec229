"""The keyword arguments of chat calls, as type checkers know them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UnsetType

from foundry_rest.schema import ChatParams
from foundry_rest.schema.messages import Conversation
from foundry_rest.transport.call_options import CallOptions


class ChatArguments(ChatParams, CallOptions, total=False):
    """The keyword arguments of a chat call: parameters of the request, and options of the call."""


class ShortcutArguments(ChatArguments, total=False):
    """The keyword arguments of the client's own method for streams."""

    system: str | None


class CompletionArguments(ChatArguments, total=False):
    """The keyword arguments of ``complete`` that leave its result's type as it is."""

    model: str | None
    system: str | None
    max_reasks: int
    fallback_models: Sequence[str]
    load_fallbacks: bool


class WholeQuestion(CompletionArguments, total=False):
    """The same for ``client.complete``, where ``messages`` is another name for the prompt."""

    messages: Conversation | UnsetType
