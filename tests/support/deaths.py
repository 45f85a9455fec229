"""The end of an embedded runtime, as a test wants it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil

from foundry_rest import FoundryAPIClient, clock


def kill_runtime(client: FoundryAPIClient) -> None:
    """End the client's own runtime as the kernel does when memory runs out, and wait until it is dead.

    Until then, for some milliseconds, it resets what connects: a call that meets that twice is given up.
    """
    dying = psutil.Process(client._owned[1].pid)
    os.kill(dying.pid, signal.SIGKILL)
    with suppress(psutil.NoSuchProcess):
        while dying.status() != psutil.STATUS_ZOMBIE:
            clock.sleep(0.001)
