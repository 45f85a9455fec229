"""2.x: Microsoft's native runtime (oatpp). Facts: foundry-local-rest.md section 3, measured on 2.2.1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import msgspec

from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.dialects.operation import Operation
from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema import ChatRequest, ModelInfo, ServiceStatus
from foundry_rest.transport.call import (
    NATIVE_HEADER_LIMIT,
    Call,
    Options,
    Replay,
    Reply,
    decode_json,
)

_NOT_IN_SEGMENT = re.compile(r"[^A-Za-z0-9._:~@+-]")


class _Status(msgspec.Struct):
    pid: int
    cache_path: str = msgspec.field(name="modelCachePath")


class _Done(msgspec.Struct):
    status: str = ""


class _Runtime(msgspec.Struct, frozen=True):
    device: str = msgspec.field(default="", name="deviceType")
    provider: str = msgspec.field(default="", name="executionProvider")


class _Numbers(msgspec.Struct, frozen=True):
    context_length: int | None = None


class _SnapshotEntry(msgspec.Struct):
    id: str
    alias: str = ""
    name: str = ""
    version: int | str = ""
    task: str = ""
    runtime: _Runtime = _Runtime()
    size: int | None = msgspec.field(default=None, name="fileSizeMb")
    tool_calling: bool | None = msgspec.field(default=None, name="supportsToolCalling")
    cached: bool | None = None
    numbers: _Numbers = msgspec.field(default=_Numbers(), name="intProperties")


class _Snapshot(msgspec.Struct):
    models: list[msgspec.Raw]


class NativeDialect(OpenAIDialect):
    """Speak to the 2.x native runtime."""

    generation: ClassVar[str] = "native"
    completes_by_stream: ClassVar[bool] = True
    header_limit: ClassVar[int | None] = NATIVE_HEADER_LIMIT

    def status(self, options: Options) -> Operation[Reply, ServiceStatus]:
        """Ask the service how it is; answers in milliseconds even under load."""
        return Operation(self._get("/status", "health.check", options), _parse_status)

    def loaded_models(self, options: Options) -> Operation[Reply, list[str]]:
        """List the ids of the models in memory; waits while one is being loaded."""
        return Operation(self._get("/models/loaded", "models.loaded", options), _parse_names)

    def load_model(self, name: str, options: Options) -> Operation[Reply, str]:
        """Load by alias (2.2.1) or id (announced); a GET that works for as long as the disk needs."""
        return Operation(self._switch("load", name, options), _parse_done)

    def unload_model(self, name: str, options: Options) -> Operation[Reply, str]:
        """Unload by alias (2.2.1) or id (announced)."""
        call = self._switch("unload", name, options)
        return Operation(replace(call, replay=Replay.ALWAYS), _parse_done)

    def read_snapshot(self, content: bytes) -> list[ModelInfo]:
        """Read ``foundry.modelinfo.json``: all models of the catalog, with alias and id."""
        entries = decode_json(content, _Snapshot).models
        return [_from_snapshot(bytes(entry)) for entry in entries]

    def chat_fields(self, request: ChatRequest) -> dict[str, object]:
        """Return the parameters, with the JSON schema where 2.x looks for it.

        2.x takes the value of ``json_schema`` itself as the schema and would enforce nothing of
        OpenAI's wrapper; with both laid over each other either reader finds its own
        (native-runtime-measured.md section 4).
        """
        wrapper = (request.params.get("response_format") or {}).get("json_schema")  # type: ignore[attr-defined]
        if not isinstance(wrapper, Mapping) or not isinstance(wrapper.get("schema"), Mapping):
            return request.params
        both = {**wrapper, **wrapper["schema"]}
        return {**request.params, "response_format": {"type": "json_schema", "json_schema": both}}

    def _switch(self, verb: str, name: str, options: Options) -> Call:
        """Build a load or unload: sent raw (2.x never decodes %3A), with the load's long time-out."""
        if _NOT_IN_SEGMENT.search(name) or not name.strip("."):
            raise ConfigError(f"model {name!r} is no alias or id of this service", call=f"models.{verb}")
        patient = replace(options.timeouts, first_token=options.timeouts.load)
        call = self._get(f"/models/{verb}/{name}", f"models.{verb}", options, name)
        return replace(call, timeouts=patient, replay=Replay.IF_UNSENT)


def _parse_status(reply: Reply) -> ServiceStatus:
    status = reply.decode(_Status)
    return ServiceStatus(pid=status.pid, cache_path=status.cache_path, raw=reply.raw, headers=reply.headers)


def _parse_names(reply: Reply) -> list[str]:
    return reply.decode(list[str])


def _parse_done(reply: Reply) -> str:
    done = reply.decode(_Done).status
    if not done:
        raise InvalidReply("the answer does not say what was done", where="$.status", url=reply.url)
    return done


def _from_snapshot(entry: bytes) -> ModelInfo:
    found = decode_json(entry, _SnapshotEntry)
    return ModelInfo(
        id=found.id,
        alias=found.alias,
        name=found.name or found.id.partition(":")[0],
        version=str(found.version),
        device=found.runtime.device,
        execution_provider=found.runtime.provider,
        size=None if found.size is None else found.size * 1024 * 1024,
        task=found.task,
        tool_calling=found.tool_calling,
        context_length=found.numbers.context_length,
        cached=found.cached,
        raw=decode_json(entry, object),
    )
