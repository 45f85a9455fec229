"""The catalog file ``foundry.modelinfo.json`` that every generation keeps in its model directory.

What is in it: docs/service.md, section 12. Generations differ in what they leave out, not in the spelling.
"""

from __future__ import annotations

import msgspec

from foundry_rest.schema import ModelInfo
from foundry_rest.transport.json_codec import decode_json


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
    """Read the file: all models of the catalog, with alias and id.

    Raises:
        InvalidReply: It is no catalog file, or was caught while it was being written.
    """
    entries = decode_json(content, _Snapshot).models
    return [_from_snapshot(bytes(entry)) for entry in entries]


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
