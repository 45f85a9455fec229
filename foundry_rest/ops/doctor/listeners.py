"""The processes that hold the port of a service on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from foundry_rest.services.discovery.port_holder import look_up
from foundry_rest.services.listeners import pids_at

if TYPE_CHECKING:
    import psutil


class Listener(NamedTuple):
    """A process that holds a port.

    Attributes:
        pid: Its id.
        name: Its name; ``""`` where the system does not tell.
        is_stopped: It was stopped by a signal, and does nothing until it is continued.
        is_ours: It is this user's.
        is_told_to_be_silent: Its environment keeps the runtime from sending telemetry; ``None`` where that is
            hidden.
    """

    pid: int
    name: str = ""
    is_stopped: bool = False
    is_ours: bool = True
    is_told_to_be_silent: bool | None = None


def state_of(pid: int | None) -> str:
    """Return ``"gone"``, ``"stopped"`` by a signal, or ``"there"``; ``""`` for no process."""
    import psutil

    if pid is None:
        return ""
    try:
        states = {psutil.STATUS_STOPPED: "stopped", psutil.STATUS_ZOMBIE: "gone"}
        return states.get(psutil.Process(pid).status(), "there")
    except psutil.AccessDenied:
        return "there"
    except (psutil.Error, OSError, ValueError, OverflowError):  # also a number that no process can have
        return "gone"


def listeners_at(url: str) -> list[Listener]:
    """Return who holds the port of a loopback address; none where the system does not tell."""
    import psutil

    try:
        pids = sorted(pids_at(url))
    except (psutil.Error, OSError, RuntimeError):  # the last one: Windows' table changed while it was read
        return []
    return [_listener(url, pid) for pid in pids]


def _listener(url: str, pid: int) -> Listener:
    import psutil

    is_ours = not look_up(url, pid).refusal
    try:
        process = psutil.Process(pid)
        name, is_stopped = process.name(), process.status() == psutil.STATUS_STOPPED
    except (psutil.Error, OSError):
        return Listener(pid, is_ours=is_ours)
    return Listener(pid, name, is_stopped, is_ours, _is_silent(process))


def _is_silent(process: psutil.Process) -> bool | None:
    import psutil

    try:
        # What the native library takes for CI, in which it reports nothing (docs/reference/service.md,
        # section 12.4).
        return bool(process.environ().get("CI"))
    except (psutil.Error, OSError):
        return None
