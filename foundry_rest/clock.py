"""The only access to time: every other module imports it from here, so that tests can replace it."""

from __future__ import annotations

import threading
import time

#: Return seconds of a clock that never goes backwards, for durations and deadlines.
monotonic = time.monotonic
#: Block this thread for a number of seconds.
sleep = time.sleep


def wait(event: threading.Event, seconds: float) -> bool:
    """Block this thread until the event is set, at most for ``seconds``, which may be infinite."""
    return event.wait(min(seconds, threading.TIMEOUT_MAX))


#: Return seconds since the epoch; only for dates from outside (Retry-After, registry files).
now = time.time
