"""The /v1 routes that all generations share; other OpenAI-compatible servers have only these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import msgspec

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import InvalidReply, StreamInterrupted
from foundry_rest.errors.parsing import error_in, failed_choice, stream_error
from foundry_rest.errors.process import late_import
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ServiceStatus, Usage
from foundry_rest.schema.chat import FAILED_REASONS
from foundry_rest.schema.request import Message
from foundry_rest.schema.thoughts import LONE_CLOSING, MAY_BEGIN, split_thoughts
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import decode_odd

if TYPE_CHECKING:
    from foundry_rest.dialects.model_routes import ModelRoutes
    from foundry_rest.dialects.responses import ResponsesRoutes
    from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest

_CHUNK = msgspec.json.Decoder(ChatChunk)
#: Fields of a message part that hold media, as named by OpenAI.
_MEDIA = ("image_url", "input_audio", "file")


class OpenAIDialect(Dialect):
    """The dialect of any service with ``/v1/chat/completions``.

    Attributes:
        joins_texts: Content in parts has to be sent as one text.
        converts: Parameters of a chat request that the service expects in another form, see ``chat_fields``.
    """

    generation: ClassVar[str] = "openai"
    has_status: ClassVar[bool] = False
    limits_calls: ClassVar[bool] = True
    enforces_schema: ClassVar[bool | None] = None
    joins_texts: ClassVar[bool] = False
    converts: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def at(cls, url: str) -> OpenAIDialect:
        """Return the dialect of a server at a base URL, whose own path stands in place of ``/v1``."""
        dialect = cls()
        dialect.omits_version = bool(urlsplit(url).path)
        return dialect

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the model list, because other servers have no status route."""
        return Operation(self.build_get("/v1/models", "health.check", options), _parse_status)

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Build the request for a whole completion."""
        return Operation(self._chat_call(request, options, "chat.complete", stream=False), parse_completion)

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Build the request for a streamed completion, with usage at its end."""
        return Operation(self._chat_call(request, options, label, stream=True), parse_chunk)

    def models(self) -> ModelRoutes:
        """Return the routes for models."""
        with late_import():
            from foundry_rest.dialects.model_routes import OpenAIModelRoutes

        return OpenAIModelRoutes(self)

    def embed(self, request: EmbeddingRequest, options: Options) -> Operation[Reply, EmbeddingReply]:
        """Build the request for one vector per text."""
        from foundry_rest.dialects.embeddings import parse_embeddings

        body = {"model": request.id, "input": request.texts}
        call = self.build_call(
            "POST", "/v1/embeddings", "embeddings.create", options, body, request.model, cacheable=True
        )
        return Operation(call, partial(parse_embeddings, count=len(request.texts)))

    def responses(self) -> ResponsesRoutes:
        """Return the routes of the Responses API."""
        with late_import():
            from foundry_rest.dialects.responses import ResponsesRoutes

        return ResponsesRoutes(self)

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters in the service's form; called when one of ``converts`` is among them."""
        return request.params

    def _chat_call(self, request: ChatRequest, options: Options, label: str, *, stream: bool) -> Call:
        if not self.reads_media and any(map(_has_media, request.messages)):
            self.unsupported(
                "pictures, sound or files in chat",
                "A picture goes as a data: URL into client.responses.create(), a sound file to client.audio.",
            )
        messages = _joined(request.messages) if self.joins_texts else request.messages
        body: dict[str, object] = {"model": request.id, "messages": messages}
        body |= request.params if self.converts.isdisjoint(request.params) else self.chat_fields(request)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        replay = Replay.IF_UNSENT if request.is_trial else Replay.ALWAYS
        return self.build_call(
            "POST",
            "/v1/chat/completions",
            label,
            options,
            body,
            request.model,
            replay=replay,
            cacheable=True,
        )


def _joined(messages: Iterable[Message]) -> list[Message]:
    from foundry_rest.dialects.text_parts import with_joined_texts

    return with_joined_texts(messages)


def parse_chunk(event: bytes) -> ChatChunk:
    """Parse one event of a streamed completion.

    Raises:
        ServiceError: The event is an error.
        InvalidReply: The event is not a chunk.
    """
    try:
        chunk = _CHUNK.decode(event)
    except UNDECODABLE as error:
        chunk = decode_odd(event, ChatChunk, error, keeps_halves=True)
        chunk.is_odd = True
    if chunk.error and (reported := error_in(event)):
        raise reported
    if chunk.choices is None and chunk.usage is None:
        raise stream_error(event) or InvalidReply(
            "the event is no chat chunk: it has neither choices nor usage", where="$.choices"
        )
    chunk.event = event
    return chunk


def parse_completion(reply: Reply) -> ChatReply:
    """Parse a whole completion.

    Raises:
        InvalidReply: It has no choices, or a field is of the wrong type.
    """
    try:
        completion = _CHUNK.decode(reply.body)
    except UNDECODABLE as error:
        completion = decode_odd(reply.body, ChatChunk, error, reply.url)
    if not completion.choices:
        raise stream_error(reply.body) or InvalidReply(
            "the answer has no choices", where="$.choices", body=reply.body[:2048], url=reply.url
        )
    completion.choices.sort(key=lambda choice: choice.index)
    choice = completion.choices[0]
    part = choice.part
    thoughts, content = "", part.content or part.refusal or ""
    if content[:1] in MAY_BEGIN or LONE_CLOSING in content:
        thoughts, content = split_thoughts(content)
    reason = choice.reason
    if reason is not None and reason.lower() in FAILED_REASONS:
        failure = failed_choice(reply.body, reason)
        if content:
            raise StreamInterrupted(f"the answer broke off: {failure.message}", text=content)
        raise failure
    return ChatReply(
        content=content,
        finish_reason=reason,
        usage=completion.usage or Usage(),
        model=completion.model or "",
        id=completion.id or "",
        created=completion.created,
        tool_calls=tuple(call.whole() for call in part.tool_calls or ()),
        reasoning=part.reasoning + thoughts,
        refusal=part.refusal or "",
        elapsed=reply.elapsed,
        headers=reply.headers,
        bodies=(reply.body,),
        cached=reply.cached,
        stale_for=reply.stale_for,
        url=reply.url,
    )


def _parse_status(reply: Reply) -> ServiceStatus:
    return ServiceStatus(raw=reply.raw, headers=reply.headers)


def _has_media(message: Message) -> bool:
    """Return whether a part of a message holds media; an empty part is left for the service to refuse."""
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else ()
    return any(isinstance(part, Mapping) and any(map(part.get, _MEDIA)) for part in parts)
