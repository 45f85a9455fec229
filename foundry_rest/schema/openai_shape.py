"""A reply in OpenAI's shape, for code that was written for ``openai``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema.chat import Choice, Part

if TYPE_CHECKING:
    from foundry_rest.schema.chat import ChatReply


class _Body(msgspec.Struct):
    """What is read of a whole response again: its choices."""

    choices: list[Choice] = []


_DECODER = msgspec.json.Decoder(_Body)


def choices_of(reply: ChatReply) -> tuple[Choice, ...]:
    """Return a reply's choices: the one that it was made of, then others that the response had."""
    own = Choice(
        message=Part(
            role="assistant",
            content=None if reply.tool_calls and not reply.content else reply.content,
            reasoning_content=reply.reasoning or None,
            tool_calls=list(reply.tool_calls) or None,
            refusal=reply.refusal or None,
        ),
        finish_reason=reply.finish_reason,
    )
    return (own, *_others(reply))


def _others(reply: ChatReply) -> list[Choice]:
    if reply.first_token is not None or not reply.bodies:
        return []
    try:
        found = _DECODER.decode(reply.bodies[0]).choices
    except UNDECODABLE:
        return []
    return [msgspec.structs.replace(each, message=each.part, delta=None) for each in found[1:]]


def completion_of(reply: ChatReply, *, exclude_none: bool = False) -> dict[str, object]:
    """Return a reply as OpenAI's ``chat.completion``."""
    completion: dict[str, object] = {
        "id": reply.id,
        "choices": [_choice(each) for each in choices_of(reply)],
        "created": reply.created,
        "model": reply.model,
        "object": "chat.completion",
        "usage": reply.usage.to_dict(),
    }
    return _without_none(completion) if exclude_none else completion


def _choice(choice: Choice) -> dict[str, object]:
    part = choice.part
    message: dict[str, object] = {
        "role": "assistant",
        "content": part.content,
        "refusal": part.refusal,
        "tool_calls": [call.message for call in part.tool_calls] if part.tool_calls else None,
    }
    if part.reasoning:
        message["reasoning_content"] = part.reasoning
    return {"index": choice.index, "finish_reason": choice.finish_reason, "message": message}


def _without_none(value: dict[str, object]) -> dict[str, object]:
    return {name: _pruned(member) for name, member in value.items() if member is not None}


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return _without_none(value)
    return [_pruned(item) for item in value] if isinstance(value, list) else value
