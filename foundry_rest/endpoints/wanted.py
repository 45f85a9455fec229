"""What a caller wants of an answer: a type, a check of one's own, or both; the model may correct what fails.

The model is asked again with its answer and what is wrong with it, at most so often. A refusal of the
caller's check tells nothing about the way in which the service treats schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec.structs import replace

from foundry_rest.checks import whole_number
from foundry_rest.endpoints.structured import first_reply, read_answer
from foundry_rest.errors import ConfigError, FoundryError, InvalidReply
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ChatReply, ChatRequest, Message
from foundry_rest.schema.decoding import Refusal, SchemaMismatch
from foundry_rest.schema.structure import Structure, structure_of
from foundry_rest.services.target import Target

T = TypeVar("T")
#: Raises ValueError for what is not good enough; what it returns is ignored.
Check = Callable[[Any], object]

_CUT_ADVICE = "Give a larger max_tokens, or ask for a smaller type."
_FIT_ADVICE = Advice(
    Words(
        "What the model wrote is in error.text; give a larger max_reasks, a simpler type or a larger model.",
        "Give a simpler schema or a larger model.",
    )
)
_REFUSED_ADVICE = "What the model wrote is in error.text; give a larger max_reasks or a larger model."


class Wanted(msgspec.Struct, Generic[T], frozen=True):
    """What an answer has to be, and how often the model may correct it.

    Attributes:
        max_reasks: Further requests when an answer is not what is wanted.
        structure: The type of its value; ``None`` for the reply itself.
        validate: The caller's check of that value.
        is_text: Whether its text is all of an answer; else there may be calls of tools, too.
        raised: Errors of this package that the check raised: of calls within it, not of this one.
    """

    max_reasks: int
    structure: Structure[T] | None = None
    validate: Check | None = None
    is_text: bool = True
    raised: list[FoundryError] = msgspec.field(default_factory=list)

    def ask(
        self,
        ask: Callable[[ChatRequest], ChatReply],
        request: ChatRequest,
        target: Target,
        place: Callable[[], Mapping[str, str]] = dict,
    ) -> tuple[T, ChatReply]:
        """Return the value that is wanted, and the reply that holds it.

        Args:
            ask: Sends one request and returns the whole completion.
            request: The request, without the schema.
            target: The service, and what is known about its way with schemas.
            place: Returns ``call``, ``url`` and ``model`` for an error.

        Raises:
            InvalidReply: No answer was right; ``where`` is the path, ``text`` the last answer.
        """
        if self.structure is None:
            reply = ask(request)
        else:
            request, reply = first_reply(ask, request, self.structure, target)
        reasks_left = self.max_reasks
        while True:
            try:
                return self.read(reply), reply
            except SchemaMismatch as mismatch:
                if not reasks_left or _is_cut(reply, mismatch):
                    message, advice = self._failure(reply, mismatch)
                    raise InvalidReply(
                        message, where=mismatch.where, text=reply.content, advice=advice, **place()
                    ) from None
                request = self._reask(request, reply, mismatch, target)
                reasks_left -= 1
            reply = ask(request)

    def read(self, reply: ChatReply) -> T:
        """Return the value that a reply holds.

        Raises:
            SchemaMismatch: It holds none, or the caller's check refuses it.
        """
        value = cast("T", reply) if self.structure is None else read_answer(reply, self.structure)
        if self.validate is not None:
            try:
                self.validate(value)
            except FoundryError as error:  # a ConfigError is a ValueError, too
                self.raised.append(error)
                raise
            except ValueError as error:
                raise Refusal(str(error) or "it was refused") from None
        return value

    def may_be_kept(self, text: str) -> bool:
        """Return whether a cache may keep an answer with this text."""
        if not self.is_text:
            return False
        try:
            self.read(ChatReply(content=text, finish_reason="stop"))
        except Exception:  # noqa: BLE001 (an exception of the caller's check reaches the caller with the answer)
            return False
        return True

    def _reask(
        self, request: ChatRequest, reply: ChatReply, mismatch: SchemaMismatch, target: Target
    ) -> ChatRequest:
        """Return the request that has the model correct its answer."""
        instruction, form = "", "the whole answer"
        if self.structure is not None:
            form = "the whole JSON"
            if not isinstance(mismatch, Refusal):
                instruction = self.structure.instruction if target.enforces_schema else ""
                target.enforces_schema = target.enforces_schema and None
        place = f" (at {mismatch.where})" if mismatch.where else ""
        words = f"That does not fit: {mismatch.detail.rstrip('.')}{place}. Write {form} again, corrected."
        messages = [*request.messages, reply.message, *_told(reply, f"{words} {instruction}".rstrip())]
        return replace(request, messages=messages, is_trial=False)

    def _failure(self, reply: ChatReply, mismatch: SchemaMismatch) -> tuple[str, str]:
        """Return the message and the advice of the final error."""
        again = ", also when asked again" if self.max_reasks else ""
        if isinstance(mismatch, Refusal):
            cut = (
                "max_tokens cut the answer, so give a larger one. " if reply.finish_reason == "length" else ""
            )
            return f"validate refused the answer: {mismatch.what}{again}", cut + _REFUSED_ADVICE
        name = "" if self.structure is None else self.structure.name
        if _is_cut(reply, mismatch):
            return f"max_tokens cut the answer before it was a whole {name}", _CUT_ADVICE
        return f"the answer is no {name}: {mismatch.what}{again}", _FIT_ADVICE


def wanted_of(
    response_model: type[T] | None,
    validate: Check | None,
    max_reasks: int,
    params: Mapping[str, object],
    *,
    with_reply: bool = False,
    parse: object = None,
) -> Wanted[T] | None:
    """Return what the arguments of ``complete`` want of an answer; ``None`` for nothing but the answer.

    Raises:
        ConfigError: They cannot be combined, or the type has no JSON schema.
    """
    if with_reply and response_model is None:
        raise ConfigError("with_reply goes with response_model: without it the reply is what is returned")
    if response_model is None and validate is None:
        return None
    whole_number("max_reasks", max_reasks, 0)
    if validate is not None and not callable(validate):
        raise ConfigError(f"validate must be a function, not {type(validate).__name__}")
    extra = params.get("extra")
    given = {**params, **(extra if isinstance(extra, Mapping) else {}), "parse": parse}
    purpose = "validate" if response_model is None else "response_model"
    for name in (
        ("parse",) if response_model is None else ("parse", "tools", "tool_choice", "response_format")
    ):
        if given.get(name) is not None:
            raise ConfigError(f"{name} cannot be given together with {purpose}")
    structure = None if response_model is None else structure_of(response_model)
    return Wanted(max_reasks, structure, validate, is_text=given.get("tools") is None)


def _is_cut(reply: ChatReply, mismatch: SchemaMismatch) -> bool:
    """Return whether a mismatch comes from the end of the tokens, which another answer would meet, too."""
    return reply.finish_reason == "length" and not isinstance(mismatch, Refusal)


def _told(reply: ChatReply, words: str) -> list[Message]:
    """Return the messages that tell the model what is wrong: to each call of a tool its result, as due."""
    if not reply.tool_calls:
        return [{"role": "user", "content": words}]
    with late_import():
        from foundry_rest.schema.tools import tool_message

    return [tool_message(call, words) for call in reply.tool_calls]
