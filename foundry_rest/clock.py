"""The only access to time: every other module imports it from here, so that tests can replace it."""

from __future__ import annotations

import sys
import threading
import time

#: Return seconds of a clock that never goes backwards, for durations and deadlines.
monotonic = time.monotonic
if sys.platform == "win32" and sys.version_info < (3, 13):
    monotonic = time.perf_counter  # the other one steps by 15.6 ms there
#: Seconds of one wait where nothing ends it for sure; ``None`` for a wait in one piece. Windows wakes nobody
#: who waits for a socket (https://github.com/python/cpython/issues/91913) and tells a waiting thread of no
#: Ctrl-C; macOS loses the wake-up when close follows shutdown (.../issues/154224).
SLICE: float | None = 0.05 if sys.platform in ("win32", "darwin") else None
#: Block this thread for a number of seconds.
sleep = time.sleep


def wait(event: threading.Event, seconds: float) -> bool:
    """Block this thread until the event is set, at most for ``seconds``, which may be infinite."""
    until = monotonic() + seconds
    while SLICE is not None and seconds > SLICE:
        if event.wait(SLICE):
            return True
        seconds = until - monotonic()
    return event.wait(max(0.0, min(seconds, threading.TIMEOUT_MAX)))


#: Return seconds since the epoch; only for dates from outside (Retry-After, registry files).
now = time.time
