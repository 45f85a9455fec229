"""Check what users give, so that bad input never reaches the wire.

JSON has no way to say NaN, bytes or endless nesting: msgspec writes NaN as null and bytes as base64,
and the service then ignores the parameter or answers a prompt nobody wrote; JSON nested 60,000 deep
kills 2.x. Everything is therefore walked once, without recursion, before it is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypedDict

import msgspec

from foundry_rest.errors import ConfigError

#: One message of a conversation, as OpenAI spells it.
Message = Mapping[str, object]
#: Deepest nesting sent. Real requests (tool schemas) stay below 20.
MAX_DEPTH = 64
#: Longest model name; ids in the catalog stay below 80.
_MAX_NAME = 200
_NOT_IN_NAME = re.compile(r"[^!-~]")


class ChatParams(TypedDict, total=False):
    """Name the parameters of a chat call; any other one is sent as it is given."""

    max_tokens: int
    max_completion_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int
    tools: Sequence[Mapping[str, object]]
    tool_choice: str | Mapping[str, object]
    response_format: Mapping[str, object]
    presence_penalty: float
    frequency_penalty: float
    metadata: Mapping[str, str]
    reasoning_effort: str
    chat_template_kwargs: Mapping[str, object]
    user: str
    #: Further fields of the request body, by name.
    extra: Mapping[str, object]


class ChatRequest(msgspec.Struct, frozen=True):
    """Hold one checked chat request.

    Attributes:
        model: Name as the caller gave it, alias or id.
        messages: The conversation.
        params: All other fields of the body.
        id: What the service is asked for: the exact id when it is known, else ``model``.
    """

    model: str
    messages: list[Message]
    params: dict[str, object]
    id: str


def build_chat_request(
    messages: str | Iterable[Message],
    *,
    model: str,
    max_tokens: int,
    model_id: str | None = None,
    system: str | None = None,
    params: Mapping[str, object] | None = None,
) -> ChatRequest:
    """Return the checked request for a prompt or a conversation.

    Args:
        messages: The user's prompt, or OpenAI messages.
        model: Alias or id.
        model_id: Exact id, when it is known.
        max_tokens: Sent unless ``params`` names a limit.
        system: Put before the messages as a system message.
        params: Parameters as in ``ChatParams``; those that are ``None`` are left out.

    Raises:
        ConfigError: Something in it cannot be sent or would be misread by the service.
    """
    given = dict(params or {})
    extra = given.pop("extra", None) or {}
    if not isinstance(extra, Mapping):
        raise ConfigError(f"extra must be a mapping, not {type(extra).__name__}")
    fields = {name: value for name, value in {**given, **extra}.items() if value is not None}
    for name, value in fields.items():
        _check_param(name, value)
    if "max_tokens" not in fields and "max_completion_tokens" not in fields:
        fields["max_tokens"] = max_tokens
    conversation = _conversation(messages, system)
    check_json(conversation, "messages")
    check_json(fields, "params")
    return ChatRequest(check_model_name(model), conversation, fields, model_id or model)


def check_model_name(name: object) -> str:
    """Return ``name``.

    Raises:
        ConfigError: It is no text, empty, too long, or holds a space or a character beyond ASCII.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"model must be an alias or id such as 'phi-4-mini', not {name!r}")
    if len(name) > _MAX_NAME or _NOT_IN_NAME.search(name):
        raise ConfigError(f"model {name[:_MAX_NAME]!r} is no alias or id: spaces are not part of one")
    return name


def check_json(value: object, where: str) -> None:
    """Raise ConfigError unless ``value`` can be said in JSON and read back as it is.

    Refused: bytes and other types, NaN and infinity, NUL in texts (2.x cuts the text there), keys
    that are not text, nesting deeper than 64.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item, where)
        elif isinstance(item, Mapping):
            if not all(isinstance(key, str) for key in item):
                raise ConfigError(f"{where} holds a mapping whose keys are not all text")
            waiting.extend((inner, depth + 1) for pair in item.items() for inner in pair)
        elif isinstance(item, (list, tuple)):
            waiting.extend((inner, depth + 1) for inner in item)
        else:
            _check_scalar(item, where)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where} is nested deeper than {MAX_DEPTH} levels")


def _check_text(text: str, where: str) -> None:
    if "\0" in text:
        raise ConfigError(f"{where} holds a NUL character (U+0000), at which the service would cut it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where} holds a lone surrogate at position {error.start}") from None


def _check_scalar(item: object, where: str) -> None:
    if isinstance(item, float) and not math.isfinite(item):
        raise ConfigError(f"{where} holds {item}, which JSON cannot say")
    if item is not None and not isinstance(item, (bool, int, float)):
        raise ConfigError(f"{where} holds {type(item).__name__}, which is not JSON (text must be str)")


def _conversation(messages: object, system: str | None) -> list[Message]:
    if isinstance(messages, str):
        conversation: list[Message] = [{"role": "user", "content": messages}]
    elif isinstance(messages, Iterable) and not isinstance(messages, (bytes, bytearray, Mapping)):
        conversation = [_message(item) for item in messages]
    else:
        raise ConfigError(f"the prompt must be text or a list of messages, not {type(messages).__name__}")
    if system is not None and not isinstance(system, str):
        raise ConfigError(f"system must be text, not {type(system).__name__}")
    if not any(message.get("content") or message.get("tool_calls") for message in conversation):
        raise ConfigError("the prompt is empty: there is nothing to answer")
    return [{"role": "system", "content": system}, *conversation] if system else conversation


def _message(item: object) -> Message:
    if not isinstance(item, Mapping):
        raise ConfigError(f"a message must be a mapping with role and content, not {type(item).__name__}")
    if not isinstance(item.get("role"), str):
        raise ConfigError("a message needs a role: system, user, assistant or tool")
    content = item.get("content")
    if content is not None and not isinstance(content, (str, list, tuple)):
        raise ConfigError(f"a message's content must be text or parts, not {type(content).__name__}")
    return item


def _check_param(name: str, value: object) -> None:
    if name in _DECIDED_ELSEWHERE:
        raise ConfigError(f"{name} cannot be given as a parameter: {_DECIDED_ELSEWHERE[name]}")
    allowed, fits = _PARAMS.get(name, ("", None))
    if fits is not None and not fits(value):
        raise ConfigError(f"{name} must be {allowed}, not {_shown(value)}")


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, (bool, int, float)) else type(value).__name__


def _between(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: _is_number(value) and low <= value <= high  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_stop(value: object) -> bool:
    texts = [value] if isinstance(value, str) else value
    return (
        isinstance(texts, (list, tuple))
        and len(texts) <= 4
        and all(isinstance(text, str) and text for text in texts)
    )


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) for item in value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


#: name -> (what is allowed, test). The service ignores wrong types in silence: they stop here.
_PARAMS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "max_tokens": ("a whole number, 1 or more", _is_limit),
    "max_completion_tokens": ("a whole number, 1 or more", _is_limit),
    "temperature": ("a number from 0 to 2", _between(0, 2)),
    "top_p": ("a number from 0 to 1", _between(0, 1)),
    "presence_penalty": ("a number from -2 to 2", _between(-2, 2)),
    "frequency_penalty": ("a number from -2 to 2", _between(-2, 2)),
    "stop": ("one to four texts that are not empty", _is_stop),
    "seed": ("a whole number", _is_integer),
    "tools": ("a list of mappings", _is_list_of_mappings),
    "response_format": ("a mapping", _is_mapping),
    "metadata": ("a mapping", _is_mapping),
}
_DECIDED_ELSEWHERE = {
    "stream": "complete() gives the whole answer, stream() the chunks",
    "stream_options": "usage is always asked for",
    "messages": "it is the first argument",
    "model": "it is an argument of its own",
}
