"""Chat: whole answers, answers of a type, streams, and runs in which the model calls functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, overload

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.config import MAX_REASKS, MAX_TURNS
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ConfigError
from foundry_rest.schema import ChatChunk, ChatParams, ChatReply, ChatRequest, build_chat_request
from foundry_rest.schema.prompt import Conversation, prompt_or_messages
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.stream import ChatStream
from foundry_rest.transport.call import CallOptions, Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.schema.tools import ToolRun

T = TypeVar("T")


class ChatArguments(ChatParams, CallOptions, total=False):
    """The keyword arguments of a chat call: parameters of the request, and options of the call."""


class Chat:
    """The chat endpoint."""

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
        """Return the whole answer to a prompt or a conversation.

        Args:
            messages: The user's prompt, or OpenAI messages.
            prompt: Another name for ``messages``.
            model: Alias or id; the client's default when not given.
            system: Put before the messages as a system message.
            parse: Reads the plain HTTP answer in place of this package; its result is returned. The
                request is then sent as a plain one, which 2.x does not stop when it is given up.
            response_model: Type of the answer, which is returned in place of the reply: a msgspec Struct,
                dataclass, TypedDict, pydantic model, or another type that msgspec reads.
            max_reasks: Further questions when an answer does not fit ``response_model``.
            given: Options of the call (``timeout``, ``deadline``, ``retries``, ``headers``, ``cancel``, see
                ``CallOptions``) and parameters of the request: ``max_tokens``, ``temperature``, ``tools`` and
                others, see ``ChatParams``.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service said no.
            TransportError: No whole answer came; ``StreamInterrupted`` holds the text so far.
            InvalidReply: No answer fitted ``response_model``; ``where`` and ``text`` tell why.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        options, params = self._context.split(given)
        request = self._request(prompt_or_messages(prompt, messages), model, system, params)
        if response_model is not None:
            from foundry_rest.endpoints.structured import ask_structured, check_structured
            from foundry_rest.schema.structure import structure_of

            check_structured(max_reasks, params, parse=parse)
            return ask_structured(
                lambda question: self._whole(question, options),
                request,
                structure_of(response_model),
                enforced=self._context.dialect_for(options).enforces_schema,
                max_reasks=max_reasks,
                place=lambda: self._place("chat.complete", request),
            )
        if parse is not None:
            return self._plain(request, options, parse)
        return self._whole(request, options)

    def run_tools(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        functions: Iterable[Callable[..., object]],
        prompt: Conversation | UnsetType = UNSET,
        max_turns: int = MAX_TURNS,
        model: str | None = None,
        system: str | None = None,
        **given: Unpack[ChatArguments],
    ) -> ToolRun:
        """Let the model call functions until it has its answer.

        Several calls of one answer are made in order. A name or arguments that are wrong are told to the
        model; what a function raises reaches you as it is. ``tool_choice="required"`` holds for the first
        answer alone, and ``"auto"`` after it; give it where a model writes of a call in place of making one,
        as some do on 0.x and 1.x (Foundry-Local issues 142, 346). Further args are those of ``complete``; a
        ``deadline`` is for the whole run, the functions' own time included.

        Args:
            messages: The user's prompt, or OpenAI messages.
            functions: Plain functions, described to the model as ``foundry_rest.schema.tools.Tool`` tells.
            prompt: Another name for ``messages``.
            max_turns: Answers of the model, the last one included.
            model: Alias or id; the client's default when not given.
            system: Put before the messages as a system message.
            given: As for ``complete``.

        Raises:
            ConfigError: A function cannot be described, or its result is not JSON.
            InvalidReply: ``max_tokens`` cut a call.
            ToolLoopExceeded: The turns were used up; ``messages`` holds the conversation.
        """
        from foundry_rest.endpoints.tool_loop import run_loop, tools_of

        options, params = self._context.split(given)
        whole_number("max_turns", max_turns, 1)
        if "tools" in params:
            raise ConfigError("tools cannot be given to run_tools(): functions takes their place")
        tools = tools_of(functions)
        described = {**params, "tools": [tool.spec for tool in tools.values()]}
        request = self._request(prompt_or_messages(prompt, messages), model, system, described)
        return run_loop(
            lambda question: self._whole(question, options),
            request,
            tools,
            max_turns,
            lambda: self._place("chat.run_tools", request),
        )

    def count_tokens(
        self,
        messages: Conversation | UnsetType = UNSET,
        *,
        prompt: Conversation | UnsetType = UNSET,
        model: str | None = None,
        system: str | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Return how many tokens a prompt or a conversation has, by the model's own tokenizer.

        Raises:
            UnsupportedByService: Only 0.x has a route for it.
        """
        checked = self._context.options(**options)
        request = self._request(prompt_or_messages(prompt, messages), model, system, {})
        return self._context.ask(
            lambda target: target.dialect.count_tokens(target.named(request), checked),
            checked,
            model=request.model,
        )

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
        """Return the answer as an open stream of chunks; its first event has come.

        Args are those of ``complete``; ``parse`` reads one event's data.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service said no.
            TransportError: No event came.
            DeadlineExceeded: The time for the whole call ran out.
        """
        started = clock.monotonic()
        options, params = self._context.split(given)
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

    def _whole(self, request: ChatRequest, options: Options) -> ChatReply:
        started = clock.monotonic()
        if self._context.dialect_for(options).completes_by_stream:
            return self._open(request, options, started, "chat.complete").gather()
        return self._context.ask(
            lambda target: target.dialect.chat(target.named(request), options), options, model=request.model
        )

    def _plain(self, request: ChatRequest, options: Options, parse: Callable[[Reply], T]) -> T:
        """Return what the caller's own function reads from the plain answer."""

        def build(target: Target) -> Operation[Reply, T]:
            return Operation(target.dialect.chat(target.named(request), options).call, parse)

        return self._context.ask(build, options, model=request.model)

    def _place(self, call: str, request: ChatRequest) -> dict[str, str]:
        return {"call": call, "url": self._context.url(), "model": request.model}

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

        return self._context.open(ChatStream, build, options, model=request.model, started=started)
