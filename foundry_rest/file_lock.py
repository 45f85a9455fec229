"""The lock on an open file: of all open files of one path one has it, and the end of its process frees it.

It belongs to the opened file, not to the process: whoever opens the path again, in another thread for
instance, competes for it. A forked child has the same opened file as its parent, and so the same lock: it
closes its copy, which leaves the parent's lock as it is, and never unlocks it.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from foundry_rest.private_files import open_own

#: The byte that Windows locks, the last that its C library can name: others can read the rest all the same.
_LOCKED = (1 << 31) - 1

if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> None:
        """Lock an open file until it is unlocked or closed, in this process or by its death.

        Raises:
            BlockingIOError: Another open file has the lock.
            OSError: The file system has no locks.
        """
        os.lseek(descriptor, _LOCKED, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:  # the C library has one number for every reason, or none
            raise BlockingIOError(str(error)) from error

    def unlock(descriptor: int) -> None:
        """Unlock an open file that is locked."""
        os.lseek(descriptor, _LOCKED, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Lock an open file until it is unlocked or closed, in this process or by its death.

        Raises:
            BlockingIOError: Another open file has the lock.
            OSError: The file system has no locks.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(descriptor: int) -> None:
        """Unlock an open file that is locked."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class LockFile:
    """A file of this user that is locked for one key at a time; one thread takes it, any gives it back.

    Args:
        path: Its place; it is made when it is opened first, in a folder that is private to this user.

    Attributes:
        key: What it is held for in this process; ``None`` for nothing.
    """

    def __init__(self, path: Path) -> None:
        self.key: object = None
        self._path, self._descriptor = path, -1
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and drop a slot.
        self._one_at_a_time = threading.RLock()

    def __del__(self) -> None:
        self.close()

    def open(self) -> int:
        """Return a descriptor of the file, which is opened only once.

        Raises:
            OSError: It cannot be made or opened, or is not this user's.
        """
        if self._descriptor < 0:
            self._descriptor = open_own(self._path)
        return self._descriptor

    def close(self) -> None:
        """Close the file, which gives it back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def take(self, key: object) -> bool:
        """Lock the file for a key unless somebody has it, and return whether that succeeded.

        Raises:
            OSError: It cannot be opened or locked; give it back all the same.
        """
        if self.key is not None:
            return False
        self.key = key  # first: who is interrupted after the lock gives it back for the same key
        try:
            self._lock()
        except BlockingIOError:
            self.key = None
        return self.key is key

    def give_back(self, key: object) -> bool:
        """Unlock the file if it is held for this key, and return whether it was."""
        if self.key is not key:  # without the lock: after a fork another thread may have it for ever
            return False
        with self._one_at_a_time:
            if self.key is not key:
                return False
            try:
                unlock(self._descriptor)
            except (OSError, ValueError):  # it could not be opened or locked
                self.close()
            self.key = None
        return True

    def leave_to_parent(self) -> None:
        """Close the file in a forked child; the parent's lock on it stays."""
        self.key = None
        self.close()

    def _lock(self) -> None:
        descriptor = self.open()
        lock(descriptor)
        if os.name == "posix" and not os.fstat(descriptor).st_nlink:
            # Somebody has removed it, and others lock a new file of this name.
            self.close()
            lock(self.open())
