"""The model directory of a service on this machine: its catalog file and its models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from foundry_rest.config import is_loopback
from foundry_rest.private_files import read_regular
from foundry_rest.raw_json import UNDECODABLE

#: Name of the catalog file in the model directory, in all generations.
SNAPSHOT = "foundry.modelinfo.json"
#: File in each model's folder that holds its id. Folders lie two levels deep; a third is searched, too.
_ID_FILE = "inference_model.json"
_DEPTH = 3
#: Most bytes of a file that are read: the catalog of 2.2.1 has less than one MiB.
_MOST_BYTES = 64 * 1024 * 1024
#: File that lies beside it while the model is being downloaded.
_DOWNLOAD_FILE = "download.tmp"


class _IdFile(msgspec.Struct):
    name: str = msgspec.field(default="", name="Name")


def local_folder(cache_path: str, url: str) -> Path | None:
    """Return the model directory of the service at ``url``; ``None`` if it is not on this machine."""
    if not cache_path or _is_remote(cache_path) or not is_loopback(url):
        return None
    folder = Path(cache_path)
    try:
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # one that may not be looked at, or a name that none can have
        return None


def _is_remote(path: str) -> bool:
    """Return whether Windows would ask another machine for a path, and log in there, or a device."""
    return path.replace("/", "\\").startswith("\\\\")


def read_snapshot_file(folder: Path) -> bytes:
    """Return the bytes of the catalog file in a model directory; ``b""`` if it cannot be read."""
    try:
        return read_regular(folder / SNAPSHOT, _MOST_BYTES)
    except OSError:
        return b""


def cached_ids(folder: Path) -> set[str]:
    """Return the ids of the fully downloaded models in a model directory."""
    ids: set[str] = set()
    for file in _id_files(folder, _DEPTH):
        try:
            ids.add(msgspec.json.decode(read_regular(file, _MOST_BYTES), type=_IdFile).name)
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
        if depth and _is_folder(entry):
            yield from _id_files(Path(entry.path), depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
