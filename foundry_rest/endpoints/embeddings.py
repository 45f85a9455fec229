"""Embeddings: texts in, vectors out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from foundry_rest import clock
from foundry_rest.config import Timeouts, whole_number
from foundry_rest.dialects.embeddings import join_batches
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import ContextLengthExceeded, InvalidReply, ServiceTimeout
from foundry_rest.models.tasks import CHAT, SPEECH, check_task
from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest, build_embedding_request
from foundry_rest.services.context import Context
from foundry_rest.transport.call import CancelToken, Options

#: Texts in one request. The service takes them one after the other, sends nothing until the last is done,
#: and goes on when nobody waits any more (2.2.1), so a request should be short: at 32 a text may take 0.9 s
#: before the silence exceeds the default time-out. A larger number saves next to nothing (2048 at once:
#: 0.36 ms a text; 32 at once: 0.40 ms, with a model that takes no time itself).
BATCH = 32


class Embeddings:
    """Ask for vectors."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self,
        input: str | Iterable[str],
        *,
        model: str | None = None,
        batch_size: int = BATCH,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
    ) -> EmbeddingReply:
        """Return one vector a text, in the order of the texts.

        Any number of texts is sent in batches, one after the other. The length of the vectors is the
        model's: the service gives no other.

        Args:
            input: A text, or several; an iterator is read once, before anything is sent. 1.x refuses a
                text that is empty.
            model: Alias or id of a model for embeddings; the client's default when not given.
            batch_size: Texts in one request.
            timeout: Seconds of silence borne in one request, or a whole set; a request is silent until
                its last text is done.
            deadline: Seconds for all requests together.
            headers: Added to each request.
            cancel: Ends the call from another thread.
            retries: Tries of one request after the first, in place of the client's number.

        Raises:
            ConfigError: There is no text, one cannot be sent, or the model is not for embeddings.
            ContextLengthExceeded: A text is longer than the model can read.
            ServiceError: The service said no.
            InvalidReply: A vector lacks, comes twice, or is none.
            TransportError: No whole answer came.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        started = clock.monotonic()
        whole_number("batch_size", batch_size, 1)
        name = self._context.config.model if model is None else model
        request = build_embedding_request(input, model=name)
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        dialect = self._context.speak(options)
        textless = dialect.embed(EmbeddingRequest(request.model, [], request.id), options)
        check_task(self._context, dialect, textless.call, "embeddings", _fits)
        starts = range(0, len(request.texts), batch_size)
        batches = [self._ask(request, at, at + batch_size, dialect, options) for at in starts]
        return self._join(batches, request, started)

    def _ask(
        self, request: EmbeddingRequest, start: int, end: int, dialect: Dialect, options: Options
    ) -> EmbeddingReply:
        """Ask for one batch, by the id that an earlier one may have learnt."""
        id_ = self._context.names.id_of(request.model)
        batch = EmbeddingRequest(request.model, request.texts[start:end], id_)
        try:
            return self._context.ask(dialect.embed(batch, options))
        except ContextLengthExceeded as error:
            error.advice = f"A text in input[{start}:{end}] is longer than the model can read: split it."
            raise
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


def _fits(task: str) -> bool:
    return task not in (CHAT, SPEECH)  # services name the task of embeddings in several ways
