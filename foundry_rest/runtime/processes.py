"""A child process as the operating system sees it: its environment, whether it exists, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

#: Seconds for the child to end by itself, and again after a SIGTERM; it needs milliseconds.
GRACE = 1.0


def environment() -> dict[str, str]:
    """Return the environment for a child that finds the same modules as its parent and reports to nobody.

    In what it takes for CI, the native library keeps no device id, stores no events and looks up no host of
    Microsoft's; its own settings against telemetry leave a part of that (docs/service.md, section 12.4).
    """
    given = dict(os.environ)
    # All of sys.path, because the program may have changed it.
    given["PYTHONPATH"] = os.pathsep.join(str(Path(path).absolute()) for path in sys.path)
    given["CI"] = "true"
    given["ORT_TELEMETRY_DISABLED"] = "1"
    for name in ("no_proxy", "NO_PROXY"):
        # The library's HTTP client would send even the loopback catalog's requests to a proxy.
        kept = given.get(name)
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
        process.wait(GRACE)


def how_ended(code: int | None) -> str:
    """Return an exit code in words."""
    if code is None:
        return "it answered something else than expected"
    if code >= 0:
        return f"it ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"it was ended by {name}"


def exists(pid: int) -> bool:
    """Return whether a process exists that is no child of this one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
