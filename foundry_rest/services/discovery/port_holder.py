"""Whose process listens on a port: a service that was found is asked only where it is not a stranger's.

Any program of this machine may listen on the port of a service that has ended and answer as it did. So an
address that was found, and not named by the user, is checked on every path of discovery. Where the system
does not reveal the process (a service of the system, a container, macOS without rights), the address is
used, but gets no key from the environment.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundry_rest.services.listeners import pids_at

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a port.

    Attributes:
        is_known: It is a process of this user, the expected one if one was expected.
        refusal: Why the address must not be used; ``""`` if it may be.
    """

    is_known: bool
    refusal: str = ""


_UNKNOWN = Holder(is_known=False)
_OURS = Holder(is_known=True)


def _refused(why: str) -> Holder:
    return Holder(is_known=False, refusal=why)


def look_up(url: str, pid: int | None) -> Holder:
    """Return who holds the port of a loopback address.

    Args:
        url: Base URL.
        pid: Id of the process that must hold it; ``None`` for any of this user.
    """
    import psutil

    try:
        pids = pids_at(url)
        if not pids:
            return _UNKNOWN
        found = pid if pid in pids else min(pids)
        if pid not in (None, found):
            return _refused(f"another process (pid {found}) listens there, not pid {pid}")
        if _is_this_users(psutil.Process(found)):
            return _OURS
        return _refused(f"a process of another user listens there (pid {found})")
    except (psutil.Error, OSError, RuntimeError):  # the last one: Windows' table changed while it was read
        return _UNKNOWN


def _is_this_users(process: psutil.Process) -> bool:
    import psutil

    if sys.platform == "win32":
        return bool(process.username() == psutil.Process().username())
    return bool(process.uids().effective == os.geteuid())
