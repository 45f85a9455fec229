"""Check a chat request before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from foundry_rest.checks import is_number, is_whole
from foundry_rest.errors import ConfigError, ContextLengthExceeded, UnknownArgument
from foundry_rest.errors.process import late_import
from foundry_rest.schema.json_values import check_json
from foundry_rest.schema.messages import Message, build_conversation

__all__ = [
    "CHAT_MISTAKES",
    "CHAT_NAMES",
    "PARAM_RULES",
    "ChatRequest",
    "Message",
    "Rules",
    "build_chat_request",
    "check_json",
    "check_model_name",
    "checked_params",
]

#: Parameter name -> (allowed values in words, predicate).
Rules = Mapping[str, tuple[str, Callable[[object], bool]]]
#: Most characters of a model name; ids in the catalog stay below 80.
_MAX_NAME = 200


class ChatRequest(msgspec.Struct, frozen=True):
    """One checked chat request.

    Attributes:
        model: Alias or id, as the caller gave it.
        messages: The conversation.
        params: All other fields of the body.
        id: Name that is sent to the service: the exact id when it is known, else ``model``.
        is_trial: Nobody knows whether the service accepts it, so a failure is not repeated.
        is_limited: The caller gave a ``max_tokens``; else it is the default, which may be lowered.
    """

    model: str
    messages: list[Message]
    params: dict[str, object]
    id: str
    is_trial: bool = False
    is_limited: bool = True


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
        max_tokens: Limit that is sent unless ``params`` holds one.
        system: Text of a system message that is put before the messages.
        params: Parameters as in ``ChatParams``; those that are ``None`` are left out.

    Raises:
        ConfigError: A value cannot be sent, or the service would misread it.
    """
    given = params or {}
    for name in given.keys() & _OPENAIS:
        raise UnknownArgument(f"there is no argument {name!r}: {_OPENAIS[name]}")
    fields = checked_params(_with_tools(given), PARAM_RULES, _RESERVED)
    is_limited = "max_tokens" in fields or "max_completion_tokens" in fields
    if not is_limited:
        fields["max_tokens"] = max_tokens
    conversation = build_conversation(messages, system)
    return ChatRequest(
        check_model_name(model), conversation, fields, model_id or model, is_limited=is_limited
    )


def within(request: ChatRequest, refusal: ContextLengthExceeded) -> ChatRequest:
    """Return a request for the tokens that its prompt leaves, if the caller gave no limit; else raise."""
    prompt, limit = refusal.prompt_tokens, refusal.limit
    if request.is_limited or prompt is None or limit is None or prompt >= limit:
        raise refusal
    params = {**request.params, "max_tokens": limit - prompt}
    return msgspec.structs.replace(request, params=params, is_limited=True)


def checked_params(
    params: Mapping[str, object] | None, rules: Rules, reserved: Mapping[str, str]
) -> dict[str, object]:
    """Return the parameters with ``extra`` merged in and those that are ``None`` left out.

    Args:
        params: As the caller gave them.
        rules: Allowed values by name; a parameter without a rule is sent unchanged.
        reserved: Names that are no parameters -> what to do instead.

    Raises:
        ConfigError: A parameter cannot be sent, or the service would misread it.
    """
    given = dict(params or {})
    extra = given.pop("extra", None) or {}
    if not isinstance(extra, Mapping):
        raise ConfigError(f"extra must be a mapping, not {type(extra).__name__}")
    fields = {name: value for name, value in {**given, **extra}.items() if value is not None}
    for name, value in fields.items():
        _check_param(name, value, rules, reserved)
    check_json(fields, "params")
    return fields


def check_model_name(name: object) -> str:
    """Return ``name``, checked.

    Raises:
        ConfigError: It is not text, is empty or longer than 200 characters, or holds a space or a
            non-ASCII character.
    """
    if not isinstance(name, str) or not name:
        raise ConfigError(f"model must be an alias or id such as 'phi-4-mini', not {name!r}")
    if len(name) > _MAX_NAME or not (name.isascii() and name.isprintable()) or " " in name:
        raise ConfigError(f"model {name[:_MAX_NAME]!r} is no alias or id: spaces are not part of one")
    return name


def _with_tools(params: Mapping[str, object]) -> Mapping[str, object]:
    """Return the parameters with each plain function in ``tools`` replaced by its description."""
    tools = params.get("tools")
    if not isinstance(tools, (list, tuple)) or not any(map(callable, tools)):
        return params
    with late_import():
        from foundry_rest.schema.tools import Tool

    return {**params, "tools": [Tool.of(tool).spec if callable(tool) else tool for tool in tools]}


def _check_param(name: str, value: object, rules: Rules, reserved: Mapping[str, str]) -> None:
    if name in reserved:
        raise ConfigError(f"{name} cannot be given as a parameter: {reserved[name]}")
    allowed, is_allowed = rules.get(name, ("", None))
    if is_allowed is not None and not is_allowed(value):
        raise ConfigError(f"{name} must be {allowed}, not {_describe(value)}")


def _describe(value: object) -> str:
    return repr(value) if isinstance(value, (bool, int, float)) else type(value).__name__


def _between(low: float, high: float) -> Callable[[object], bool]:
    return lambda value: is_number(value, low, high)


def _is_count(value: object) -> bool:
    return is_whole(value, 1)


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


#: The service silently ignores values of a wrong type, so they are refused here.
PARAM_RULES: Rules = {
    "max_tokens": ("a whole number, 1 or more", _is_count),
    "max_completion_tokens": ("a whole number, 1 or more", _is_count),
    "temperature": ("a number, 0 or more", lambda value: is_number(value, 0)),
    "top_p": ("a number from 0 to 1", _between(0, 1)),
    "presence_penalty": ("a number from -2 to 2", _between(-2, 2)),
    "frequency_penalty": ("a number from -2 to 2", _between(-2, 2)),
    "stop": ("one to four texts that are not empty", _is_stop),
    "seed": ("a whole number", is_whole),
    "tools": ("a list of functions or mappings", _is_list_of_mappings),
    "response_format": ("a mapping", _is_mapping),
    "metadata": ("a mapping", _is_mapping),
}
_RESERVED = {
    "stream": "complete() gives the whole answer, stream() the chunks",
    "stream_options": "usage is always asked for",
    "messages": "it is the first argument",
    "model": "it is an argument of its own",
    "response_model": "complete() alone reads an answer into a type",
    "max_reasks": "it goes with response_model and validate, which complete() alone takes",
    "validate": "complete() alone has an answer checked, and asked again",
    "with_reply": "it goes with response_model, which complete() alone takes",
    "fallback_models": "complete() alone asks another model",
    "load_fallbacks": "it goes with fallback_models, which complete() alone takes",
}
#: OpenAI's names for what has another one here, or another meaning -> what to write.
_OPENAIS = {
    "n": 'one answer is asked for; of a server that gives several, write extra={"n": 2}',
    "extra_body": "write extra={...}",
    "extra_headers": "write headers={...}",
    "extra_query": "client.request() sends to any path with any query",
    "max_retries": "write retries=...",
    "functions": "write tools=[...]",
    "function_call": "write tool_choice=...",
}
#: Names of the keyword arguments that are no options of a call: those of ``ChatParams``.
CHAT_NAMES = frozenset(
    (
        *PARAM_RULES,
        "tool_choice",
        "reasoning_effort",
        "chat_template_kwargs",
        "user",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "parallel_tool_calls",
        "top_k",
        "extra",
    )
)
#: Names that are refused in words of their own.
CHAT_MISTAKES = frozenset((*_RESERVED, *_OPENAIS))
