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
ID_FILE = "inference_model.json"
_DEPTH = 3
#: Most bytes of a file that are read: the catalog of 2.2.1 has less than one MiB.
_MOST_BYTES = 64 * 1024 * 1024
#: File that lies beside it while the model is being downloaded.
DOWNLOAD_FILE = "download.tmp"
#: Bytes of the unit in which POSIX counts a file's blocks.
_BLOCK = 512


class _IdFile(msgspec.Struct):
    name: str = msgspec.field(default="", name="Name")


def local_folder(cache_path: str, url: str) -> Path | None:
    """Return the model directory of the service at ``url``; ``None`` if it is not on this machine."""
    if not cache_path or is_remote(cache_path) or not is_loopback(url):
        return None
    folder = Path(cache_path)
    try:
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # one that may not be looked at, or a name that none can have
        return None


def is_remote(path: str) -> bool:
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
    return {id_ for id_, _ in model_folders(folder)}


def model_folders(directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the id and the folder of each fully downloaded model in a model directory."""
    for folder, names in _folders(directory, _DEPTH):
        if ID_FILE in names and DOWNLOAD_FILE not in names:
            try:
                file = read_regular(folder / ID_FILE, _MOST_BYTES)
                yield msgspec.json.decode(file, type=_IdFile).name, folder
            except (OSError, *UNDECODABLE):
                continue


def unfinished_size(directory: Path, id_: str) -> int:
    """Return how many bytes on the disk an unfinished download of a model takes, which the next one keeps."""
    own_names = {id_.replace(":", "-").casefold(), id_.partition(":")[0].casefold()}
    return sum(
        _size_on_disk(folder / name)
        for folder, names in _folders(directory, _DEPTH)
        if DOWNLOAD_FILE in names and own_names & _parts(folder, directory)
        for name in names
    )


def _parts(folder: Path, directory: Path) -> set[str]:
    return {part.casefold() for part in folder.relative_to(directory).parts}


def _size_on_disk(file: Path) -> int:
    """Return the bytes that a file really takes: a download may make it as long as it will be at once."""
    try:
        status = file.lstat()
    except OSError:
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _BLOCK


def _folders(folder: Path, depth: int) -> Iterator[tuple[Path, set[str]]]:
    """Yield a folder and those below it, each with the names in it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    yield folder, {entry.name for entry in entries}
    for entry in entries:
        if depth and _is_folder(entry):
            yield from _folders(Path(entry.path), depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
