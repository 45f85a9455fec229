"""Chat: whole answers and streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, overload

from foundry_rest import clock
from foundry_rest.config import Timeouts
from foundry_rest.dialects.operation import Dialect
from foundry_rest.endpoints.context import Context
from foundry_rest.schema import ChatChunk, ChatParams, ChatReply, ChatRequest, Message, build_chat_request
from foundry_rest.stream import ChatStream
from foundry_rest.transport.call import CancelToken, Options, Reply

if TYPE_CHECKING:
    from typing_extensions import Unpack

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
            params: ``max_tokens``, ``temperature``, ``tools`` and others, see ``ChatParams``.

        Raises:
            ConfigError: The input cannot be sent.
            ServiceError: The service said no.
            TransportError: No whole answer came; ``StreamInterrupted`` holds the text so far.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        started = clock.monotonic()
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(messages, model, system, params)
        dialect = self._context.speak(options)
        if parse is not None:
            return parse(self._context.sender.send(dialect.chat(request, options).call))
        if dialect.completes_by_stream:
            return self._open(dialect, request, options, started, "chat.complete").gather()
        return self._context.ask(dialect.chat(request, options))

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
