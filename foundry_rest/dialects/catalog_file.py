"""The catalog file ``foundry.modelinfo.json`` that every generation keeps in its model directory.

Its content is described in docs/reference/service.md, section 12.1. Generations leave out different fields,
but use the same names.
"""

from __future__ import annotations

import msgspec

from foundry_rest.schema import ModelInfo
from foundry_rest.transport.json_codec import decode_answer


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


def read_snapshot(content: bytes) -> list[ModelInfo]:
    """Return all models in the content of the file, with alias and id.

    Raises:
        InvalidReply: It is not a catalog file, or was read while it was being written.
    """
    entries = decode_answer(content, _Snapshot).models
    return [_model(bytes(entry)) for entry in entries]


def _model(entry: bytes) -> ModelInfo:
    parsed = decode_answer(entry, _SnapshotEntry)
    return ModelInfo(
        id=parsed.id,
        alias=parsed.alias,
        name=parsed.name or parsed.id.partition(":")[0],
        version=str(parsed.version),
        device=parsed.runtime.device,
        execution_provider=parsed.runtime.provider,
        size=None if parsed.size is None else parsed.size * 1024 * 1024,
        task=parsed.task,
        tool_calling=parsed.tool_calling,
        context_length=parsed.numbers.context_length,
        cached=parsed.cached,
        raw=decode_answer(entry, object),
    )
