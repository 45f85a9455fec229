"""Check a request to the Responses API before it is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from foundry_rest.checks import whole_number
from foundry_rest.errors import ConfigError
from foundry_rest.errors.process import late_import
from foundry_rest.schema.json_values import check_json
from foundry_rest.schema.request import PARAM_RULES, Rules, check_model_name, checked_params
from foundry_rest.schema.responses import Item, OutputItem, ResponseParams, ResponseRequest

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._~-]")
#: Most characters of a response id; the service's own have 37.
_MAX_ID = 200
#: Most responses that 2.x lists in one page; it silently ignores a larger number.
_MAX_LIMIT = 100


def build_response_request(
    input: str | Iterable[Item | OutputItem],
    *,
    model: str,
    max_output_tokens: int,
    model_id: str | None = None,
    params: Mapping[str, object] | None = None,
) -> ResponseRequest:
    """Return the checked request for a prompt or the items of a conversation.

    Args:
        input: The user's prompt, or OpenAI input items, also those of an earlier response's output.
        model: Alias or id.
        max_output_tokens: Limit that is sent unless ``params`` holds one.
        model_id: Exact id, when it is known.
        params: Parameters as in ``ResponseParams``; those that are ``None`` are left out.

    Raises:
        ConfigError: A value cannot be sent, or the service would misread it.
    """
    fields = checked_params(_with_tools(params or {}), _RULES, _RESERVED)
    fields.setdefault("max_output_tokens", max_output_tokens)
    if "previous_response_id" in fields:
        check_response_id(fields["previous_response_id"], "previous_response_id")
    items = _items(input)
    if not items and not fields.get("instructions") and "previous_response_id" not in fields:
        raise ConfigError("the input is empty: there is nothing to answer")
    check_json(items, "input")
    return ResponseRequest(check_model_name(model), items, fields, model_id or model)


def check_response_id(id: object, name: str = "id") -> str:
    """Return ``id``, checked.

    Raises:
        ConfigError: It is not text, is empty or longer than 200 characters, or cannot stand in a URL path.
    """
    if not isinstance(id, str) or len(id) > _MAX_ID or _NOT_IN_ID.search(id) or not id.strip("."):
        shown = repr(id[:_MAX_ID]) if isinstance(id, str) else type(id).__name__
        raise ConfigError(f"{name} must be the id of a response such as 'resp_4db2', not {shown}")
    return id


def check_page(limit: object, after: object) -> None:
    """Raise ConfigError unless ``limit`` is 1 to 100 and ``after`` a response id; both may be ``None``."""
    if limit is not None:
        whole_number("limit", limit, 1, _MAX_LIMIT)
    if after is not None:
        check_response_id(after, "after")


def _with_tools(params: Mapping[str, object]) -> Mapping[str, object]:
    tools = params.get("tools")
    return {**params, "tools": [*map(_tool, tools)]} if isinstance(tools, (list, tuple)) else params


def _tool(tool: object) -> object:
    """Return the description of a tool in the flat form of this API; the chat API nests it."""
    with late_import():
        from foundry_rest.schema.tools import Tool

    spec = Tool.of(tool).spec if callable(tool) else tool
    inner = spec.get("function") if isinstance(spec, Mapping) else None
    return {"type": "function", **inner} if isinstance(inner, Mapping) else spec


def _items(given: object) -> str | list[Item]:
    if isinstance(given, str):
        return given
    if not isinstance(given, Iterable) or isinstance(given, (bytes, bytearray, Mapping)):
        raise ConfigError(f"the input must be text or a list of items, not {type(given).__name__}")
    return [_item(each) for each in given]


def _item(given: object) -> Item:
    item = msgspec.to_builtins(given) if isinstance(given, OutputItem) else given
    if not isinstance(item, Mapping):
        raise ConfigError(f"an input item must be a mapping, not {type(item).__name__}")
    role, kind = item.get("role"), item.get("type")
    if not isinstance(role if kind in (None, "message") else kind, str):
        raise ConfigError("an input item needs a role (user, assistant, system) or another type")
    for part in (*_parts(item.get("content")), *_parts(item.get("output"))):
        _check_image(part)
    # 1.x drops a message without "type": "message" (docs/reference/service.md, section 14).
    return item if kind else {"type": "message", **item}


def _parts(content: object) -> Iterator[Mapping[str, object]]:
    if isinstance(content, (list, tuple)):
        yield from (part for part in content if isinstance(part, Mapping))


def _check_image(part: Mapping[str, object]) -> None:
    url = part.get("image_url") if part.get("type") == "input_image" else None
    if isinstance(url, str) and url.strip().casefold().startswith(("http:", "https:")):
        raise ConfigError(
            "the service fetches no image: send it as a data: URL (data:image/png;base64,...)",
            advice="Read the file and put base64.b64encode(content).decode() into the URL.",
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_mapping_of_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


def _is_text_format(value: object) -> bool:
    """Return whether a mapping holds no schema nested as in chat, which 2.x accepts and does not apply."""
    if not isinstance(value, Mapping):
        return False
    format_ = value.get("format")
    if not isinstance(format_, Mapping) or format_.get("type") != "json_schema":
        return True
    return isinstance(format_.get("schema"), Mapping)


#: The rules of chat, and more values that 2.x silently ignores, such as numbers in ``metadata``.
_RULES: Rules = {
    **{name: PARAM_RULES[name] for name in ("temperature", "top_p", "tools")},
    **{name: PARAM_RULES[name] for name in ("presence_penalty", "frequency_penalty")},
    "max_output_tokens": PARAM_RULES["max_tokens"],
    "text": ("{'format': {...}}, with a json_schema's name and schema beside its type", _is_text_format),
    "reasoning": PARAM_RULES["response_format"],
    "instructions": ("text", _is_text),
    "store": ("True or False", _is_bool),
    "metadata": ("a mapping of text to text", _is_mapping_of_texts),
}
_RESERVED = {
    "stream": "create() gives the whole response, stream() the events",
    "input": "it is the first argument",
    "model": "it is an argument of its own",
    "max_tokens": "this API calls it max_output_tokens",
    "max_completion_tokens": "this API calls it max_output_tokens",
    "response_format": "this API calls it text={'format': {...}}",
    "stop": "this API has none, and 2.x would ignore it; the chat API has",
    "messages": "this API calls it input, the first argument",
    "conversation": "no Foundry Local keeps any, and 2.x would ignore it; give previous_response_id=",
}
#: Names of the keyword arguments that are no options of a call.
RESPONSE_NAMES = frozenset(ResponseParams.__annotations__)
#: Names that are refused in words of their own.
RESPONSE_MISTAKES = frozenset(_RESERVED)
