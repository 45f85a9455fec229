"""Chat completions: whole, as a value of a type, and streamed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.config import MAX_REASKS
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ContextLengthExceeded
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, build_chat_request
from foundry_rest.schema.messages import Conversation, prompt_or_messages
from foundry_rest.schema.request import CHAT_MISTAKES, CHAT_NAMES, within
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.stream.chat import ChatStream, ForcedCallStream
from foundry_rest.transport.call import Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.endpoints.chat_arguments import ChatArguments, CompletionArguments
    from foundry_rest.endpoints.wanted import Wanted
    from foundry_rest.schema.typed import Typed

T = TypeVar("T")


class Completions:
    """What a model writes, whole or as a stream."""

    def __init__(self, context: Context) -> None:
        self._context = context

    if TYPE_CHECKING:

        @overload
        def complete(
            self,
            messages: Conversation | UnsetType = UNSET,
            *,
            parse: None = None,
            response_model: None = None,
            validate: Callable[[ChatReply], object] | None = None,
            prompt: Conversation | UnsetType = UNSET,
            **given: Unpack[CompletionArguments],
        ) -> ChatReply: ...

        @overload
        def complete(
            self,
            messages: Conversation | UnsetType = UNSET,
            *,
            parse: Callable[[Reply], T],
            prompt: Conversation | UnsetType = UNSET,
            **given: Unpack[CompletionArguments],
        ) -> T: ...

        @overload
        def complete(
            self,
            messages: Conversation | UnsetType = UNSET,
            *,
            response_model: type[T],
            with_reply: Literal[True],
            validate: Callable[[T], object] | None = None,
            prompt: Conversation | UnsetType = UNSET,
            **given: Unpack[CompletionArguments],
        ) -> Typed[T]: ...

        @overload
        def complete(
            self,
            messages: Conversation | UnsetType = UNSET,
            *,
            response_model: type[T],
            validate: Callable[[T], object] | None = None,
            with_reply: Literal[False] = False,
            prompt: Conversation | UnsetType = UNSET,
            **given: Unpack[CompletionArguments],
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
        validate: Callable[[Any], object] | None = None,
        with_reply: bool = False,
        max_reasks: int = MAX_REASKS,
        fallback_models: Sequence[str] = (),
        load_fallbacks: bool = False,
        **given: Unpack[ChatArguments],
    ) -> ChatReply | T | Typed[T]:
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
            validate: Your own check, called with the value of ``response_model``, else with the reply. What
                it returns is ignored; the words of its ``ValueError`` are told to the model, which is asked
                again; other exceptions are raised unchanged.
            with_reply: Return value and reply, as ``Typed``, in place of the value of ``response_model``.
            max_reasks: Further requests when an answer does not match ``response_model``, or ``validate``
                refuses it.
            fallback_models: Models that are asked in turn when this one is not there, cannot be loaded, is
                too slow or small, breaks off or fails; ``reply.model`` tells who answered. The deadline is
                one for all.
            load_fallbacks: Whether one of these may be loaded; else what is not in memory is passed over.
            given: Options of the call (``timeout``, ``deadline``, others of ``CallOptions``) and of the
                request (``max_tokens``, ``temperature``, and others of ``ChatParams``).

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service refused or failed.
            TransportError: No whole response came; ``StreamInterrupted`` holds the text so far.
            InvalidReply: No answer matched ``response_model`` or satisfied ``validate``, or one lacks the
                call that ``tool_choice`` demands; ``where`` and ``text`` show the mismatch.
            DeadlineExceeded, Cancelled: The whole call's deadline passed, or another thread cancelled it.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: model, system,
        max_reasks, fallback_models, load_fallbacks, max_tokens, max_completion_tokens, temperature, top_p,
        stop, seed, tools, tool_choice, response_format, presence_penalty, frequency_penalty, metadata,
        reasoning_effort, chat_template_kwargs, user, logprobs, top_logprobs, logit_bias, parallel_tool_calls,
        top_k, extra.

        Example:
            >>> client.chat.complete("What is the capital of France?", system="Be brief.").content
            'The capital of France is Paris.'
        """
        options, params = self._context.split(given, CHAT_NAMES, CHAT_MISTAKES)
        request = self._request(prompt_or_messages(prompt, messages), model, system, params)
        is_plain = response_model is None and validate is None
        if is_plain and not (with_reply or fallback_models or load_fallbacks):
            if parse is None:
                return self._complete(request, options)
            return self._complete_with(request, options, parse)
        with late_import():
            from foundry_rest.endpoints.fallbacks import ask_in_turn
            from foundry_rest.endpoints.wanted import wanted_of

        wanted = wanted_of(response_model, validate, max_reasks, params, with_reply=with_reply, parse=parse)

        def ask(question: ChatRequest, limits: Options) -> ChatReply | T | Typed[T]:
            if parse is not None:
                return self._complete_with(question, limits, parse)
            if wanted is None:
                return self._complete(question, limits)
            return self._complete_as(wanted, question, limits, with_reply=with_reply)

        if fallback_models or load_fallbacks:
            spared = () if wanted is None else wanted.raised
            return ask_in_turn(ask, request, options, fallback_models, load=load_fallbacks, spared=spared)
        return ask(request, options)

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
        named = config.model if model is None else model
        return build_chat_request(
            messages, model=named, max_tokens=config.max_tokens, system=system, params=params
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
            left = within(request, refusal)
        else:
            if request.params.get("tool_choice"):
                self._check_call(request, reply)
            return reply
        return self._complete(left, options)

    def _check_call(self, request: ChatRequest, reply: ChatReply) -> None:
        """Raise InvalidReply for an answer without the call that the request demands."""
        with late_import(sent=True):
            from foundry_rest.stream.tool_calls import forces_call, missing_call

        if not reply.tool_calls and forces_call(request.params["tool_choice"]):
            error = missing_call(reply.content, reply.finish_reason)
            error.call, error.model, error.url = "chat.complete", request.model, self._context.url
            raise error

    def _complete_with(self, request: ChatRequest, options: Options, parse: Callable[[Reply], T]) -> T:
        """Return the result of the caller's own ``parse`` on the plain response."""

        def build(target: Target) -> Operation[Reply, T]:
            operation = target.dialect.chat(target.named(request), options)
            return Operation(operation.call, parse, operation.parse)

        try:
            return self._context.ask(build, options, model=request.model)
        except ContextLengthExceeded as refusal:
            left = within(request, refusal)
        return self._complete_with(left, options, parse)

    def _complete_as(
        self, wanted: Wanted[T], request: ChatRequest, options: Options, *, with_reply: bool
    ) -> T | Typed[T]:
        """Return the value that is wanted of an answer, which the model may correct."""
        from foundry_rest.schema.typed import Typed

        options = replace(options, accepts=wanted.may_be_kept)
        target = self._context.target(options)  # first: what is detected must not be one that was lost
        self._context.dialect_for(options)
        value, reply = wanted.ask(
            lambda question: self._complete(question, options),
            request,
            target,
            lambda: self._error_context("chat.complete", request),
        )
        return Typed(value, reply) if with_reply else value

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
        kind = _kind_of_stream(choice) if choice else ChatStream
        try:
            return self._context.open(kind, build, options, model=request.model, started=started)
        except ContextLengthExceeded as refusal:
            left = within(request, refusal)
        return self._open(left, options, started, label, parse)


def _kind_of_stream(choice: object) -> type[ChatStream]:
    with late_import():
        from foundry_rest.stream.tool_calls import forces_call
    return ForcedCallStream if forces_call(choice) else ChatStream
