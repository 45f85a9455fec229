"""The routes for models: none in the base class, the list that all servers have, and those of 1.x and 2.x.

Most programs only chat, so this is imported by the first request for models.
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec
from msgspec.structs import replace

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import decode_answer

_DOWNLOAD = Advice(
    Words(
        "Download with the command `foundry model download`, or let FoundryAPIClient.embedded() download it.",
        "Download with the command `foundry model download`, or fetch it with: foundry-rest download "
        "--embedded NAME.",
    )
)
_UNLOAD = Advice(
    Words(
        "Call client.models.unload(name) when it is not needed.",
        "Run foundry-rest unload NAME when it is not needed.",
    )
)
_NOT_IN_SEGMENT = r"[^A-Za-z0-9._:~@+-]"


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


class _Outcome(msgspec.Struct):
    status: str = ""


class ModelRoutes:
    """The routes for the models of a service, in its dialect; in this base class each is unsupported."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def listed(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """Build the request for the models that the service lists."""
        self._dialect.unsupported("list of models")

    def cached(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids of the models on the service's disk."""
        self._dialect.unsupported("list of cached models")

    def loaded(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids of the models in memory."""
        self._dialect.unsupported("list of loaded models")

    def load(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Build the request that loads a model; its result is the reported outcome, such as ``"loaded"``.

        Args:
            name: Alias or id, see ``Dialect.loads_by_alias``.
            ttl: Seconds without use after which the service may unload it; ``None`` for its default.
            provider: Execution provider in place of the model's own, such as ``"cuda"``.
        """
        self._dialect.unsupported("loading a model")

    def unload(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
        """Build the request that unloads a model; its result is the reported outcome, such as ``"unloaded"``.

        Args:
            name: Alias or id.
            force: Whether to unload it before its time to live is over.
        """
        self._dialect.unsupported("unloading a model")

    def unload_all(self, options: Options) -> Operation[Reply, str]:
        """Build the request that unloads every model."""
        self._dialect.unsupported("route to unload all models")

    def download(self, info: ModelInfo, options: Options) -> Operation[bytes, DownloadStep]:
        """Build the download of a model to the service's machine; each line of the response is one step."""
        self.unsupported_download()

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Return the models in the catalog file of the service's model directory."""
        self._dialect.unsupported("catalog file")

    def unsupported_download(self) -> NoReturn:
        """Raise UnsupportedByService for a download."""
        self._dialect.unsupported("download over REST", _DOWNLOAD)

    @classmethod
    def has(cls, operation: str) -> bool:
        """Return whether the generation supports an operation, given by its method's name."""
        return getattr(cls, operation) is not getattr(ModelRoutes, operation)


class OpenAIModelRoutes(ModelRoutes):
    """The routes of any service with ``/v1/models``."""

    def listed(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """Build the request for the models that the service lists."""
        return Operation(self._dialect.build_get("/v1/models", "models.list", options), parse_models)


class NativeModelRoutes(OpenAIModelRoutes):
    """The routes ``/models/...`` of 2.x; 1.x has them, too, and answers in another way."""

    def loaded(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids in memory; 2.x delays the response while a model is being loaded."""
        return Operation(self._dialect.build_get("/models/loaded", "models.loaded", options), _parse_names)

    def load(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Build the request that loads a model: a GET that lasts as long as the load."""
        if ttl is not None:
            self._dialect.unsupported("time to live of a model", _UNLOAD)
        if provider:
            self._dialect.unsupported("choice of the execution provider", "Give device= to choose a variant.")
        return Operation(self._load_or_unload("load", name, options), self.parse_loaded)

    def unload(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
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
        """Return the name unchanged, for 2.x does not decode ``%3A``; ``None`` if it needs encoding."""
        return None if re.search(_NOT_IN_SEGMENT, name) else name

    @staticmethod
    def parse_loaded(reply: Reply) -> str:
        """Return the reported status: ``"loaded"`` or ``"already_loaded"``."""
        return _parse_outcome(reply)

    @staticmethod
    def parse_unloaded(reply: Reply) -> str:
        """Return the reported status: ``"unloaded"`` or ``"not_loaded"``."""
        return _parse_outcome(reply)

    def _load_or_unload(self, verb: str, name: str, options: Options) -> Call:
        """Return the call of a load or unload, with the long timeout of a load."""
        segment = self.segment(name) if name.strip(".") else None
        if segment is None:
            raise ConfigError(f"model {name!r} is no alias or id of this service", call=f"models.{verb}")
        path, label = f"/models/{verb}/{segment}", f"models.{verb}"
        call = self._dialect.build_get(path, label, options.patient(), name)
        return replace(call, replay=Replay.IF_UNSENT)


def parse_models(reply: Reply) -> list[ModelInfo]:
    """Parse the model list: an object with ``data``, or a bare array."""
    bare = reply.body.lstrip()[:1] == b"["
    body, url = reply.body, reply.url
    items = decode_answer(body, list[msgspec.Raw], url) if bare else decode_answer(body, _List, url).data
    return [_model(bytes(item), url) for item in items]


def _model(entry: bytes, url: str) -> ModelInfo:
    parsed = decode_answer(entry, _Entry, url)
    name, _, version = parsed.id.rpartition(":") if ":" in parsed.id else (parsed.id, "", "")
    return ModelInfo(id=parsed.id, name=name, version=version, raw=decode_answer(entry, object, url))


def _parse_names(reply: Reply) -> list[str]:
    return decode_answer(reply.body, list[str], reply.url)


def _parse_outcome(reply: Reply) -> str:
    status = decode_answer(reply.body, _Outcome, reply.url).status
    if not status:
        raise InvalidReply("the answer does not say what was done", where="$.status", url=reply.url)
    return status
