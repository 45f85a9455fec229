"""What the files of a service on this machine tell about its models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from foundry_rest.config import is_loopback
from foundry_rest.errors.parsing import UNDECODABLE

#: Written by the service into its model directory; all generations use this name.
SNAPSHOT = "foundry.modelinfo.json"
#: Marks a model's folder and names its id; models lie two levels deep, three leaves room.
_MARK = "inference_model.json"
_DEPTH = 3
#: Lies beside it while the model is being downloaded.
_HALF = "download.tmp"


class _Mark(msgspec.Struct):
    name: str = msgspec.field(default="", name="Name")


def local_folder(cache_path: str, url: str) -> Path | None:
    """Return the model directory of the service at ``url``; ``None`` when it is not on this machine."""
    folder = Path(cache_path)
    return folder if cache_path and is_loopback(url) and folder.is_dir() else None


def read_snapshot_file(folder: Path) -> bytes:
    """Return the catalog file in a model directory; ``b""`` when it cannot be read."""
    try:
        return (folder / SNAPSHOT).read_bytes()
    except OSError:
        return b""


def cached_ids(folder: Path) -> set[str]:
    """Return the ids of the models whose folders lie whole in a model directory."""
    ids: set[str] = set()
    for mark in _marks(folder, _DEPTH):
        try:
            ids.add(msgspec.json.decode(mark.read_bytes(), type=_Mark).name)
        except (OSError, *UNDECODABLE):
            continue
    return ids


def _marks(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    names = {entry.name for entry in entries}
    if _MARK in names and _HALF not in names:
        yield folder / _MARK
    for entry in entries:
        if depth and entry.is_dir():
            yield from _marks(Path(entry.path), depth - 1)
