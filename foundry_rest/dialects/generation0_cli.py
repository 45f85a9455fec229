"""The dialect of 0.x, the service of the ``foundry`` command (docs/reference/service.md, section 4.1).

The documents and the service's own client disagree on the case of names and on the shape of lists, so
names are read in any case, and a list may come bare or inside an object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from foundry_rest.checks import whole_number
from foundry_rest.dialects.case_insensitive import convert_any_case, decode_any_case, folded
from foundry_rest.dialects.catalog_file import read_snapshot
from foundry_rest.dialects.generation0_download import Steps, source_of
from foundry_rest.dialects.model_routes import ModelRoutes
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.dialects.text_parts import with_joined_texts
from foundry_rest.errors import ConfigError
from foundry_rest.schema import ChatRequest, DownloadStep, ModelInfo, ServiceStatus
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import decode_answer

#: Seconds without use until a model may be unloaded: the default of the command and of Microsoft's client.
DEFAULT_TTL = 600
_MEGABYTE = 1024 * 1024


class _Status(msgspec.Struct):
    modeldirpath: str | None


class _Runtime(msgspec.Struct):
    devicetype: str | None = None
    executionprovider: str | None = None


class _Entry(msgspec.Struct):
    name: str
    alias: str | None = None
    version: int | str | None = None
    task: str | None = None
    runtime: dict[str, object] | None = None
    filesizemb: int | None = None
    supportstoolcalling: bool | None = None


class _Count(msgspec.Struct):
    tokencount: int


class Generation0Dialect(OpenAIDialect):
    """The dialect of the 0.x service."""

    generation: ClassVar[str] = "0.x"
    has_status: ClassVar[bool] = True
    limits_calls: ClassVar[bool] = False
    enforces_schema: ClassVar[bool | None] = False
    joins_texts: ClassVar[bool] = True
    guards_unload: ClassVar[bool] = False

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Build the request for the status, which holds the model directory but no pid."""
        return Operation(self.build_get("/openai/status", "health.check", options), _parse_status)

    def count_tokens(self, request: ChatRequest, options: Options) -> Operation[Reply, int]:
        """Build the request for a conversation's number of tokens; no other generation has one."""
        if request.params.get("tools"):
            self.unsupported("token counting with tools", "Read usage.prompt_tokens of an answer instead.")
        body = {"model": request.id, "messages": with_joined_texts(request.messages)}
        path = "/v1/chat/completions/tokenizer/encode/count"
        call = self.build_call("POST", path, "chat.count_tokens", options, body, request.model)
        return Operation(call, _parse_count)

    def models(self) -> ModelRoutes:
        """Return the routes for models."""
        return _ModelRoutes(self)

    # 0.x has no Responses API.
    responses = Dialect.responses


class _ModelRoutes(ModelRoutes):
    """The routes for models of the 0.x service."""

    def listed(self, options: Options) -> Operation[Reply, list[ModelInfo]]:
        """Build the request for the catalog, sorted by the service: NPU, GPU, CPU, special before generic."""
        return Operation(self._dialect.build_get("/foundry/list", "models.list", options), _parse_catalog)

    def cached(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids of the models on the service's disk."""
        return Operation(self._dialect.build_get("/openai/models", "models.cached", options), _parse_names)

    def loaded(self, options: Options) -> Operation[Reply, list[str]]:
        """Build the request for the ids of the models in memory."""
        return Operation(
            self._dialect.build_get("/openai/loadedmodels", "models.loaded", options), _parse_names
        )

    def load(
        self, name: str, options: Options, *, ttl: int | None = None, provider: str = ""
    ) -> Operation[Reply, str]:
        """Build the request that loads a model by exact id: a GET that lasts as long as the load.

        Args:
            name: Exact id.
            options: Options of the call.
            ttl: Seconds without use until the service unloads it; default 600, as in Microsoft's client.
            provider: Execution provider, such as ``"cuda"`` or ``"CUDAExecutionProvider"``.

        Raises:
            ConfigError: ``ttl`` is not a whole number above 0, or ``name`` is not an id.
        """
        seconds = whole_number("ttl", DEFAULT_TTL if ttl is None else ttl, 1)
        query: dict[str, object] = {"ttl": seconds}
        if provider:
            query["ep"] = provider.removesuffix("ExecutionProvider").lower()
        call = replace(self._load_or_unload("load", name, query, options), replay=Replay.IF_UNSENT)
        return Operation(call, _parse_done("loaded"))

    def unload(self, name: str, options: Options, *, force: bool = False) -> Operation[Reply, str]:
        """Build the request that unloads by exact id; without ``force`` a model stays until its ttl ends."""
        call = self._load_or_unload("unload", name, {"force": "true" if force else "false"}, options)
        return Operation(call, _parse_done("unloaded"))

    def unload_all(self, options: Options) -> Operation[Reply, str]:
        """Build the request that unloads every model."""
        call = self._dialect.build_get("/openai/unloadall", "models.unload", options.patient())
        return Operation(call, _parse_done("unloaded"))

    def download(self, info: ModelInfo, options: Options) -> Operation[bytes, DownloadStep]:
        """Build the download of a model from the address in its catalog entry; each line is one step.

        Only the last step is ``done``, and only when the service reports it. Minutes may pass between two
        lines (``Timeouts.load``).

        Raises:
            ConfigError: ``info`` does not come from this service's catalog.
        """
        body = {"model": source_of(info), "token": "", "IgnorePipeReport": True}
        call = self._dialect.build_call(
            "POST", "/openai/download", "models.download", options.patient(), body, info.id
        )
        return Operation(replace(call, replay=Replay.IF_UNSENT, lines=True), Steps())

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Return all models in ``foundry.modelinfo.json``, with alias and id."""
        return read_snapshot(content)

    def _load_or_unload(self, verb: str, name: str, query: dict[str, object], options: Options) -> Call:
        if not name.strip("."):
            raise ConfigError(f"model {name!r} is no id of this service", call=f"models.{verb}")
        path = f"/openai/{verb}/{quote(name, safe=':@+~')}?{urlencode(query)}"
        return self._dialect.build_get(path, f"models.{verb}", options.patient(), name)


def _parse_status(reply: Reply) -> ServiceStatus:
    path = decode_any_case(reply.body, _Status, reply.url).modeldirpath
    return ServiceStatus(cache_path=path or "", raw=reply.raw, headers=reply.headers)


def _parse_count(reply: Reply) -> int:
    return decode_any_case(reply.body, _Count, reply.url).tokencount


def _parse_names(reply: Reply) -> list[str]:
    return [decode_answer(bytes(item), str, reply.url) for item in _list_items(reply)]


def _parse_catalog(reply: Reply) -> list[ModelInfo]:
    return [_model(bytes(item), reply.url) for item in _list_items(reply)]


def _list_items(reply: Reply) -> list[msgspec.Raw]:
    """Return the items of a bare list, or of the list in an object's ``models``."""
    if reply.body.lstrip()[:1] != b"{":
        return decode_answer(reply.body, list[msgspec.Raw], reply.url)
    fields = folded(decode_answer(reply.body, dict[str, msgspec.Raw], reply.url))
    return decode_answer(bytes(fields.get("models", b"null")), list[msgspec.Raw], reply.url)


def _model(entry: bytes, url: str) -> ModelInfo:
    parsed = decode_any_case(entry, _Entry, url)
    runtime = convert_any_case(parsed.runtime or {}, _Runtime, entry, url)
    name, _, version = parsed.name.partition(":")
    return ModelInfo(
        id=parsed.name,
        alias=parsed.alias or "",
        name=name,
        version=str(version if parsed.version in (None, "") else parsed.version),
        device=runtime.devicetype or "",
        execution_provider=runtime.executionprovider or "",
        size=None if parsed.filesizemb is None else parsed.filesizemb * _MEGABYTE,
        task=parsed.task or "",
        tool_calling=parsed.supportstoolcalling,
        raw=decode_answer(entry, object, url),
    )


def _parse_done(outcome: str) -> Callable[[Reply], str]:
    def parse(reply: Reply) -> str:
        """Return ``outcome``, for the service reports none; the body must be empty or JSON, not HTML."""
        if reply.body.strip():
            reply.decode(object)
        return outcome

    return parse
