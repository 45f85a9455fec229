"""Operation = a call and how to read its answer; Dialect = the table of operations.

A generation is one subclass in one file. What it does not override it lacks, and asking for that
raises ``UnsupportedByService`` before anything is sent. ``docs/generations.md`` is written from these
classes: an operation counts as supported where a class has one of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Generic, NoReturn, TypeVar

import msgspec

from foundry_rest.errors import UnsupportedByService
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import encode_json

if TYPE_CHECKING:
    from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ModelInfo, ServiceStatus
    from foundry_rest.schema.audio import Transcription, TranscriptionChunk, TranscriptionRequest
    from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest
    from foundry_rest.schema.models import DownloadStep
    from foundry_rest.schema.responses import (
        InputItem,
        Response,
        ResponseEvent,
        ResponsePage,
        ResponseRequest,
    )

A = TypeVar("A", contravariant=True)
T = TypeVar("T", covariant=True)


class Operation(msgspec.Struct, Generic[A, T], frozen=True):
    """One call and the pure function that reads its answer.

    Attributes:
        call: What to send.
        parse: Reads a whole ``Reply``, or one event's data of a stream.
    """

    call: Call
    parse: Callable[[A], T]


class Dialect:
    """The spelling of every operation; here each is unsupported.

    Attributes:
        generation: Name in reports and errors.
        completes_by_stream: A plain completion must run over a stream, because closing a plain
            request does not stop the service's work.
        header_limit: Most bytes of request headers that the service bears, or ``None``.
        asks_by_id: Requests on a model take its exact id alone; else the service knows its aliases, too.
        loads_by_alias: Loading takes the alias, and the service picks the variant; else it takes an id,
            and its refusal does not tell why.
        enforces_schema: ``response_format`` steers what the model writes; else it is ignored in silence.
        checks_tasks: A chat model on the embeddings route is refused; else it kills the service.
        guards_unload: A model on which an answer runs is not unloaded; else that may kill the service.
        keeps_conversations: An unknown ``previous_response_id`` is refused; else it is ignored in silence.
        reads_media: Pictures and sound in a chat may reach the model; else they are dropped in silence.
    """

    generation: ClassVar[str] = "unknown"
    completes_by_stream: ClassVar[bool] = False
    header_limit: ClassVar[int | None] = None
    asks_by_id: ClassVar[bool] = False
    loads_by_alias: ClassVar[bool] = False
    enforces_schema: ClassVar[bool] = True
    checks_tasks: ClassVar[bool] = True
    guards_unload: ClassVar[bool] = True
    keeps_conversations: ClassVar[bool] = True
    reads_media: ClassVar[bool] = True

    # ---------------------------------------------------------------- the service

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Ask the service how it is."""
        self.unsupported("status")

    # ---------------------------------------------------------------- chat

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Ask for a whole answer."""
        self.unsupported("chat")

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Ask for an answer in chunks."""
        self.unsupported("streamed chat")

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[Reply, int]:
        """Ask how many tokens a conversation has."""
        self.unsupported("token counting", "Read usage.prompt_tokens of an answer instead.")

    # ---------------------------------------------------------------- models

    def list_models(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """List the models the service knows."""
        self.unsupported("list of models")

    def cached_models(self, options: Options) -> Operation[Reply, list[str]]:
        """List the ids of the models on the service's disk."""
        self.unsupported("list of cached models")

    def loaded_models(self, options: Options) -> Operation[Reply, list[str]]:
        """List the ids of the models in memory."""
        self.unsupported("list of loaded models")

    def load_model(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Load a model into memory; the answer is the service's word for what it did.

        Args:
            name: Alias or id, see ``loads_by_alias``.
            ttl: Seconds without use after which the service may drop it; ``None`` for its default.
            provider: Execution provider in place of the model's own, such as ``"cuda"``.
        """
        self.unsupported("loading a model")

    def unload_model(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
        """Drop a model from memory; the answer is the service's word for what it did.

        Args:
            name: Alias or id.
            force: Drop it though its time to live is not over.
        """
        self.unsupported("unloading a model")

    def unload_all(self, options: Options) -> Operation[Reply, str]:
        """Drop every model from memory in one request."""
        self.unsupported("route to unload all models")

    def download_model(self, info: ModelInfo, options: Options) -> Operation[bytes, DownloadStep]:
        """Fetch a model onto the service's machine; each line of the answer is one step."""
        self.unsupported_download()

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Read the catalog file that the service keeps in its model directory."""
        self.unsupported("catalog file")

    # ---------------------------------------------------------------- embeddings and audio

    def embed(self, request: EmbeddingRequest, options: Options) -> Operation[Reply, EmbeddingReply]:
        """Ask for one vector a text."""
        self.unsupported("embeddings")

    def transcribe(self, request: TranscriptionRequest, options: Options) -> Operation[Reply, Transcription]:
        """Ask what is said in an audio file of the service's machine."""
        self.unsupported("audio transcription")

    def transcribe_stream(
        self, request: TranscriptionRequest, options: Options
    ) -> Operation[bytes, TranscriptionChunk]:
        """Ask for a transcription in pieces."""
        self.unsupported("streamed audio transcription")

    # ---------------------------------------------------------------- responses

    def create_response(self, request: ResponseRequest, options: Options) -> Operation[Reply, Response]:
        """Ask for a response."""
        self.unsupported("Responses API")

    def stream_response(
        self, request: ResponseRequest, options: Options, label: str = "responses.stream"
    ) -> Operation[bytes, ResponseEvent]:
        """Ask for a response in events."""
        self.unsupported("streamed Responses API")

    def get_response(self, id: str, options: Options) -> Operation[Reply, Response]:
        """Read a stored response."""
        self.unsupported("stored responses")

    def delete_response(self, id: str, options: Options) -> Operation[Reply, bool]:
        """Forget a stored response."""
        self.unsupported("stored responses")

    def list_responses(
        self, options: Options, *, limit: int | None = None, after: str | None = None
    ) -> Operation[Reply, ResponsePage]:
        """List the stored responses."""
        self.unsupported("stored responses")

    def input_items(self, id: str, options: Options) -> Operation[Reply, list[InputItem]]:
        """List what a stored response was asked."""
        self.unsupported("stored responses")

    # ---------------------------------------------------------------- for subclasses

    def unsupported(self, feature: str, advice: str = "") -> NoReturn:
        """Raise UnsupportedByService for ``feature``."""
        raise UnsupportedByService(
            f"the {self.generation} service has no {feature}",
            feature=feature,
            generation=self.generation,
            advice=advice or "Give base_url= of a Foundry Local service that has it.",
        )

    def unsupported_download(self) -> NoReturn:
        """Raise UnsupportedByService for a download."""
        self.unsupported(
            "download over REST",
            "Download with the command `foundry model download`, or let "
            "FoundryAPIClient.embedded() download it.",
        )

    @classmethod
    def has(cls, operation: str) -> bool:
        """Tell whether the generation has an operation, by the name of its method here."""
        return getattr(cls, operation) is not getattr(Dialect, operation)

    def build_get(self, path: str, label: str, options: Options, model: str = "") -> Call:
        """Return a GET that may be asked twice."""
        return self.build_call("GET", path, label, options, None, model)

    def build_call(
        self, method: str, path: str, label: str, options: Options, body: object, model: str = ""
    ) -> Call:
        """Return a call with a JSON body (``None`` for none) that may be asked twice."""
        content = None if body is None else encode_json(body)
        return Call(method, path, content, Replay.ALWAYS, options, label, model, self.header_limit)


#: Speaks for a service that was not asked yet: it has nothing.
UNKNOWN = Dialect()
