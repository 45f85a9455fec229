"""The routes ``/models/...``, which 1.x and 2.x share."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ConfigError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.schema import ChatRequest, ModelInfo
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import decode_answer

#: Tokens beyond the context of every model of the catalog.
MORE_THAN_ANY = 1_000_000
_UNLOAD = Advice(
    Words(
        "Call client.models.unload(name) when it is not needed.",
        "Run foundry-rest unload NAME when it is not needed.",
    )
)


class ModelRoutesDialect(OpenAIDialect):
    """The shared dialect of 1.x and 2.x; subclasses encode a name in a path and parse the responses."""

    guards_unload: ClassVar[bool] = False
    counts_by_refusal: ClassVar[bool] = True

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[bytes, int]:
        """Build a stream of more tokens than any context holds, which is refused with the prompt's number.

        Measured on 1.2.4, 2.0.1, 2.1.0 and 2.2.1: in 1 to 4 ms, equal to ``usage.prompt_tokens``. It is a
        stream, so that a version that does not refuse can be stopped at its first event.
        """
        limits = {"max_tokens": MORE_THAN_ANY}
        kept = {name: value for name, value in request.params.items() if name != "max_completion_tokens"}
        asked = replace(request, params={**kept, **limits})
        operation = self.chat_stream(asked, options, "chat.count_tokens")
        return Operation(replace(operation.call, cacheable=False), self._answered)

    def _answered(self, event: bytes) -> int:
        del event
        self.unsupported("token counting", "Read usage.prompt_tokens of an answer instead.")

    def loaded_models(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids in memory; 2.x delays the response while a model is being loaded."""
        return Operation(self.build_get("/models/loaded", "models.loaded", options), _parse_names)

    def load_model(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Build the request that loads a model: a GET that lasts as long as the load."""
        if ttl is not None:
            self.unsupported("time to live of a model", _UNLOAD)
        if provider:
            self.unsupported("choice of the execution provider", "Give device= to choose a variant.")
        return Operation(self._load_or_unload("load", name, options), self.parse_loaded)

    def unload_model(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
        """Build the request that unloads a model; ``force`` has no effect, as there is no time to live."""
        del force
        call = self._load_or_unload("unload", name, options)
        return Operation(replace(call, replay=Replay.ALWAYS), self.parse_unloaded)

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Return all models in ``foundry.modelinfo.json``, with alias and id."""
        from foundry_rest.dialects.catalog_file import read_snapshot

        return read_snapshot(content)

    @staticmethod
    def segment(name: str) -> str | None:
        """Return a model's name as a path segment; ``None`` when it cannot be one."""
        raise NotImplementedError

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Return the outcome in the response to a load."""
        raise NotImplementedError

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Return the outcome in the response to an unload."""
        raise NotImplementedError

    def _load_or_unload(self, verb: str, name: str, options: Options) -> Call:
        """Return the call of a load or unload, with the long timeout of a load."""
        segment = self.segment(name) if name.strip(".") else None
        if segment is None:
            raise ConfigError(f"model {name!r} is no alias or id of this service", call=f"models.{verb}")
        call = self.build_get(f"/models/{verb}/{segment}", f"models.{verb}", options.patient(), name)
        return replace(call, replay=Replay.IF_UNSENT)


def _parse_names(reply: Reply) -> list[str]:
    return decode_answer(reply.body, list[str], reply.url)
