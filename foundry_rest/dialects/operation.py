"""Operation = a call and how to read its answer; Dialect = the table of operations.

A generation is one subclass in one file. What it does not override it lacks, and asking for that
raises ``UnsupportedByService`` before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, NoReturn, TypeVar

from foundry_rest.errors import UnsupportedByService
from foundry_rest.schema import ChatChunk, ChatReply, ChatRequest, ModelInfo, ServiceStatus
from foundry_rest.transport.call import Call, Options, Reply

A = TypeVar("A", contravariant=True)
T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class Operation(Generic[A, T]):
    """Hold one call and the pure function that reads its answer.

    Attributes:
        call: What to send.
        parse: Reads a whole ``Reply``, or one event's data of a stream.
    """

    call: Call
    parse: Callable[[A], T]


class Dialect:
    """Spell every operation; here each is unsupported.

    Attributes:
        generation: Name in reports and errors.
        completes_by_stream: A plain completion must run over a stream, because closing a plain
            request does not stop the service's work.
        header_limit: Most bytes of request headers that the service bears, or ``None``.
    """

    generation: ClassVar[str] = "unknown"
    completes_by_stream: ClassVar[bool] = False
    header_limit: ClassVar[int | None] = None

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Ask the service how it is."""
        self.unsupported("status")

    def chat(self, request: ChatRequest, options: Options) -> Operation[Reply, ChatReply]:
        """Ask for a whole answer."""
        self.unsupported("chat")

    def chat_stream(
        self, request: ChatRequest, options: Options, label: str = "chat.stream"
    ) -> Operation[bytes, ChatChunk]:
        """Ask for an answer in chunks."""
        self.unsupported("streamed chat")

    def list_models(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """List the models the service knows."""
        self.unsupported("list of models")

    def loaded_models(self, options: Options) -> Operation[Reply, list[str]]:
        """List the ids of the models in memory."""
        self.unsupported("list of loaded models")

    def load_model(self, name: str, options: Options) -> Operation[Reply, str]:
        """Load a model into memory; the answer is the service's word for what it did."""
        self.unsupported("loading a model")

    def unload_model(self, name: str, options: Options) -> Operation[Reply, str]:
        """Drop a model from memory; the answer is the service's word for what it did."""
        self.unsupported("unloading a model")

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Read the catalog file that the service keeps in its model directory."""
        self.unsupported("catalog file")

    def download_model(self, name: str, options: Options) -> Operation[Reply, str]:
        """Fetch a model onto the service's machine."""
        self.unsupported("download over REST", "Download with the foundry command or foundry-local-sdk.")

    def unsupported(self, feature: str, advice: str = "") -> NoReturn:
        """Raise UnsupportedByService for ``feature``."""
        raise UnsupportedByService(
            f"the {self.generation} service has no {feature}",
            feature=feature,
            generation=self.generation,
            advice=advice or "Give base_url= of a Foundry Local service that has it.",
        )
