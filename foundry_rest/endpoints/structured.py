"""Structured output: request a type, check the answer, and let the model correct a mismatch.

Where the service enforces ``response_format``, the model cannot write anything else, and only what a schema
cannot express is left to be checked here. Where it ignores or refuses that, the schema is put into the system
message. Where nobody knows, both are sent. An answer that does not match makes a service one of these, and a
refusal makes it one of those, for as long as its process runs. The JSON may come in a code fence or between
words; in every case the caller gets a value of the type or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_REASKS
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    InvalidReply,
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
    target: Target,
    max_reasks: int = MAX_REASKS,
    place: Callable[[], Mapping[str, str]] = dict,
) -> T:
    """Return the answer as a value of the structure's type.

    Args:
        ask: Sends one request and returns the whole completion.
        request: The request, without the schema.
        structure: The structure of the type.
        target: The service, and what is known about its way with schemas.
        max_reasks: Further requests when an answer does not match.
        place: Returns ``call``, ``url`` and ``model`` for an error.

    Raises:
        InvalidReply: No answer matched; ``where`` is the path, ``text`` the last answer.
    """
    request, reply = _first_reply(ask, request, structure, target)
    reasks_left = max_reasks
    while True:
        try:
            return read_answer(reply, structure)
        except SchemaMismatch as mismatch:
            if not reasks_left or reply.finish_reason == "length":
                message, advice = _failure(structure, reply, mismatch, max_reasks)
                raise InvalidReply(
                    message, where=mismatch.where, text=reply.content, advice=advice, **place()
                ) from None
            request = _reask(
                request, reply, mismatch, structure.instruction if target.enforces_schema else ""
            )
            target.enforces_schema = target.enforces_schema and None
            reasks_left -= 1
        reply = ask(request)


def _first_reply(
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


def fits(structure: Structure[T], text: str) -> bool:
    """Return whether the text of a whole answer holds a value of the structure's type."""
    try:
        read_answer(ChatReply(content=text, finish_reason="stop"), structure)
    except SchemaMismatch:
        return False
    return True


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


def _reask(request: ChatRequest, reply: ChatReply, mismatch: SchemaMismatch, instruction: str) -> ChatRequest:
    retry = (
        f"That does not fit: {mismatch.detail} (at {mismatch.where}). Write the whole JSON again, corrected."
    )
    content = f"{retry} {instruction}".rstrip()
    messages = [*request.messages, reply.message, {"role": "user", "content": content}]
    return replace(request, messages=messages, is_trial=False)


def _failure(
    structure: Structure[T], reply: ChatReply, mismatch: SchemaMismatch, max_reasks: int
) -> tuple[str, str]:
    """Return the message and the advice of the final error."""
    if reply.finish_reason == "length":
        return f"max_tokens cut the answer before it was a whole {structure.name}", _CUT_ADVICE
    again = ", also when asked again" if max_reasks else ""
    return f"the answer is no {structure.name}: {mismatch.what}{again}", _FIT_ADVICE
