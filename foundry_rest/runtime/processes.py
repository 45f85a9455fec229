"""A child process as the operating system sees it: its environment, whether it exists, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

import psutil

from foundry_rest import clock

#: Seconds for the child to end by itself, and again after a SIGTERM; it needs milliseconds.
GRACE = 1.0
#: Seconds for the system to end what was killed; it needs milliseconds, on a machine that swaps more.
KILLED = 10.0
#: Seconds between two looks at a process that is dying.
_DYING_POLL = 0.01
#: Windows' exit codes from here on are statuses (NTSTATUS) of what ended the process.
_FIRST_CRASH = 0xC0000000
_CRASHES = {
    0xC0000005: "access violation",
    0xC000001D: "illegal instruction; this processor lacks what the runtime needs",
    0xC0000017: "no memory",
    0xC00000FD: "stack overflow",
    0xC0000135: "a DLL was not found; install the Microsoft Visual C++ Redistributable (x64)",
    0xC000013A: "ended by Ctrl-C or a closed console",
    0xC0000142: "a DLL did not start; install the Microsoft Visual C++ Redistributable (x64)",
    0xC0000374: "damaged heap",
    0xC0000409: "it stopped itself after an error (fail fast)",
}


def environment() -> dict[str, str]:
    """Return the environment for a child that finds the same modules as its parent and reports to nobody.

    In what it takes for CI, the native library keeps no device id, stores no events and looks up no host of
    Microsoft's; its own settings against telemetry leave a part of that (docs/reference/service.md, section
    12.4).
    """
    given = dict(os.environ)
    # All of sys.path, because the program may have changed it.
    given["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    given["CI"] = "true"
    given["ORT_TELEMETRY_DISABLED"] = "1"
    # The library's HTTP client would send even the loopback catalog's requests to a proxy.
    kept = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    # Windows has one variable for both spellings, and a child given two reads either.
    for name in ("NO_PROXY",) if os.name == "nt" else ("no_proxy", "NO_PROXY"):
        given[name] = f"{kept},127.0.0.1" if kept else "127.0.0.1"
    return given


def stdin_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """Return the pipe to a process that has one."""
    return cast("IO[bytes]", process.stdin)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a child: ask it by its pipe, then terminate it, then kill it."""
    with suppress(OSError, ValueError), stdin_of(process) as stdin:  # gone, or closed by another thread
        # A line, and not only the pipe's end: a forked process may keep the pipe open.
        stdin.write(b"\n")
    for harder in (process.terminate, process.kill):
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            harder()
        else:
            return
    with suppress(subprocess.TimeoutExpired):  # not even a SIGKILL ends a process that waits for a dead disk
        process.wait(KILLED)


def how_ended(code: int | None) -> str:
    """Return an exit code in words."""
    if code is None:
        return "it answered something else than expected"
    if code in _CRASHES:
        return f"it crashed: {_CRASHES[code]} (0x{code:08X})"
    if code >= _FIRST_CRASH:
        return f"it crashed (0x{code:08X})"
    if code >= 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"it was ended by {name}"


def is_dying(pid: int) -> bool:
    """Return whether the first thread of a process is over, and others of it are not, as Linux shows it.

    A killed process keeps its sockets until its last thread is over, and then resets what has connected;
    with much memory or many threads that takes a while.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() > 1
    return False


def wait_while_dying(pid: int) -> None:
    """Wait until a process that is dying is dead, for at most `GRACE` seconds."""
    until = clock.monotonic() + GRACE
    while is_dying(pid) and clock.monotonic() < until:
        clock.sleep(_DYING_POLL)


def exists(pid: int) -> bool:
    """Return whether a process exists that is no child of this one."""
    return psutil.pid_exists(pid)
