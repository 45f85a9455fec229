"""Structured output: request a type, and read a value of it from the answer.

Where the service enforces ``response_format``, the model cannot write anything else, and only what a schema
cannot express is left to be checked here. Where it ignores or refuses that, the schema is put into the system
message. Where nobody knows, both are sent. An answer that does not match makes a service one of these, and a
refusal makes it one of those, for as long as its process runs. The JSON may come in a code fence or between
words; in every case the caller gets a value of the type or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from foundry_rest.errors import (
    BadRequest,
    ServerError,
    ServiceError,
    ServiceTimeout,
    StreamInterrupted,
    UnsupportedParameter,
)
from foundry_rest.schema import ChatReply, ChatRequest, Message
from foundry_rest.schema.decoding import NOT_JSON, SchemaMismatch
from foundry_rest.schema.json_in_text import is_closed, json_values
from foundry_rest.schema.structure import Structure
from foundry_rest.services.target import Target

T = TypeVar("T")

#: Reasons for which an answer ends by itself; OpenAI's, Anthropic's through gateways, and of older servers.
_ENDS = (None, "stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "eos", "eos_token")
#: Errors by which a service may refuse ``response_format``; their subclasses have another cause.
_REFUSALS = (BadRequest, UnsupportedParameter, ServerError)
#: Statuses that are no passing state: what was refused with one is refused again.
_REFUSED = (400, 422, 500, 501)


def first_reply(
    ask: Callable[[ChatRequest], ChatReply], request: ChatRequest, structure: Structure[T], target: Target
) -> tuple[ChatRequest, ChatReply]:
    """Return the request that the service accepts, and its reply; in words alone if the format is refused."""
    first = shaped(request, structure, target)
    try:
        return first, ask(first)
    except (BadRequest, ServerError, StreamInterrupted, ServiceTimeout) as error:
        status = error.status if isinstance(error, ServiceError) else None
        is_refusal = type(error) in _REFUSALS
        refused = is_refusal and status in _REFUSED
        may_be_refused = first.is_trial and (status is None or is_refusal)
        if target.enforces_schema is False or not (refused or may_be_refused):
            raise
    in_words = _in_words(request, structure)
    reply = ask(in_words)
    if refused:
        target.enforces_schema = False
    return in_words, reply


def read_answer(reply: ChatReply, structure: Structure[T]) -> T:
    """Return the value in an answer: the whole text, else the last JSON value in it that fits.

    Of an answer that was cut (by ``max_tokens``, a content filter, or another reason that is no end) only a
    value counts that its own syntax closes: 184 may be the beginning of 18444444.

    Raises:
        SchemaMismatch: No value fits; it tells what is wrong with the first that was tried.
    """
    is_whole = reply.finish_reason in _ENDS
    first: SchemaMismatch | None = None
    for text in json_values(reply.content):
        try:
            value = structure.read(text)
        except SchemaMismatch as mismatch:
            first = _clearer(first, mismatch)
            continue
        if is_whole or is_closed(text):
            return value
    raise first or SchemaMismatch(NOT_JSON)


def _clearer(first: SchemaMismatch | None, later: SchemaMismatch) -> SchemaMismatch:
    """Return what tells more: what is wrong with a value, before that there is none in a text."""
    return later if first is None or (first.what == NOT_JSON and later.what != NOT_JSON) else first


def shaped(request: ChatRequest, structure: Structure[T], target: Target) -> ChatRequest:
    """Return a request for the structure: by ``response_format``, in words, or by both if nobody knows."""
    if target.enforces_schema is False:
        return _in_words(request, structure)
    response_format = structure.guided_format if target.dialect.guides_decoding else structure.strict_format
    params = {**request.params, "response_format": response_format}
    if target.enforces_schema is None:
        request = replace(_in_words(request, structure), is_trial=True)
    return replace(request, params=params)


def _in_words(request: ChatRequest, structure: Structure[T]) -> ChatRequest:
    return replace(request, messages=_with_instruction(request.messages, structure.instruction))


def _with_instruction(messages: list[Message], instruction: str) -> list[Message]:
    """Return messages with the instruction in the system message; many chat templates accept only one."""
    first = messages[0]
    text = first.get("content")
    if first["role"] == "system" and isinstance(text, str):
        return [{**first, "content": f"{text}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]
