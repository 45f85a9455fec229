"""The private directory of a child: where it is made, what the child prints there, and who removes it.

A parent or a child that is killed cannot remove it, so the next start looks for such directories. A child
that runs is known by its standard error, which it holds open: locked on POSIX, not to be removed on Windows.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from foundry_rest import clock
from foundry_rest.errors import ConfigError
from foundry_rest.file_lock import lock
from foundry_rest.runtime.protocol import LOGS, STDERR_FILE

_PREFIX = "foundry_rest-"
#: The module that a child runs; its last argument is the directory.
_CHILD = "foundry_rest.runtime.child_main"
#: Seconds after which a directory without a running child is left over; a start takes less to lock its own.
_STARTED = 60.0
#: Longest wait in seconds for a process that has ended to let its files go, and the pause between two looks.
_PATIENCE = 1.0
_PAUSE = 0.02
#: Bytes from the end of the child's standard error that an error's message shows.
_SHOWN = 1500
#: Bytes of it that are looked at.
_READ = 64 * 1024
#: The last line of a crash's traceback: it may be long, and what stands before it says where the crash was.
_MODULES = re.compile(rb"^\n?Extension modules: .*\n?", re.MULTILINE)


def make(parent: Path | None) -> Path:
    """Make a directory of this user, in the system's temporary one by default; remove what others left.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent or Path(tempfile.gettempdir()))
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise ConfigError(
            f"no directory can be made in {parent or tempfile.gettempdir()}: {error}"
        ) from error


def remove(directory: Path) -> None:
    """Remove a directory; on Windows, wait a moment for the files of a process that has just ended."""
    until = clock.monotonic() + _PATIENCE
    shutil.rmtree(directory, ignore_errors=True)
    while os.name == "nt" and directory.exists() and clock.monotonic() < until:
        clock.sleep(_PAUSE)
        shutil.rmtree(directory, ignore_errors=True)


def open_stderr(directory: Path) -> BinaryIO:
    """Return the file for the child's standard error; the lock on it lives as long as the child."""
    file = (directory / STDERR_FILE).open("wb")
    if sys.platform != "win32":
        with suppress(OSError):  # a file system without locks: its directories are not swept either
            lock(file.fileno())
    return file


def read_stderr(directory: Path | None) -> str:
    """Return the end of what the child printed to its standard error; ``""`` if nothing can be read."""
    with suppress(OSError):
        if directory is not None:
            with (directory / STDERR_FILE).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _READ))
                text = _MODULES.sub(b"", file.read())[-_SHOWN:]
            return text.decode("utf-8", "replace").strip()
    return ""


def log_directory(pid: int) -> Path | None:
    """Return where a running child writes its log, as its command line tells; ``None`` if it is no child."""
    import psutil

    with suppress(psutil.Error, OSError):
        command = psutil.Process(pid).cmdline()
        if _CHILD in command and Path(command[-1]).name.startswith(_PREFIX):
            return Path(command[-1], LOGS)
    return None


def _sweep(parent: Path) -> None:
    """Remove the directories of children that run no longer."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if _is_left_over(directory):
                shutil.rmtree(directory, ignore_errors=True)


def _is_left_over(directory: Path) -> bool:
    status = directory.lstat()
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        return False
    printed = directory / STDERR_FILE
    if directory.is_symlink() or clock.now() - printed.lstat().st_mtime < _STARTED:
        return False
    return _is_free(printed)


def _is_free(file: Path) -> bool:
    """Return whether no process has the file open; on Windows it is then removed."""
    if sys.platform == "win32":
        file.unlink()
        return True
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        lock(descriptor)
    finally:
        os.close(descriptor)
    return True
