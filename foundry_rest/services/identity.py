"""The name of who answers: one that stays when a service is started again at another port.

A named address is its own name. A service that was found or started here is known by its user and its model
directory. The embedded runtime makes a new directory of links at each start; there the files that the links
lead to are the name, so that a changed model is another one.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from foundry_rest.services.target import Target

#: How the names of the runtime's own directories begin.
PRIVATE_FOLDER = "foundry_rest-"
#: File in each model's folder that is written anew at each start.
_WRITTEN = "inference_model.json"
#: Levels of folders below a private one that hold models.
_DEPTH = 5


def name_of(target: Target, folder: Path | None, *, is_named: bool) -> str:
    """Return the name of who answers at a target; ``""`` if it cannot be known.

    Args:
        target: The target.
        folder: Its model directory on this machine, or ``None``.
        is_named: Whether the user named the address.
    """
    if is_named:
        return f"at {target.url}"
    if not target.is_known or folder is None:
        return ""
    try:
        is_private = any(part.startswith(PRIVATE_FOLDER) for part in folder.parts)
        files = sorted(_files(folder, folder, _DEPTH)) if is_private else []
        place = "" if is_private else os.path.realpath(folder)
    except (OSError, ValueError):
        return ""
    if is_private and not files:
        return ""
    return msgspec.json.encode(("here", _user(), place, files)).decode()


def _files(top: Path, folder: Path, depth: int) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield each file below a folder of links: its place, and what its content is known by."""
    for entry in os.scandir(folder):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if depth:
                yield from _files(top, path, depth - 1)
        elif folder != top and entry.name != _WRITTEN:  # in the top one lies what the runtime writes
            found = path.stat()
            place = path.relative_to(top).as_posix()
            yield place, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _user() -> str:
    if hasattr(os, "getuid"):
        return str(os.getuid())
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
