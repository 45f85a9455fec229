"""The end of an embedded runtime, as a test wants it."""

from __future__ import annotations

import os
import signal

from foundry_rest import FoundryAPIClient, clock


def kill_runtime(client: FoundryAPIClient) -> None:
    """End the client's own runtime as the kernel does when memory runs out, and wait until it is dead.

    Until then, for some milliseconds, it resets what connects: a call that meets that twice is given up.
    """
    runtime = client._owned[1]
    os.kill(runtime.pid, signal.SIGKILL)
    while runtime.is_alive():
        clock.sleep(0.001)
