"""The end of an embedded runtime, as a test wants it."""

from __future__ import annotations

import os
import signal

from foundry_rest import FoundryAPIClient


def kill_runtime(client: FoundryAPIClient) -> None:
    """End the client's own runtime as the kernel does when memory runs out.

    It is dying for some milliseconds more, and resets what connects meanwhile.
    """
    os.kill(client._owned[1].pid, signal.SIGKILL)
