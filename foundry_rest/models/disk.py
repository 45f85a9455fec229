"""The model directory of a service on this machine: its catalog file and its models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from foundry_rest.config import is_loopback
from foundry_rest.raw_json import UNDECODABLE

#: Name of the catalog file in the model directory, in all generations.
SNAPSHOT = "foundry.modelinfo.json"
#: File in each model's folder that holds its id. Folders lie two levels deep; a third is searched, too.
_ID_FILE = "inference_model.json"
_DEPTH = 3
#: File that lies beside it while the model is being downloaded.
_DOWNLOAD_FILE = "download.tmp"


class _IdFile(msgspec.Struct):
    name: str = msgspec.field(default="", name="Name")


def local_folder(cache_path: str, url: str) -> Path | None:
    """Return the model directory of the service at ``url``; ``None`` if it is not on this machine."""
    folder = Path(cache_path)
    return folder if cache_path and is_loopback(url) and folder.is_dir() else None


def read_snapshot_file(folder: Path) -> bytes:
    """Return the bytes of the catalog file in a model directory; ``b""`` if it cannot be read."""
    try:
        return (folder / SNAPSHOT).read_bytes()
    except OSError:
        return b""


def cached_ids(folder: Path) -> set[str]:
    """Return the ids of the fully downloaded models in a model directory."""
    ids: set[str] = set()
    for file in _id_files(folder, _DEPTH):
        try:
            ids.add(msgspec.json.decode(file.read_bytes(), type=_IdFile).name)
        except (OSError, *UNDECODABLE):
            continue
    return ids


def _id_files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    names = {entry.name for entry in entries}
    if _ID_FILE in names and _DOWNLOAD_FILE not in names:
        yield folder / _ID_FILE
    for entry in entries:
        if depth and entry.is_dir():
            yield from _id_files(Path(entry.path), depth - 1)
