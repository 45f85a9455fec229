"""The endpoints of a client, and the most common calls as methods of the client itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from msgspec import UNSET, UnsetType

from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.raw import Raw
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ChatReply
from foundry_rest.schema.messages import Conversation
from foundry_rest.services.context import Context
from foundry_rest.stream import ChatStream

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from typing_extensions import Unpack

    from foundry_rest.client.workers import Workers
    from foundry_rest.endpoints.audio import Audio
    from foundry_rest.endpoints.chat_arguments import (
        CompletionArguments,
        ShortcutArguments,
        WholeQuestion,
    )
    from foundry_rest.endpoints.embeddings import Embeddings
    from foundry_rest.endpoints.handover import OpenAISettings
    from foundry_rest.endpoints.health import Health
    from foundry_rest.endpoints.models import Models
    from foundry_rest.endpoints.responses import Responses
    from foundry_rest.schema import HealthReport
    from foundry_rest.schema.batch import BatchRequest, BatchResult
    from foundry_rest.schema.typed import Typed
    from foundry_rest.transport.call_options import CallOptions

T = TypeVar("T")


class Endpoints(Raw):
    """The endpoints of a client; most programs only chat, so the others are imported at their first use.

    Attributes:
        chat: Chat completions: whole, streamed, typed, or with tools.
    """

    #: The attributes that belong to one context.
    PARTS: ClassVar[tuple[str, ...]] = (
        "_context",
        "_home",
        "chat",
        "models",
        "health",
        "embeddings",
        "audio",
        "responses",
    )

    chat: Chat

    if TYPE_CHECKING:

        def workers(self, executor: Executor) -> Workers:
            """Return what makes this client's calls on the workers of an executor."""

    def _connect(self, context: Context) -> None:
        self._context = self._home = context
        if context.has_several:
            from foundry_rest.endpoints.several import parts_of

            self._home, self.chat, self.models, self.health = parts_of(context)
            return
        self.chat = Chat(context)

    @cached_property
    def models(self) -> Models:
        """Return the endpoint for models: catalog, loading, downloads."""
        with late_import():
            from foundry_rest.endpoints.models import Models

        return Models(self._context)

    @cached_property
    def health(self) -> Health:
        """Return the endpoint for the state of the service."""
        with late_import():
            from foundry_rest.endpoints.health import Health

        return Health(self._context)

    @cached_property
    def embeddings(self) -> Embeddings:
        """Return the endpoint for vectors."""
        with late_import():
            from foundry_rest.endpoints.embeddings import Embeddings

        return Embeddings(self._context)

    @cached_property
    def audio(self) -> Audio:
        """Return the endpoint for speech."""
        with late_import():
            from foundry_rest.endpoints.audio import Audio

        return Audio(self._context)

    @cached_property
    def responses(self) -> Responses:
        """Return the endpoint for responses, which the service can store."""
        with late_import():
            from foundry_rest.endpoints.responses import Responses

        return Responses(self._home)

    if TYPE_CHECKING:

        @overload
        def complete(
            self,
            prompt: Conversation | UnsetType = UNSET,
            *,
            response_model: type[T],
            validate: Callable[[T], object] | None = None,
            with_reply: Literal[False] = False,
            **given: Unpack[WholeQuestion],
        ) -> T: ...

        @overload
        def complete(
            self,
            prompt: Conversation | UnsetType = UNSET,
            *,
            response_model: None = None,
            validate: Callable[[ChatReply], object] | None = None,
            **given: Unpack[WholeQuestion],
        ) -> ChatReply: ...

        @overload
        def complete(
            self,
            prompt: Conversation | UnsetType = UNSET,
            *,
            response_model: type[T],
            with_reply: Literal[True],
            validate: Callable[[T], object] | None = None,
            **given: Unpack[WholeQuestion],
        ) -> Typed[T]: ...

    def complete(
        self,
        prompt: Conversation | UnsetType = UNSET,
        *,
        messages: Conversation | UnsetType = UNSET,
        response_model: type[T] | None = None,
        validate: Callable[[Any], object] | None = None,
        with_reply: bool = False,
        **given: Unpack[CompletionArguments],
    ) -> ChatReply | T | Typed[T]:
        """Return the whole answer; short for ``client.chat.complete``, which documents all arguments.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: model, system,
        max_reasks, fallback_models, load_fallbacks, max_tokens, max_completion_tokens, temperature, top_p,
        stop, seed, tools, tool_choice, response_format, presence_penalty, frequency_penalty, metadata,
        reasoning_effort, chat_template_kwargs, user, logprobs, top_logprobs, logit_bias, parallel_tool_calls,
        top_k, extra.

        Example:
            >>> client.complete("What is the capital of France?").content
            'The capital of France is Paris.'
        """
        ask: Callable[..., ChatReply | T | Typed[T]] = self.chat.complete
        return ask(
            prompt,
            prompt=messages,
            response_model=response_model,
            validate=validate,
            with_reply=with_reply,
            **given,
        )

    def stream_complete(
        self,
        prompt: Conversation | UnsetType = UNSET,
        *,
        messages: Conversation | UnsetType = UNSET,
        model: str | None = None,
        **given: Unpack[ShortcutArguments],
    ) -> ChatStream:
        """Return the answer in chunks; short for ``client.chat.stream``, which documents all arguments.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: system, max_tokens,
        max_completion_tokens, temperature, top_p, stop, seed, tools, tool_choice, response_format,
        presence_penalty, frequency_penalty, metadata, reasoning_effort, chat_template_kwargs, user, logprobs,
        top_logprobs, logit_bias, parallel_tool_calls, top_k, extra.

        Example:
            >>> for chunk in client.stream_complete("What is the capital of France?"):
            ...     print(chunk.content, end="")
            The capital of France is Paris.
        """
        return self.chat.stream(prompt, prompt=messages, model=model, **given)

    def health_check(self, **options: Unpack[CallOptions]) -> HealthReport:
        """Return the state of the service; short for ``client.health.check()``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.health_check().status
            'ok'
        """
        return self.health.check(**options)

    def openai_settings(self, model: str | None = None, **options: Unpack[CallOptions]) -> OpenAISettings:
        """Load a model and return what another client of OpenAI's dialect needs to ask it.

        ``base_url``, ``api_key`` and ``model``, the exact id: for ``openai.OpenAI``, LangChain's
        ``ChatOpenAI`` and their brothers. They have none of this client's resilience, and a service that
        moves is not found again.

        Args:
            model: Alias or id; the client's default model by default.
            options: Options of the calls that find and load it.

        Raises:
            ModelNotFound: The service lists no such model.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.openai_settings("phi-4-mini")["model"]
            'phi-4-mini-instruct-generic-cpu:5'
        """
        with late_import():
            from foundry_rest.endpoints.handover import openai_settings

        return openai_settings(self._home, self.models, model or self._context.config.model, options)

    def batch(
        self,
        requests: Iterable[str | Mapping[str, object] | BatchRequest],
        *,
        max_concurrency: int | Literal["auto"] | None = None,
        ordered: bool = False,
        executor: Executor | None = None,
        **options: Unpack[CallOptions],
    ) -> Iterator[BatchResult]:
        """Return an iterator that sends many requests, several at a time, and yields a result for each.

        The requests are read as room becomes free, so an endless generator needs constant memory. A request
        that fails, or cannot be sent, is a result with an ``error``; the others go on. What is still under
        way is ended when the iterator is closed, as leaving a ``for`` loop does.

        Args:
            requests: Prompts; mappings ``{"prompt": ..., **parameters of chat}``; lines of OpenAI's batch
                files ``{"custom_id", "url", "body"}``; or ``BatchRequest``. Without a ``custom_id`` the first
                is ``"request-0"``.
            max_concurrency: Calls at a time; 4 by default, and at most the client's own number. ``"auto"``
                finds out how many the service is worth (docs/how-to/concurrency.md).
            ordered: Whether results come in the order of the requests, else as they are done. A slow request
                then holds up the later ones once 16 for each call at a time are waiting.
            executor: Whose workers make the calls, see ``workers``; then give two to four times their number
                as ``max_concurrency``, which the client's own number does not bound.
            options: Options of each call, see ``CallOptions``; a ``cancel`` token ends the whole batch.

        Raises:
            ConfigError: An argument cannot be used.
            ExecutorBroken: The executor runs no more tasks; some requests have no result.
            Cancelled: The batch was cancelled, or the client closed; some requests have no result.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [result.custom_id for result in client.batch(["Say OK", "Say no"], ordered=True)]
            ['request-0', 'request-1']
        """
        with late_import():
            from foundry_rest.endpoints.batch import run_batch

        return run_batch(
            self,
            self._context,
            requests,
            max_concurrency=max_concurrency,
            ordered=ordered,
            options=options,
            workers=None if executor is None else self.workers(executor),
        )
