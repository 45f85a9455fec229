"""The prompt or the messages of a chat call, checked before they are sent: the service would misread some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import UNSET, UnsetType

from foundry_rest.checks import only_known
from foundry_rest.errors import ConfigError
from foundry_rest.schema.json_values import check_json

#: One message of a conversation, as OpenAI spells it.
Message = Mapping[str, object]
#: A user's prompt, or OpenAI messages.
Conversation = str | Iterable[Message]

_ROLES = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
#: Members of messages: OpenAI's, those that servers put into their answers, and their own in a request.
_MEMBERS = frozenset(
    (
        *("role", "content", "name", "tool_calls", "tool_call_id", "function_call"),
        *("refusal", "annotations", "audio", "reasoning", "reasoning_content", "reasoning_details"),
        *("images", "prefix", "partial", "cache_control", "thinking_blocks", "provider_specific_fields"),
    )
)
_MEMBER_ADVICE = "A body of one's own can be sent by client.request()."
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


def build_conversation(messages: object, system: str | None = None) -> list[Message]:
    """Return the checked messages for a prompt or a conversation.

    Args:
        messages: The user's prompt, OpenAI messages, replies or their messages among them, or what
            ``run_tools`` returned.
        system: Put before the messages as a system message.

    Raises:
        ConfigError: A message cannot be sent, or the service would misread it.
    """
    messages = getattr(messages, "messages", messages)  # those of a ToolRun
    if isinstance(messages, str):
        conversation: list[Message] = [{"role": "user", "content": messages}]
    elif isinstance(messages, Iterable) and not isinstance(messages, (bytes, bytearray, Mapping)):
        conversation = [
            _message(item if isinstance(item, Mapping) else _as_message(item)) for item in messages
        ]
    else:
        raise ConfigError(f"the prompt must be text or a list of messages, not {type(messages).__name__}")
    if system is not None and not isinstance(system, str):
        raise ConfigError(f"system must be text, not {type(system).__name__}")
    if not any(message.get("content") or message.get("tool_calls") for message in conversation):
        raise ConfigError("the prompt is empty: there is nothing to answer")
    checked = [{"role": "system", "content": system}, *conversation] if system else conversation
    check_json(checked, "messages")
    return checked


def _as_message(item: object) -> object:
    """Return a reply, or the message of one of its choices, as a message; anything else as it is."""
    message = getattr(item, "message", item)
    if isinstance(message, Mapping) or not hasattr(message, "role"):
        return message
    content, calls = getattr(message, "content", None), getattr(message, "tool_calls", None)
    found: dict[str, object] = {"role": message.role or "assistant", "content": content or ""}
    if calls:
        found["tool_calls"] = [getattr(call, "message", call) for call in calls]
    return found


def _message(item: object) -> Message:
    if not isinstance(item, Mapping):
        raise ConfigError(f"a message must be a mapping with role and content, not {type(item).__name__}")
    role = item.get("role")
    if not isinstance(role, str):
        raise ConfigError("a message needs a role: system, user, assistant or tool")
    if role not in _ROLES:
        only_known((role,), _ROLES, "role")
    if not item.keys() <= _MEMBERS:
        only_known(item, _MEMBERS, "member", _MEMBER_ADVICE)
    content = item.get("content")
    if content is not None and not isinstance(content, (str, list, tuple)):
        raise ConfigError(f"a message's content must be text or parts, not {type(content).__name__}")
    if role == "tool" and not _is_nonempty_text(item.get("tool_call_id")):
        raise ConfigError("a tool message needs the tool_call_id of the call that it answers")
    _check_calls(item.get("tool_calls"))
    return item


def _check_calls(calls: object) -> None:
    """Raise ConfigError unless ``calls`` is ``None`` or a list of tool calls in a service's own form."""
    if calls is not None and not isinstance(calls, (list, tuple)):
        raise ConfigError(f"a message's tool_calls must be a list, not {type(calls).__name__}")
    for call in calls or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not _is_nonempty_text(function.get("name")):
            raise ConfigError("a tool call must be a mapping with id and function, which has a name")
        if not _is_nonempty_text(call.get("id")):
            raise ConfigError("a tool call needs the id that the service gave it")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            raise ConfigError(f"a tool call's arguments must be JSON text, not {type(arguments).__name__}")


def _is_nonempty_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
