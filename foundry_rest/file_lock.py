"""The lock on an open file: of all open files of one path one has it, and the end of its process frees it.

It belongs to the opened file, not to the process: whoever opens the path again, in another thread for
instance, competes for it. A forked child has the same opened file as its parent, and so the same lock: it
closes its copy, which leaves the parent's lock as it is, and never unlocks it.
"""

from __future__ import annotations

import os
import sys

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
