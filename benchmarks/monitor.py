"""Does the monitor run for long, in constant memory, and tell every change once?

The real runtime with the demo model is killed, started, stopped and continued, again and again. Exit code 1
when a change was told twice, or not, or when memory grew by more than 1 MB after the first third of the time.

python benchmarks/monitor.py [MINUTES]
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import socket
import sys
import time

import psutil

from foundry_rest import FoundryAPIClient
from foundry_rest.ops.check import CheckSettings
from foundry_rest.ops.monitor import Change, Monitor
from foundry_rest.runtime import LocalRuntime, demo_model_dir

#: Seconds between two checks, and between two things that happen to the service.
INTERVAL, CALM = 1.0, 10.0
#: Checks that are kept, so that the rows are full after the first third.
KEPT = 120
#: Seconds within which a change must have been told.
LATEST = 60.0
#: Most bytes by which memory may grow.
MOST = 1_000_000


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def happenings(runtime: LocalRuntime) -> list[tuple[str, object]]:
    """Return what happens to the service, and the state that follows."""
    return [
        ("down", lambda: os.kill(runtime.pid, signal.SIGKILL)),
        ("up", runtime.start),
        ("down", lambda: os.kill(runtime.pid, signal.SIGSTOP)),
        ("up", lambda: os.kill(runtime.pid, signal.SIGCONT)),
    ]


def resident() -> int:
    """Return the resident memory of this process."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def run(seconds: float) -> list[str]:
    """Return what went wrong."""
    told: queue.SimpleQueue[Change] = queue.SimpleQueue()
    faults, changes, base = [], 0, 0
    ends, settled = time.monotonic() + seconds, time.monotonic() + seconds / 3
    settings = CheckSettings(timeout=1.5)
    with (
        LocalRuntime(demo_model_dir(), port=free_port()) as runtime,
        FoundryAPIClient(runtime.url, model=runtime.models[0].alias, retries=0, breaker=None) as client,
        Monitor(client, interval=INTERVAL, settings=settings, on_change=told.put, kept=KEPT) as monitor,
    ):
        told.get(timeout=LATEST)
        while time.monotonic() < ends:
            for state, happen in happenings(runtime):
                happen()  # type: ignore[operator]
                change = told.get(timeout=LATEST)
                changes += 1
                if change.after != state:
                    faults.append(f"{change.after} was told for {state}: {change.text}")
                time.sleep(CALM)
                while not told.empty():
                    faults.append(f"told besides: {told.get()}")
            if not base and time.monotonic() > settled:
                base = resident()
        grown = resident() - base
        print(f"{monitor.report().checks} checks, {changes} changes, memory {grown / 1e6:+.2f} MB")
    if base and grown > MOST:
        faults.append(f"memory grew by {grown:,} bytes")
    return faults


if __name__ == "__main__":
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    sys.exit("\n".join(run(60 * minutes)) or None)
