"""Answers of a type: say the shape, check the answer, and let the model mend what does not fit.

Where the service enforces ``response_format`` the decoder cannot write anything else, and only what a
schema cannot say is left to be checked here. Where it ignores it the schema stands in the system message,
and the JSON may come in a fence or between words. Either way the caller gets a value of the type or an
error, never something in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_REASKS
from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema import ChatReply, ChatRequest, Message
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.structure import Structure, find_json

T = TypeVar("T")

_CUT = "Give a larger max_tokens, or ask for a smaller type."
_MISFIT = "What the model wrote is in error.text; give a larger max_reasks, a simpler type or a larger model."


def check_structured(max_reasks: int, params: Mapping[str, object], **others: object) -> None:
    """Raise ConfigError for what cannot be given together with ``response_model``."""
    whole_number("max_reasks", max_reasks, 0)
    extra = params.get("extra")
    given = {**params, **(extra if isinstance(extra, Mapping) else {}), **others}
    for name in ("parse", "tools", "tool_choice", "response_format"):
        if given.get(name) is not None:
            raise ConfigError(f"{name} cannot be given together with response_model")


def ask_structured(
    ask: Callable[[ChatRequest], ChatReply],
    request: ChatRequest,
    structure: Structure[T],
    *,
    enforced: bool,
    max_reasks: int = MAX_REASKS,
    place: Callable[[], Mapping[str, str]] = dict,
) -> T:
    """Return the answer as a value of the structure's type.

    Args:
        ask: Asks once and returns the whole answer.
        request: What to ask.
        structure: The type.
        enforced: The service keeps to ``response_format``.
        max_reasks: Further questions when an answer does not fit.
        place: Returns the facts ``call``, ``url`` and ``model`` of an error.

    Raises:
        InvalidReply: No answer fitted; ``where`` is the path, ``text`` the last answer.
    """
    request = shaped(request, structure, enforced=enforced)
    left = max_reasks
    while True:
        reply = ask(request)
        try:
            return structure.read(reply.content if enforced else find_json(reply.content))
        except SchemaMismatch as misfit:
            if not left or reply.finish_reason == "length":
                what, advice = _verdict(structure, reply, misfit, max_reasks)
                raise InvalidReply(
                    what, where=misfit.where, text=reply.content, advice=advice, **place()
                ) from None
            request = _asked_again(request, reply, misfit)
            left -= 1


def shaped(request: ChatRequest, structure: Structure[T], *, enforced: bool) -> ChatRequest:
    """Return a request that asks for the structure: by grammar where that holds, else in words."""
    if enforced:
        params = {**request.params, "response_format": structure.response_format}
        return msgspec.structs.replace(request, params=params)
    messages = _instructed(request.messages, structure.instruction)
    return msgspec.structs.replace(request, messages=messages)


def _instructed(messages: list[Message], instruction: str) -> list[Message]:
    """Return messages with the instruction in the system message: many templates take only one."""
    first = messages[0]
    said = first.get("content")
    if first["role"] == "system" and isinstance(said, str):
        return [{**first, "content": f"{said}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def _asked_again(request: ChatRequest, reply: ChatReply, misfit: SchemaMismatch) -> ChatRequest:
    wish = f"That does not fit: {misfit.detail} (at {misfit.where}). Write the whole JSON again, corrected."
    messages = [*request.messages, reply.message, {"role": "user", "content": wish}]
    return msgspec.structs.replace(request, messages=messages)


def _verdict(
    structure: Structure[T], reply: ChatReply, misfit: SchemaMismatch, max_reasks: int
) -> tuple[str, str]:
    """Return what happened and what to do next."""
    if reply.finish_reason == "length":
        return f"max_tokens cut the answer before it was a whole {structure.name}", _CUT
    again = ", also when asked again" if max_reasks else ""
    return f"the answer is no {structure.name}: {misfit.what}{again}", _MISFIT
