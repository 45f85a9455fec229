"""The only access to time: every other module imports it from here, so that tests can replace it."""

from __future__ import annotations

import sys
import threading
import time

#: Return seconds of a clock that never goes backwards, for durations and deadlines.
monotonic = time.monotonic
if sys.platform == "win32" and sys.version_info < (3, 13):
    monotonic = time.perf_counter  # the other one steps by 15.6 ms there
#: Seconds of one wait on Windows, where neither another thread nor Ctrl-C ends it; ``None`` where they do.
SLICE: float | None = 0.05 if sys.platform == "win32" else None
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
