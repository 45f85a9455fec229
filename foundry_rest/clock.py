"""The only names for time: everything else imports them from here, so that tests can replace them."""

from __future__ import annotations

import threading
import time

#: Seconds on a clock that never steps back; durations and deadlines are differences of it.
monotonic = time.monotonic
#: Block this thread for so many seconds.
sleep = time.sleep


def wait(event: threading.Event, seconds: float) -> bool:
    """Block this thread until the event is set, for so many seconds at most; infinity for no bound."""
    return event.wait(min(seconds, threading.TIMEOUT_MAX))


#: Seconds since the epoch; only for dates that came from outside (Retry-After, registry files).
now = time.time
