"""Structured output: request a type, check the answer, and let the model correct a mismatch.

Where the service enforces ``response_format``, the model cannot write anything else, and only what a schema
cannot express is left to be checked here. Where the service ignores it, the schema is put into the system
message, and the JSON may come in a code fence or between words. In both cases the caller gets a value of the
type or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_REASKS
from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema import ChatReply, ChatRequest, Message
from foundry_rest.schema.decoding import NOT_JSON, SchemaMismatch
from foundry_rest.schema.json_in_text import is_closed, json_values
from foundry_rest.schema.structure import Structure

T = TypeVar("T")

_CUT_ADVICE = "Give a larger max_tokens, or ask for a smaller type."
_FIT_ADVICE = (
    "What the model wrote is in error.text; give a larger max_reasks, a simpler type or a larger model."
)


def check_structured(max_reasks: int, params: Mapping[str, object], **others: object) -> None:
    """Raise ConfigError for arguments that cannot be combined with ``response_model``."""
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
        ask: Sends one request and returns the whole completion.
        request: The request, without the schema.
        structure: The structure of the type.
        enforced: Whether the service enforces ``response_format``.
        max_reasks: Further requests when an answer does not match.
        place: Returns ``call``, ``url`` and ``model`` for an error.

    Raises:
        InvalidReply: No answer matched; ``where`` is the path, ``text`` the last answer.
    """
    request = shaped(request, structure, enforced=enforced)
    reasks_left = max_reasks
    while True:
        reply = ask(request)
        try:
            return read_answer(reply, structure)
        except SchemaMismatch as mismatch:
            if not reasks_left or reply.finish_reason == "length":
                message, advice = _failure(structure, reply, mismatch, max_reasks)
                raise InvalidReply(
                    message, where=mismatch.where, text=reply.content, advice=advice, **place()
                ) from None
            request = _reask(request, reply, mismatch)
            reasks_left -= 1


def read_answer(reply: ChatReply, structure: Structure[T]) -> T:
    """Return the value in an answer: the whole text, else the last JSON value in it that fits.

    Of an answer that ``max_tokens`` cut only a value counts that its own syntax closes: 184 may be the
    beginning of 18444444.

    Raises:
        SchemaMismatch: No value fits; it tells what is wrong with the first that was tried.
    """
    was_cut = reply.finish_reason == "length"
    first: SchemaMismatch | None = None
    for text in json_values(reply.content):
        try:
            value = structure.read(text)
        except SchemaMismatch as mismatch:
            first = _clearer(first, mismatch)
            continue
        if not was_cut or is_closed(text):
            return value
    raise first or SchemaMismatch(NOT_JSON)


def _clearer(first: SchemaMismatch | None, later: SchemaMismatch) -> SchemaMismatch:
    """Return what tells more: what is wrong with a value, before that there is none in a text."""
    return later if first is None or (first.what == NOT_JSON and later.what != NOT_JSON) else first


def shaped(request: ChatRequest, structure: Structure[T], *, enforced: bool) -> ChatRequest:
    """Return a request for the structure: by ``response_format`` where it is enforced, else in words."""
    if enforced:
        params = {**request.params, "response_format": structure.response_format}
        return msgspec.structs.replace(request, params=params)
    messages = _with_instruction(request.messages, structure.instruction)
    return msgspec.structs.replace(request, messages=messages)


def _with_instruction(messages: list[Message], instruction: str) -> list[Message]:
    """Return messages with the instruction in the system message; many chat templates accept only one."""
    first = messages[0]
    text = first.get("content")
    if first["role"] == "system" and isinstance(text, str):
        return [{**first, "content": f"{text}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def _reask(request: ChatRequest, reply: ChatReply, mismatch: SchemaMismatch) -> ChatRequest:
    retry = (
        f"That does not fit: {mismatch.detail} (at {mismatch.where}). Write the whole JSON again, corrected."
    )
    messages = [*request.messages, reply.message, {"role": "user", "content": retry}]
    return msgspec.structs.replace(request, messages=messages)


def _failure(
    structure: Structure[T], reply: ChatReply, mismatch: SchemaMismatch, max_reasks: int
) -> tuple[str, str]:
    """Return the message and the advice of the final error."""
    if reply.finish_reason == "length":
        return f"max_tokens cut the answer before it was a whole {structure.name}", _CUT_ADVICE
    again = ", also when asked again" if max_reasks else ""
    return f"the answer is no {structure.name}: {mismatch.what}{again}", _FIT_ADVICE
