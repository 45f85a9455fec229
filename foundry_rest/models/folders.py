"""The deletion of one model's folder: what must never be deleted, and the order of what is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from foundry_rest.errors import ConfigError
from foundry_rest.models.disk import ID_FILE

#: Bit in the tag of what stands for something elsewhere on Windows: a junction, which looks like a folder.
_NAME_SURROGATE = 0x20000000


def obstacle(folder: Path, directory: Path) -> str:
    """Return why a model's folder must not be deleted; ``""`` if it may be.

    Args:
        folder: The model's folder.
        directory: The service's model directory.
    """
    real, below = os.path.realpath(directory), os.path.relpath(folder, directory)
    if below.split(os.sep, 1)[0] in (os.curdir, os.pardir):
        return f"it does not lie inside {directory}"
    if os.path.realpath(folder) != os.path.join(real, below):  # noqa: PTH118 (compared as text)
        return "the way to it leads over a link"
    try:
        reasons = (_reason(folder, path, status) for path, status in _contents(folder))
        return next((reason for reason in reasons if reason), "")
    except OSError as error:
        return f"it cannot be looked into: {error}"


def delete(folder: Path, directory: Path) -> None:
    """Delete a model's folder, and what is empty above it; from the first moment on it is no model.

    Raises:
        ConfigError: The system refused.
    """
    try:
        (folder / ID_FILE).unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder} was not deleted, or not as a whole: {error}",
            call="models.remove",
            advice="Mend what the system complains about, then delete the folder by hand.",
        ) from error
    with suppress(OSError):  # another model's folder lies there
        for above in folder.relative_to(directory).parents[:-1]:
            (directory / above).rmdir()


def _contents(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the folder and all in it, without following a link.

    Raises:
        OSError: A part of it cannot be looked into.
    """
    status = folder.lstat()
    yield folder, status
    if stat.S_ISDIR(status.st_mode):
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 (the names alone are asked for)
            yield from _contents(folder / name)


def _reason(folder: Path, path: Path, status: os.stat_result) -> str:
    """Return why the folder must not be deleted with this file or folder in it."""
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return f"{path} belongs to another user"
    is_folder = stat.S_ISDIR(status.st_mode)
    if is_folder and os.path.ismount(path):
        return f"another file system is mounted at {path}"
    is_plain = is_folder or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
    if not is_plain or getattr(status, "st_reparse_tag", 0) & _NAME_SURROGATE:
        return f"{path} is a link, as in a model that was given by --model-dir: its files lie elsewhere, too"
    if is_folder:
        return ""
    if path.name == ID_FILE and path.parent != folder:
        return f"another model lies in it, at {path.parent}"
    return ""
