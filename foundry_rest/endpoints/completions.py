"""Chat completions: whole, as a value of a type, and streamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar, overload

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.config import MAX_REASKS
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ContextLengthExceeded
from foundry_rest.schema import ChatChunk, ChatParams, ChatReply, ChatRequest, build_chat_request
from foundry_rest.schema.messages import Conversation, prompt_or_messages
from foundry_rest.schema.request import CHAT_MISTAKES, CHAT_NAMES
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.stream.chat import ChatStream, ForcedCallStream
from foundry_rest.stream.tool_calls import forces_call, missing_call
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class ChatArguments(ChatParams, CallOptions, total=False):
    """The keyword arguments of a chat call: parameters of the request, and options of the call."""


class ShortcutArguments(ChatArguments, total=False):
    """The keyword arguments of the client's own methods for chat calls."""

    system: str | None


class Completions:
    """What a model writes, whole or as a stream."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @overload
    def complete(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        parse: None = None,
        response_model: None = None,
        **given: Unpack[ChatArguments],
    ) -> ChatReply: ...

    @overload
    def complete(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        parse: Callable[[Reply], T],
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        **given: Unpack[ChatArguments],
    ) -> T: ...

    @overload
    def complete(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        response_model: type[T],
        max_reasks: int = MAX_REASKS,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        **given: Unpack[ChatArguments],
    ) -> T: ...

    def complete(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        parse: Callable[[Reply], T] | None = None,
        response_model: type[T] | None = None,
        max_reasks: int = MAX_REASKS,
        **given: Unpack[ChatArguments],
    ) -> ChatReply | T:
        """Return the whole completion of a prompt or a conversation.

        Args:
            messages: The user's prompt, or OpenAI messages.
            prompt: Another name for ``messages``.
            model: Alias or id; the client's default when not given.
            system: Text of a system message that is put before the messages.
            parse: Function that parses the plain HTTP response; its result is returned. The request is then
                sent as a plain one, which 2.x does not stop working on when the call is cancelled.
            response_model: Type of the value that is returned in place of the reply: a msgspec Struct,
                dataclass, TypedDict, pydantic model, or another type that msgspec decodes.
            max_reasks: Further requests when an answer does not match ``response_model``.
            given: Options of the call (``timeout``, ``deadline``, ``retries``, ``headers``, ``cancel``, see
                ``CallOptions``) and parameters of the request: ``max_tokens``, ``temperature``, ``tools`` and
                others, see ``ChatParams``.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service refused or failed.
            TransportError: No whole response came; ``StreamInterrupted`` holds the text so far.
            InvalidReply: No answer matched ``response_model``, or one lacks the call that ``tool_choice``
                demands; ``where`` and ``text`` show the mismatch.
            DeadlineExceeded: The deadline of the whole call passed.
            Cancelled: The call was cancelled from another thread.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: max_tokens,
        max_completion_tokens, temperature, top_p, stop, seed, tools, tool_choice, response_format,
        presence_penalty, frequency_penalty, metadata, reasoning_effort, chat_template_kwargs, user, logprobs,
        top_logprobs, logit_bias, parallel_tool_calls, top_k, extra.

        Example:
            >>> client.chat.complete("What is the capital of France?", system="Be brief.").content
            'The capital of France is Paris.'
        """
        options, params = self._context.split(given, CHAT_NAMES, CHAT_MISTAKES)
        request = self._request(prompt_or_messages(prompt, messages), model, system, params)
        if response_model is not None:
            from foundry_rest.endpoints.structured import ask_structured, check_structured, fits
            from foundry_rest.schema.structure import structure_of

            check_structured(max_reasks, params, parse=parse)
            structure = structure_of(response_model)
            options = replace(options, accepts=partial(fits, structure))
            target = self._context.target(options)  # first: what is detected must not be one that was lost
            self._context.dialect_for(options)
            return ask_structured(
                lambda question: self._complete(question, options),
                request,
                structure,
                target=target,
                max_reasks=max_reasks,
                place=lambda: self._error_context("chat.complete", request),
            )
        if parse is not None:
            return self._complete_with(request, options, parse)
        return self._complete(request, options)

    def stream(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        parse: Callable[[bytes], ChatChunk] | None = None,
        **given: Unpack[ChatArguments],
    ) -> ChatStream:
        """Return the completion as an open stream of chunks, whose first event has arrived.

        The arguments are those of ``complete``; ``parse`` parses the data of one event.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service refused or failed.
            TransportError: No event came.
            DeadlineExceeded: The deadline of the whole call passed.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: max_tokens,
        max_completion_tokens, temperature, top_p, stop, seed, tools, tool_choice, response_format,
        presence_penalty, frequency_penalty, metadata, reasoning_effort, chat_template_kwargs, user, logprobs,
        top_logprobs, logit_bias, parallel_tool_calls, top_k, extra.

        Example:
            >>> with client.chat.stream("What is the capital of France?") as stream:
            ...     print(stream.gather().content)
            The capital of France is Paris.
        """
        started = clock.monotonic()
        options, params = self._context.split(given, CHAT_NAMES, CHAT_MISTAKES)
        request = self._request(prompt_or_messages(prompt, messages), model, system, params)
        return self._open(request, options, started, "chat.stream", parse)

    def _request(
        self, messages: Conversation, model: str | None, system: str | None, params: Mapping[str, object]
    ) -> ChatRequest:
        config = self._context.config
        return build_chat_request(
            messages,
            model=config.model if model is None else model,
            max_tokens=config.max_tokens,
            system=system,
            params=params,
        )

    def _complete(self, request: ChatRequest, options: Options) -> ChatReply:
        started = clock.monotonic()
        if self._context.dialect_for(options).completes_by_stream:
            return self._open(request, options, started, "chat.complete").gather()
        try:
            reply = self._context.ask(
                lambda target: target.dialect.chat(target.named(request), options),
                options,
                model=request.model,
            )
        except ContextLengthExceeded as refusal:
            left = _within(request, refusal)
        else:
            _check_call(request, reply, self._context.url)
            return reply
        return self._complete(left, options)

    def _complete_with(self, request: ChatRequest, options: Options, parse: Callable[[Reply], T]) -> T:
        """Return the result of the caller's own ``parse`` on the plain response."""

        def build(target: Target) -> Operation[Reply, T]:
            operation = target.dialect.chat(target.named(request), options)
            return Operation(operation.call, parse, operation.parse)

        try:
            return self._context.ask(build, options, model=request.model)
        except ContextLengthExceeded as refusal:
            left = _within(request, refusal)
        return self._complete_with(left, options, parse)

    def _error_context(self, call: str, request: ChatRequest) -> dict[str, str]:
        return {"call": call, "url": self._context.url, "model": request.model}

    def _open(
        self,
        request: ChatRequest,
        options: Options,
        started: float,
        label: str,
        parse: Callable[[bytes], ChatChunk] | None = None,
    ) -> ChatStream:
        def build(target: Target) -> Operation[bytes, ChatChunk]:
            operation = target.dialect.chat_stream(target.named(request), options, label)
            return operation if parse is None else replace(operation, parse=parse)

        choice = request.params.get("tool_choice")
        kind = ForcedCallStream if choice and forces_call(choice) else ChatStream
        try:
            return self._context.open(kind, build, options, model=request.model, started=started)
        except ContextLengthExceeded as refusal:
            left = _within(request, refusal)
        return self._open(left, options, started, label, parse)


def _check_call(request: ChatRequest, reply: ChatReply, url: str) -> None:
    """Raise InvalidReply for an answer without the call that the request demands."""
    choice = request.params.get("tool_choice")
    if choice and not reply.tool_calls and forces_call(choice):
        error = missing_call(reply.content, reply.finish_reason)
        error.call, error.model, error.url = "chat.complete", request.model, url
        raise error


def _within(request: ChatRequest, error: ContextLengthExceeded) -> ChatRequest:
    """Return a request for the tokens that its prompt leaves, if the caller gave no limit; else raise."""
    prompt, limit = error.prompt_tokens, error.limit
    if request.is_limited or prompt is None or limit is None or prompt >= limit:
        raise error
    return replace(request, params={**request.params, "max_tokens": limit - prompt}, is_limited=True)
