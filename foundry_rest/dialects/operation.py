"""Operation: a call and the parser of its response. Dialect: the operations of one generation.

A generation is one subclass of Dialect in one file. An operation that it does not override is unsupported and
raises ``UnsupportedByService`` before anything is sent. ``docs/reference/generations.md`` is generated from
these classes: an operation counts as supported where a class overrides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

import msgspec

from foundry_rest.errors import UnsupportedByService
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.errors.process import late_import
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import encode_json

if TYPE_CHECKING:
    from foundry_rest.dialects.audio import AudioRoutes
    from foundry_rest.dialects.model_routes import ModelRoutes
    from foundry_rest.dialects.responses import ResponsesRoutes
    from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ServiceStatus
    from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest

A = TypeVar("A", contravariant=True)
T = TypeVar("T", covariant=True)

_ELSEWHERE = Advice(
    Words(
        "Give base_url= of a Foundry Local service that has it.",
        "Give --url of a Foundry Local service that has it.",
    )
)


class Operation(msgspec.Struct, Generic[A, T], frozen=True):
    """One call and the pure function that parses its response.

    Attributes:
        call: The call to send.
        parse: Parses a whole ``Reply``, or the data of one event of a stream.
        check: Raises for an answer that is not whole, where ``parse`` is the caller's own; else ``parse``
            does.
    """

    call: Call
    parse: Callable[[A], T]
    check: Callable[[A], object] | None = None


class Dialect:
    """The operations of a service; in this base class each is unsupported.

    Attributes:
        generation: Name in reports and errors.
        has_status: It has a route for its status; else another one stands for it, which may be missing.
        limits_calls: It bounds the calls it works on by itself; else it works on all at once.
        completes_by_stream: A plain completion must use a stream, because closing a plain request does not
            stop the service's work.
        header_limit: Most bytes of request headers that the service accepts, or ``None``.
        asks_by_id: Requests to a model accept its exact id only; else they accept its alias, too.
        loads_by_alias: Loading takes the alias, and the service picks the variant; else it takes an id,
            and a refusal gives no reason.
        enforces_schema: ``response_format`` constrains the model's output; ``False`` if it is silently
            ignored, ``None`` if nobody knows.
        guides_decoding: The decoder of ``response_format`` takes options, see ``schema/structure``.
        checks_tasks: A chat model on the embeddings route is refused; else it ends the service's process.
        guards_unload: A model in use is not unloaded; else unloading it may end the service's process.
        keeps_conversations: An unknown ``previous_response_id`` is refused; ``False`` if it is silently
            ignored, ``None`` if that differs between the versions.
        counts_by_refusal: The number of a prompt's tokens is in the refusal of the stream that
            ``count_tokens`` asks for; else in its answer.
        reads_media: Images and sound in a chat may reach the model; else they are silently dropped.
    """

    #: Routes begin behind ``/v1``, because the base URL has a path of its own in its place.
    omits_version = False
    generation: ClassVar[str] = "unknown"
    has_status: ClassVar[bool] = True
    limits_calls: ClassVar[bool] = False
    completes_by_stream: ClassVar[bool] = False
    header_limit: ClassVar[int | None] = None
    asks_by_id: ClassVar[bool] = False
    loads_by_alias: ClassVar[bool] = False
    enforces_schema: ClassVar[bool | None] = True
    guides_decoding: ClassVar[bool] = False
    checks_tasks: ClassVar[bool] = True
    guards_unload: ClassVar[bool] = True
    keeps_conversations: ClassVar[bool | None] = True
    reads_media: ClassVar[bool] = True
    counts_by_refusal: ClassVar[bool] = False

    # ---------------------------------------------------------------- the service

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the service's status."""
        self.unsupported("status")

    # ---------------------------------------------------------------- chat

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Build the request for a whole completion."""
        self.unsupported("chat")

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Build the request for a streamed completion."""
        self.unsupported("streamed chat")

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[Any, int]:
        """Build the request for a conversation's number of tokens."""
        self.unsupported("token counting", "Read usage.prompt_tokens of an answer instead.")

    # ---------------------------------------------------------------- models

    def models(self) -> ModelRoutes:
        """Return the routes for models."""
        with late_import():
            from foundry_rest.dialects.model_routes import ModelRoutes

        return ModelRoutes(self)

    # ---------------------------------------------------------------- embeddings and audio

    def embed(self, request: EmbeddingRequest, options: Options) -> Operation[Reply, EmbeddingReply]:
        """Build the request for one vector per text."""
        self.unsupported("embeddings")

    def audio(self) -> AudioRoutes:
        """Return the routes for audio files on the service's machine."""
        self.unsupported("audio transcription")

    # ---------------------------------------------------------------- responses

    def responses(self) -> ResponsesRoutes:
        """Return the routes of the Responses API."""
        self.unsupported("Responses API")

    # ---------------------------------------------------------------- for subclasses

    def unsupported(self, feature: str, advice: str = "") -> NoReturn:
        """Raise UnsupportedByService for ``feature``."""
        raise UnsupportedByService(
            f"the {self.generation} service has no {feature}",
            feature=feature,
            generation=self.generation,
            advice=advice or _ELSEWHERE,
        )

    @classmethod
    def has(cls, operation: str) -> bool:
        """Return whether the generation supports an operation, given by its method's name."""
        return getattr(cls, operation) is not getattr(Dialect, operation)

    def build_get(self, path: str, label: str, options: Options, model: str = "") -> Call:
        """Return a GET that may be repeated."""
        return self.build_call("GET", path, label, options, None, model)

    def build_call(
        self,
        method: str,
        path: str,
        label: str,
        options: Options,
        body: object,
        model: str = "",
        *,
        replay: Replay = Replay.ALWAYS,
        cacheable: bool = False,
    ) -> Call:
        """Return a call with a JSON body, ``None`` for none."""
        content = None if body is None else encode_json(body)
        if self.omits_version:
            path = path.removeprefix("/v1")
        return Call(method, path, content, replay, options, label, model, self.header_limit, cacheable)


#: The dialect of a service that was not probed yet: it supports nothing.
UNKNOWN = Dialect()
