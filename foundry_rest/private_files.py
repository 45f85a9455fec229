"""Files that this package writes or believes: regular ones of this user, where nobody else may write.

Whoever can write a registry file redirects every prompt, whoever can write the state of a circuit opens or
closes it, and a link that lies in the way of either leads what is written into another file.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foundry_rest import clock

_T = TypeVar("_T")

#: Opens without following a link, and without waiting for the other end of a named pipe.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
#: Windows' errors for a file that another process has open: access denied, sharing violation, and ``None``,
#: because ``os.open`` there knows no more than that it is not permitted. Other systems have no such number.
_IN_USE = (5, 32, None)
#: Longest wait in seconds for it, and the pause between two tries; reading an entry takes less than 1 ms.
_PATIENCE = 2.0
_PAUSE = 0.001


def read_regular(path: Path, limit: int, start: int = 0) -> bytes:
    """Return at most ``limit`` bytes of a regular file of anybody's, also behind a link.

    Args:
        path: The file.
        limit: Most bytes that are read.
        start: Where to begin; below 0 so many bytes before its end.

    Raises:
        OSError: It cannot be read, or is a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_regular(status, path)
        if start:
            file.seek(start if start > 0 else max(0, status.st_size + start))
        return file.read(limit)


def read_own(path: Path, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file of this user.

    Raises:
        OSError: It cannot be read, or is a link, no regular file, or another user's.
    """
    descriptor = patiently(lambda: os.open(path, os.O_RDONLY | _SAFELY))
    with os.fdopen(descriptor, "rb") as file:
        check_own(os.fstat(descriptor), path)
        return file.read(limit)


def patiently(action: Callable[[], _T]) -> _T:
    """Return what an action on a file returns; on Windows, try again while another process has it open.

    There a file that is open can be neither replaced nor removed, and one that is going cannot be opened.
    """
    until = clock.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError as error:
            if getattr(error, "winerror", 0) not in _IN_USE or clock.monotonic() > until:
                raise
            clock.sleep(_PAUSE)


def check_own(status: os.stat_result, path: Path) -> None:
    """Raise PermissionError unless this is the status of a regular file that this user alone can write."""
    _check_regular(status, path)
    if not _is_ours(status):
        raise PermissionError(f"{path} is not a file of this user")
    if _others_write(status) or (os.name == "posix" and status.st_nlink > 1):
        raise PermissionError(f"{path} is not private to this user")


def make_private(directory: Path) -> None:
    """Make a directory, mode 0700, unless it exists; raise PermissionError if others may change it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if not _is_ours(status) or _others_write(status):
        # In a shared directory anybody may have created it first.
        raise PermissionError(f"{directory} is not private to this user")


def make_own(path: Path) -> bool:
    """Make an empty file, mode 0600, in a private directory, or check the one that is there; return which.

    On POSIX whoever closes a file gives up all locks that his process has on it, those of sqlite, too. So a
    file that is there is only looked at, and one that was made here stays open.

    Raises:
        OSError: It cannot be made, or a foreign one is there.
    """
    make_private(path.parent)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        check_own(path.lstat(), path)
        return False
    if os.name != "posix":
        os.close(descriptor)
    return True


def open_own(path: Path) -> int:
    """Return a descriptor of a file in a private directory; make it, mode 0600, unless it exists.

    Raises:
        OSError: It cannot be made or opened, or a foreign one is there.
    """
    make_private(path.parent)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | _SAFELY, 0o600)
    try:
        check_own(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def replace_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step, so that a reader finds the old content or the new one as a whole.

    Raises:
        OSError: It cannot be written; the old one is left as it is.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
        patiently(lambda: temporary.replace(path))
    finally:
        temporary.unlink(missing_ok=True)


def _check_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PermissionError(f"{path} is no regular file")


def _others_write(status: os.stat_result) -> bool:
    if os.name != "posix":
        return False
    # Many systems give each user a group of the same number, and let it write by default.
    shared = stat.S_IWOTH if status.st_gid == status.st_uid else stat.S_IWGRP | stat.S_IWOTH
    return bool(status.st_mode & shared)


def _is_ours(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()
