"""Embeddings: one vector for each text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.dialects.embeddings import join_batches
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    FoundryError,
    InferenceFailed,
    InvalidReply,
    ServiceTimeout,
)
from foundry_rest.models.tasks import CHAT, SPEECH, check_task
from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest, build_embedding_request
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Texts in one request. 2.2.1 embeds them one after the other, sends nothing until the last is done, and goes
#: on when the client has left, so requests should be short: with 32, each text may take 0.9 s until the
#: silence exceeds the default timeout. A larger batch saves next to nothing (measured with a model that takes
#: no time itself: 0.36 ms per text in batches of 2048, 0.40 ms in batches of 32).
BATCH = 32
#: What a service says of one text and not of all.
_Refusals = tuple[type[FoundryError], ...]
_OF_A_TEXT: _Refusals = (ContextLengthExceeded, BadRequest, InferenceFailed, InvalidReply)


class Embeddings:
    """The embeddings endpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self,
        input: str | Iterable[str],
        *,
        model: str | None = None,
        batch_size: int = BATCH,
        on_error: Literal["raise", "skip"] = "raise",
        **options: Unpack[CallOptions],
    ) -> EmbeddingReply:
        """Return one vector for each text, in the order of the texts.

        Any number of texts is sent in batches, one after the other. The model determines the length of the
        vectors, which the service cannot change.

        Args:
            input: One text or an iterable of texts, which is read once, before anything is sent. 1.x refuses
                an empty text.
            model: Alias or id of an embedding model; the client's default when not given.
            batch_size: Texts in one request.
            on_error: ``"skip"`` leaves a text out that the service refuses, such as one that is too long, and
                goes on; it is in ``failed`` of the reply, by its index. What concerns all texts is raised.
            options: Options of the call, see ``CallOptions``: ``timeout`` bounds the silence of one request,
                which lasts until its last text is done, ``retries`` applies to each request, and
                ``deadline`` bounds all of them together.

        Raises:
            ConfigError: There is no text, one cannot be sent, or the model is not for embeddings.
            ContextLengthExceeded: A text is longer than the model can read.
            ServiceError: The service refused or failed.
            InvalidReply: A vector is missing, repeated or invalid.
            TransportError: No whole response came.
            DeadlineExceeded: The deadline of the whole call passed.
            Cancelled: The call was cancelled from another thread.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.embeddings.create(["first", "second"], model="qwen3-embedding").vectors
            [[0.6, 0.8], [0.8, 0.6]]
        """
        started = clock.monotonic()
        whole_number("batch_size", batch_size, 1)
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"on_error must be 'raise' or 'skip', not {on_error!r}")
        name = self._context.config.model if model is None else model
        request = build_embedding_request(input, model=name)
        checked = self._context.options(**options)
        self._check(request, checked)
        starts = range(0, len(request.texts), batch_size)
        refusals = _OF_A_TEXT if on_error == "skip" else (ContextLengthExceeded,)
        batches = []
        for at in starts:
            end = min(at + batch_size, len(request.texts))
            for batch in self._embed(request, at, end, checked, refusals):
                if batch.failed and on_error == "raise":
                    raise batch.failed[0]
                batches.append(batch)
        return self._join(batches, request, started)

    def _check(self, request: EmbeddingRequest, options: Options) -> None:
        """Raise for a service without embeddings, and for a model that is known to be of another kind."""
        dialect = self._context.dialect_for(options)
        call = dialect.embed(EmbeddingRequest(request.model, [], request.id), options).call
        check_task(
            self._context, request.model, options, call=call.label, purpose="embeddings", fits=_may_embed
        )

    def _embed(
        self, request: EmbeddingRequest, start: int, end: int, options: Options, refusals: _Refusals
    ) -> Iterator[EmbeddingReply]:
        """Yield the vectors of one batch, in parts where a text is refused, which is found by halving.

        Args:
            request: All texts.
            start: The batch's first text.
            end: The text behind its last one.
            options: Options of each request.
            refusals: Errors that concern one text.
        """
        try:
            yield self._embed_batch(request, start, end, options)
        except refusals as error:
            if end - start == 1:
                yield EmbeddingReply(vectors=[[]], failed={0: _with_index(error, start)})
                return
        else:
            return
        middle = (start + end) // 2
        yield from self._embed(request, start, middle, options, refusals)
        yield from self._embed(request, middle, end, options, refusals)

    def _embed_batch(
        self, request: EmbeddingRequest, start: int, end: int, options: Options
    ) -> EmbeddingReply:
        """Return the vectors of one batch."""
        batch = EmbeddingRequest(request.model, request.texts[start:end], request.id)
        try:
            return self._context.ask(
                lambda target: target.dialect.embed(target.named(batch), options), options, model=batch.model
            )
        except ServiceTimeout as error:
            error.advice = f"Give a larger timeout= (FOUNDRY_TIMEOUT) or a batch_size= below {end - start}."
            raise

    def _join(
        self, batches: list[EmbeddingReply], request: EmbeddingRequest, started: float
    ) -> EmbeddingReply:
        try:
            return join_batches(batches, clock.monotonic() - started)
        except InvalidReply as error:
            error.call, error.model = "embeddings.create", request.model
            raise


def _with_index(error: FoundryError, index: int) -> FoundryError:
    """Return an error that names the text it is about."""
    if isinstance(error, ContextLengthExceeded):
        error.advice = f"input[{index}] is longer than the model can read: split it, or give on_error='skip'."
    else:
        error.advice = f"Look at input[{index}]."
    return error


def _may_embed(task: str) -> bool:
    return task not in (CHAT, SPEECH)  # services name the task of embeddings in several ways
