"""The decoded events of a stream, joined in the shape of a plain response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from foundry_rest.schema.chat import ToolCall

#: Members whose first value counts; a text under any other name is a piece of a longer one.
_SAID_ONCE = frozenset(("id", "type", "role", "name"))


def join_chat(events: Iterable[object], tool_calls: Sequence[ToolCall]) -> dict[str, object]:
    """Return the events of a chat completion as one response.

    Args:
        events: Decoded events.
        tool_calls: The calls of the first choice, gathered from their fragments.
    """
    joined: dict[str, object] = {}
    choices: dict[object, dict[str, object]] = {}
    for event in events:
        if isinstance(event, Mapping):
            for choice in _mappings(event.get("choices")):
                _add_choice(choices.setdefault(choice.get("index") or 0, {}), choice)
            _keep_last(joined, event, without=("choices",))
    joined["object"] = "chat.completion"
    joined["choices"] = [{"index": index, **choice} for index, choice in choices.items()]
    if tool_calls and choices:
        _message_of(next(iter(choices.values())))["tool_calls"] = [_spelled(call) for call in tool_calls]
    return joined


def _spelled(call: ToolCall) -> dict[str, object]:
    """Return a call as a plain response spells it, with the arguments that the model wrote."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": call.type or "function", "function": function}


def join_texts(events: Iterable[object]) -> dict[str, object]:
    """Return events with a piece of ``text`` each as one response."""
    joined: dict[str, object] = {}
    for event in events:
        if isinstance(event, Mapping):
            _add_piece(joined, event)
    return joined


def _add_choice(whole: dict[str, object], choice: Mapping[str, object]) -> None:
    message = _message_of(whole)
    delta, full = choice.get("delta"), choice.get("message")
    if isinstance(delta, Mapping) and any(delta.values()):
        _add_piece(message, delta)
    elif isinstance(full, Mapping) and not message.get("content"):
        _add_piece(message, full)
    _keep_last(whole, choice, without=("delta", "message", "index"))


def _message_of(choice: dict[str, object]) -> dict[str, object]:
    return cast("dict[str, object]", choice.setdefault("message", {}))


def _add_piece(whole: dict[str, object], piece: Mapping[str, object]) -> None:
    for name, value in piece.items():
        before = whole.get(name)
        whole[name] = (before or value) if name in _SAID_ONCE else _joined(before, value)


def _joined(before: object, value: object) -> object:
    """Return two pieces as one: texts and lists grow, of anything else the last one counts."""
    if isinstance(value, str) and isinstance(before, str):
        return before + value
    if isinstance(value, list) and isinstance(before, list):
        return [*before, *value]
    return before if value is None else value


def _keep_last(whole: dict[str, object], part: Mapping[str, object], without: Iterable[str]) -> None:
    left_out = frozenset(without)
    for name, value in part.items():
        if name not in left_out:
            whole[name] = whole.get(name) if value is None else value


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
