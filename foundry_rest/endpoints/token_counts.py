"""The tokens of a prompt, as the model's tokenizer counts them, and the conversation that fits its context.

0.x has a route that counts. 1.x and 2.x refuse a request for more tokens than the context holds before they
begin it, and tell the prompt's number; the refusal is asked for past the circuit breaker and the figures,
for it is the answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import (
    ContextLengthExceeded,
    ModelNotFound,
    ModelNotLoaded,
    ServiceNotFound,
    ServiceUnreachable,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.schema import ChatRequest, Message
from foundry_rest.schema.turns import Turns
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.stream.answer import AnswerStream
from foundry_rest.transport.call import Options
from foundry_rest.transport.json_codec import encode_json

#: Counts that are kept; each takes some 200 bytes.
KEPT = 1024

#: A model that is to be loaded, a service that has moved or closed a kept connection.
_CURABLE = (ModelNotFound, ModelNotLoaded, ServiceNotFound, ServiceUnreachable, StreamInterrupted)

Build = Callable[[Target], Operation[Any, int]]


class Count(NamedTuple):
    """The tokens of a prompt, and those of the model's context; ``None`` where the service does not say."""

    tokens: int
    limit: int | None


class TokenCounts:
    """The counts of one client's prompts, kept by a hash of what was counted."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: dict[bytes, Count] = {}

    def count(self, request: ChatRequest, options: Options) -> Count:
        """Return the tokens of a request's prompt, and of the model's context.

        Raises:
            UnsupportedByService: The service does not tell.
        """
        kept = self._kept.get(self._key(request))
        if kept is not None:
            return kept

        def build(target: Target) -> Operation[Any, int]:
            return target.dialect.count_tokens(target.named(request), options)

        if self._context.dialect_for(options).counts_by_refusal:
            found = self._refused(build, options, request.model)
        else:
            tokens = self._context.ask(build, options, model=request.model)
            info = self._context.names.get(request.model)
            found = Count(tokens, None if info is None else info.context_length)
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[self._key(request)] = found
        return found

    def _refused(self, build: Build, options: Options, model: str) -> Count:
        """Return what a refusal tells; a request that fails in a way that calls cure is sent again."""
        try:
            return self._refusal(build, options, model, probe=True)
        except _CURABLE:
            return self._refusal(build, options, model, probe=False)

    def _refusal(self, build: Build, options: Options, model: str, *, probe: bool) -> Count:
        try:
            next(self._context.open(_Unrefused, build, options, model=model, probe=probe))
        except ContextLengthExceeded as refusal:
            if refusal.prompt_tokens is None:
                raise
            return Count(refusal.prompt_tokens, refusal.limit)
        raise AssertionError("an answer to what had to be refused is an error of its dialect")

    def _key(self, request: ChatRequest) -> bytes:
        """Return a hash of all that decides the count."""
        context, tools = self._context, request.params.get("tools")
        asked = (context.url, context.names.id_of(request.model), request.messages, tools)
        return hashlib.blake2b(encode_json(asked), digest_size=16).digest()


class _Unrefused(AnswerStream[int]):
    """A stream that had to be refused: its first event is an error of its dialect."""


def fit(
    count: Callable[[list[Message]], Count], messages: list[Message], max_tokens: int | None, default: int
) -> list[Message]:
    """Return a conversation without the oldest turns, so that it fits the model's context with its answer.

    Args:
        count: Counts the tokens of messages.
        messages: The conversation.
        max_tokens: Room for the answer; ``None`` for the default, and at most half of the context.
        default: The client's default.

    Raises:
        ContextLengthExceeded: Not even the last turn fits.
        UnsupportedByService: The service does not tell how long its context is.
    """
    turns = Turns(messages)

    def over(dropped: int) -> ContextLengthExceeded | None:
        tokens, limit = count(turns.without(dropped))
        if limit is None:
            raise UnsupportedByService(
                "the service does not tell how long the model's context is",
                feature="fit",
                advice="Drop the oldest messages yourself, by the tokens that chat.count_tokens() tells.",
            )
        room = min(default, limit // 2) if max_tokens is None else max_tokens
        if tokens + room <= limit:
            return None
        return ContextLengthExceeded(
            f"the last turn has {tokens} tokens, which with {room} for the answer exceed the model's context "
            f"of {limit}",
            prompt_tokens=tokens,
            limit=limit,
        )

    if over(0) is None:
        return list(messages)
    least, most = 1, max(1, len(turns) - 1)
    refusal = over(most)
    if refusal is not None:
        raise refusal
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if over(middle) is None else (middle + 1, most)
    return turns.without(most)
