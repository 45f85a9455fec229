"""Chat: whole answers, answers of a type, streams, and runs in which the model calls functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, overload

from foundry_rest import clock
from foundry_rest.config import MAX_REASKS, MAX_TURNS, Timeouts, whole_number
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import ConfigError
from foundry_rest.schema import ChatChunk, ChatParams, ChatReply, ChatRequest, Message, build_chat_request
from foundry_rest.services.context import Context
from foundry_rest.stream import ChatStream
from foundry_rest.transport.call import CancelToken, Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.schema.tools import ToolRun

T = TypeVar("T")


class Chat:
    """Ask a chat model."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @overload
    def complete(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: None = None,
        response_model: None = None,
        **params: Unpack[ChatParams],
    ) -> ChatReply: ...

    @overload
    def complete(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: Callable[[Reply], T],
        response_model: None = None,
        **params: Unpack[ChatParams],
    ) -> T: ...

    @overload
    def complete(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        response_model: type[T],
        max_reasks: int = MAX_REASKS,
        **params: Unpack[ChatParams],
    ) -> T: ...

    def complete(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: Callable[[Reply], T] | None = None,
        response_model: type[T] | None = None,
        max_reasks: int = MAX_REASKS,
        **params: Unpack[ChatParams],
    ) -> ChatReply | T:
        """Return the whole answer to a prompt or a conversation.

        Args:
            messages: The user's prompt, or OpenAI messages.
            model: Alias or id; the client's default when not given.
            system: Put before the messages as a system message.
            timeout: Seconds of silence borne in one attempt, or a whole set.
            deadline: Seconds for the whole call, retries included.
            headers: Added to this request.
            cancel: Ends the call from another thread.
            retries: Tries after the first, in place of the client's number.
            parse: Reads the plain HTTP answer in place of this package; its result is returned. The
                request is then sent as a plain one, which 2.x does not stop when it is given up.
            response_model: Type of the answer, which is returned in place of the reply: a msgspec Struct,
                dataclass, TypedDict, pydantic model, or another type that msgspec reads.
            max_reasks: Further questions when an answer does not fit ``response_model``.
            params: ``max_tokens``, ``temperature``, ``tools`` and others, see ``ChatParams``.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service said no.
            TransportError: No whole answer came; ``StreamInterrupted`` holds the text so far.
            InvalidReply: No answer fitted ``response_model``; ``where`` and ``text`` tell why.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(messages, model, system, params)
        if response_model is not None:
            from foundry_rest.endpoints.structured import ask_structured, check_structured
            from foundry_rest.schema.structure import structure_of

            check_structured(max_reasks, params, parse=parse)
            return ask_structured(
                lambda question: self._whole(question, options),
                request,
                structure_of(response_model),
                enforced=self._context.speak(options).enforces_schema,
                max_reasks=max_reasks,
                place=lambda: self._place("chat.complete", request),
            )
        if parse is not None:
            dialect = self._context.speak(options)
            return parse(self._context.sender.send(dialect.chat(request, options).call))
        return self._whole(request, options)

    def run_tools(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        functions: Iterable[Callable[..., object]],
        max_turns: int = MAX_TURNS,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        **params: Unpack[ChatParams],
    ) -> ToolRun:
        """Let the model call functions until it has its answer.

        Several calls of one answer are made in order. A name or arguments that are wrong are told to the
        model; what a function raises reaches you as it is. ``tool_choice="required"`` holds for the first
        answer alone, and ``"auto"`` after it; give it where a model writes of a call in place of making one,
        as some do on 0.x and 1.x (Foundry-Local issues 142, 346). Further args are those of ``complete``.

        Args:
            messages: The user's prompt, or OpenAI messages.
            functions: Plain functions, described to the model as ``foundry_rest.schema.tools.Tool`` tells.
            max_turns: Answers of the model, the last one included.
            deadline: Seconds for the whole run, the functions' own time included.

        Raises:
            ConfigError: A function cannot be described, or its result is not JSON.
            InvalidReply: ``max_tokens`` cut a call.
            ToolLoopExceeded: The turns were used up; ``messages`` holds the conversation.
        """
        from foundry_rest.endpoints.tool_loop import run_loop, tools_of

        options = self._context.options(timeout, deadline, headers, cancel, retries)
        whole_number("max_turns", max_turns, 1)
        if "tools" in params:
            raise ConfigError("tools cannot be given to run_tools(): functions takes their place")
        tools = tools_of(functions)
        given = {**params, "tools": [tool.spec for tool in tools.values()]}
        request = self._request(messages, model, system, given)
        return run_loop(
            lambda question: self._whole(question, options),
            request,
            tools,
            max_turns,
            lambda: self._place("chat.run_tools", request),
        )

    def count_tokens(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
    ) -> int:
        """Return how many tokens a prompt or a conversation has, by the model's own tokenizer.

        Raises:
            UnsupportedByService: Only 0.x has a route for it.
        """
        options = self._context.options(timeout, deadline)
        request = self._request(messages, model, system, {})
        return self._context.ask(self._context.speak(options).count_tokens(request, options))

    def stream(
        self,
        messages: str | Iterable[Message],
        /,
        *,
        model: str | None = None,
        system: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        parse: Callable[[bytes], ChatChunk] | None = None,
        **params: Unpack[ChatParams],
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
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(messages, model, system, params)
        return self._open(self._context.speak(options), request, options, started, "chat.stream", parse)

    def _request(
        self,
        messages: str | Iterable[Message],
        model: str | None,
        system: str | None,
        params: Mapping[str, object],
    ) -> ChatRequest:
        context = self._context
        name = context.config.model if model is None else model
        model_id = context.names.id_of(name) if isinstance(name, str) else None
        return build_chat_request(
            messages,
            model=name,
            model_id=model_id,
            max_tokens=context.config.max_tokens,
            system=system,
            params=params,
        )

    def _whole(self, request: ChatRequest, options: Options) -> ChatReply:
        started = clock.monotonic()
        dialect = self._context.speak(options)
        if dialect.completes_by_stream:
            return self._open(dialect, request, options, started, "chat.complete").gather()
        return self._context.ask(dialect.chat(request, options))

    def _place(self, call: str, request: ChatRequest) -> dict[str, str]:
        return {"call": call, "url": self._context.locate(), "model": request.model}

    def _open(
        self,
        dialect: Dialect,
        request: ChatRequest,
        options: Options,
        started: float,
        label: str,
        parse: Callable[[bytes], ChatChunk] | None = None,
    ) -> ChatStream:
        operation = dialect.chat_stream(request, options, label)
        opened = self._context.sender.open(operation.call)
        return ChatStream(opened, parse or operation.parse, operation.call, started, self._context.emit)
