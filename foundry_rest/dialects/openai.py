"""The /v1 half that all generations share, and all that a stranger's OpenAI-like service has."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import InvalidReply
from foundry_rest.errors.reading import UNDECODABLE, error_in
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ModelInfo, ServiceStatus, Usage
from foundry_rest.transport.call import Call, Options, Replay, Reply, decode_json, encode_json, unreadable

_CHUNK = msgspec.json.Decoder(ChatChunk)


class _Entry(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[msgspec.Raw]


class OpenAIDialect(Dialect):
    """Speak to any service that answers ``/v1/chat/completions``."""

    generation: ClassVar[str] = "openai"

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Ask for the model list: a stranger has no status route."""
        return Operation(self._get("/v1/models", "health.check", options), _parse_any_status)

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Ask for a whole answer."""
        return Operation(self._chat_call(request, options, "chat.complete", stream=False), parse_completion)

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Ask for an answer in chunks, with usage at the end."""
        return Operation(self._chat_call(request, options, label, stream=True), parse_chunk)

    def list_models(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """List the models the service knows."""
        return Operation(self._get("/v1/models", "models.list", options), parse_models)

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters as this service wants them spelt."""
        return request.params

    def _chat_call(self, request: ChatRequest, options: Options, label: str, *, stream: bool) -> Call:
        body: dict[str, object] = {"model": request.id, "messages": request.messages}
        body |= self.chat_fields(request)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return self._call("POST", "/v1/chat/completions", label, options, body, request.model)

    def _get(self, path: str, label: str, options: Options, model: str = "") -> Call:
        return self._call("GET", path, label, options, None, model)

    def _call(
        self, method: str, path: str, label: str, options: Options, body: object, model: str = ""
    ) -> Call:
        return Call(
            method,
            path,
            None if body is None else encode_json(body),
            Replay.ALWAYS,
            options.timeouts,
            options.until,
            label=label,
            model=model,
            headers=options.headers,
            cancel=options.cancel,
            retries=options.retries,
            header_limit=self.header_limit,
        )


def parse_chunk(event: bytes) -> ChatChunk:
    """Read one event of a streamed answer.

    Raises:
        ServiceError: The event is an error.
        InvalidReply: The event is no chunk.
    """
    try:
        chunk = _CHUNK.decode(event)
    except UNDECODABLE as error:
        raise error_in(event) or unreadable(error, event) from None
    if chunk.error:
        raise error_in(event) or InvalidReply(
            "the event holds an error that cannot be read", body=event[:2048]
        )
    if chunk.choices is None and chunk.usage is None:
        raise InvalidReply("the event is no chat chunk: it has neither choices nor usage", where="$.choices")
    chunk.event = event
    return chunk


def parse_completion(reply: Reply) -> ChatReply:
    """Read a whole answer.

    Raises:
        InvalidReply: It has no choice, or a field of a wrong type.
    """
    try:
        whole = _CHUNK.decode(reply.body)
    except UNDECODABLE as error:
        raise unreadable(error, reply.body, reply.url) from None
    if not whole.choices:
        raise InvalidReply(
            "the answer has no choices", where="$.choices", body=reply.body[:2048], url=reply.url
        )
    return ChatReply(
        content=whole.content,
        finish_reason=whole.finish_reason,
        usage=whole.usage or Usage(),
        model=whole.model or "",
        id=whole.id or "",
        created=whole.created,
        tool_calls=tuple(whole.tool_calls),
        reasoning=whole.reasoning,
        elapsed=reply.elapsed,
        headers=reply.headers,
        bodies=(reply.body,),
    )


def parse_models(reply: Reply) -> list[ModelInfo]:
    """Read the model list, an envelope with ``data`` or a bare array."""
    bare = reply.body.lstrip()[:1] == b"["
    items = reply.decode(list[msgspec.Raw]) if bare else reply.decode(_Listing).data
    return [_model(bytes(item), reply.url) for item in items]


def _model(entry: bytes, url: str) -> ModelInfo:
    found = decode_json(entry, _Entry, url)
    name, _, version = found.id.rpartition(":") if ":" in found.id else (found.id, "", "")
    return ModelInfo(id=found.id, name=name, version=version, raw=decode_json(entry, object, url))


def _parse_any_status(reply: Reply) -> ServiceStatus:
    return ServiceStatus(raw=reply.raw, headers=reply.headers)
