"""Whose process listens on a port: a service that was found is asked only where it is not a stranger's.

Any program of this machine may listen on the port of a service that has ended and answer as it did. So an
address that was found, and not named by the user, is checked on every path of discovery. Where the system
does not reveal the process (a service of the system, a container, macOS without rights), the address is
used, but gets no key from the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import psutil

#: Addresses at which a listener hears what is sent to loopback, the most specific first.
_HEARD = {"127.0.0.1": ("127.0.0.1", "0.0.0.0", "::"), "::1": ("::1", "::")}  # noqa: S104 (read, not bound)


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
        found = _listener(url, pid)
        if found is None:
            return _UNKNOWN
        if pid is not None and found != pid:
            return _refused(f"another process (pid {found}) listens there, not pid {pid}")
        owner = psutil.Process(found)
        if _is_this_users(owner):
            return _OURS
        return _refused(f"a process of another user listens there (pid {found})")
    except (psutil.Error, OSError, RuntimeError):  # the last one: Windows' table changed while it was read
        return _UNKNOWN


def _listener(url: str, pid: int | None) -> int | None:
    """Return the id of the process that listens at an address; ``None`` if the system does not reveal it."""
    import psutil

    parts = urlsplit(url)
    heard = _HEARD.get(parts.hostname or "", ("127.0.0.1", "::1", *_HEARD["127.0.0.1"][1:]))
    listeners: dict[str, set[int | None]] = {}
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == parts.port:
            listeners.setdefault(each.laddr.ip, set()).add(each.pid or None)  # Windows has 0 for unknown
    pids = next((listeners[ip] for ip in heard if ip in listeners), set())
    # Several share a port when one has handed its socket on, as a parent does to its children.
    return pid if pid in pids else min(filter(None, pids), default=None)


def _is_this_users(process: psutil.Process) -> bool:
    import psutil

    if os.name == "posix":
        return bool(process.uids().effective == os.geteuid())
    return bool(process.username() == psutil.Process().username())
