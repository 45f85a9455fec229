"""Chat answers that are odd in a part that nobody needs: what cannot be read is left out.

Text, tool calls and the finish reason have to be readable; all else is taken if it fits. The bytes stay in
``raw``. Answers in the usual form are never read here, for it takes several times as long.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from foundry_rest.errors import InvalidMember
from foundry_rest.schema import ChatChunk, Choice, FunctionCall, Part, ToolCall, Usage
from foundry_rest.schema.raw_json import decode_raw, mend_surrogates


def lenient_chunk(data: bytes) -> ChatChunk | None:
    """Return the chunk or the whole answer in some bytes; ``None`` if they are no JSON object.

    Raises:
        InvalidMember: Text, tool calls or finish reason cannot be read; ``where`` is the member.
    """
    fields = decode_raw(data)
    if not isinstance(fields, dict):
        return None
    chunk = ChatChunk(
        id=_text(fields.get("id")),
        model=_text(fields.get("model")),
        created=_whole(fields.get("created")),
        choices=_choices(fields.get("choices"), data),
        usage=_usage(fields.get("usage")),
        error=fields.get("error"),
        is_odd=True,
    )
    _check_bytes(chunk, data)
    return chunk


def _check_bytes(chunk: ChatChunk, data: bytes) -> None:
    """Raise InvalidMember if the bytes of the text are not UTF-8; those of other members do not matter."""
    part = chunk.choice.part
    texts = [part.content, *(call.arguments for call in part.tool_calls or ())]
    if any("\ufffd" in (text or "") for text in texts) and not _is_utf8(data):
        raise InvalidMember("unreadable answer: its text is not UTF-8", where="$", body=data[:2048])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _choices(value: object, data: bytes) -> list[Choice] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        _refuse(value, "$.choices", "a list", data)
    return [_choice(each, f"$.choices[{at}]", data) for at, each in enumerate(value) if each is not None]


def _choice(value: object, where: str, data: bytes) -> Choice:
    if not isinstance(value, dict):
        _refuse(value, where, "an object", data)
    reason = value.get("finish_reason")
    if reason is not None and not isinstance(reason, str):
        _refuse(reason, f"{where}.finish_reason", "text", data)
    return Choice(
        index=_whole(value.get("index")) or 0,
        delta=_part(value.get("delta"), f"{where}.delta", data),
        message=_part(value.get("message"), f"{where}.message", data),
        finish_reason=reason,
    )


def _part(value: object, where: str, data: bytes) -> Part | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        _refuse(value, where, "an object", data)
    return Part(
        role=_text(value.get("role")),
        content=_content(value.get("content"), f"{where}.content", data),
        reasoning_content=_text(value.get("reasoning_content")),
        tool_calls=_calls(value.get("tool_calls"), f"{where}.tool_calls", data),
        reasoning_text=_text(value.get("reasoning")),
        refusal=_text(value.get("refusal")),
    )


def _content(value: object, where: str, data: bytes) -> str | None:
    """Return a text, or the joined texts of a list of parts."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list):
        _refuse(value, where, "text", data)
    texts = [part.get("text") if isinstance(part, dict) else part for part in value]
    return "".join(text for text in texts if isinstance(text, str))


def _calls(value: object, where: str, data: bytes) -> list[ToolCall] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        _refuse(value, where, "a list", data)
    return [_call(each, f"{where}[{at}]", data) for at, each in enumerate(value) if each is not None]


def _call(value: object, where: str, data: bytes) -> ToolCall:
    if not isinstance(value, dict):
        _refuse(value, where, "an object", data)
    function = value.get("function")
    if function is not None and not isinstance(function, dict):
        _refuse(function, f"{where}.function", "an object", data)
    return ToolCall(
        id=_text(value.get("id")),
        type=_text(value.get("type")),
        function=None if function is None else _function(function, f"{where}.function", data),
        index=_whole(value.get("index")),
    )


def _function(value: dict[str, object], where: str, data: bytes) -> FunctionCall:
    """Return a function; arguments that are an object are written as the JSON text that they should be."""
    name, arguments = value.get("name"), value.get("arguments")
    if name is not None and not isinstance(name, str):
        _refuse(name, f"{where}.name", "text", data)
    if isinstance(arguments, dict):
        arguments = msgspec.json.encode(arguments).decode()
    if arguments is not None and not isinstance(arguments, str):
        _refuse(arguments, f"{where}.arguments", "JSON text", data)
    return FunctionCall(name, arguments and mend_surrogates(arguments))


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return Usage(*(_whole(value.get(name)) or 0 for name in names))


def _whole(value: object) -> int | None:
    """Return a whole number, also one that is written as a float or a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:18])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if abs(value) < 2**63 and value == int(value) else None


def _text(value: object) -> str | None:
    """Return a text, also one that is written as a number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _refuse(value: object, where: str, wanted: str, data: bytes) -> NoReturn:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    found = kinds.get(type(value), "an object")
    raise InvalidMember(
        f"unreadable answer: {where} is {found} in place of {wanted}",
        where=where,
        body=data[:2048],
    )
