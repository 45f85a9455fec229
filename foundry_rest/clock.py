"""The only names for time: everything else imports them from here, so that tests can replace them."""

from __future__ import annotations

import time

#: Seconds on a clock that never steps back; durations and deadlines are differences of it.
monotonic = time.monotonic
#: Block this thread for so many seconds.
sleep = time.sleep
#: Seconds since the epoch; only for dates that came from outside (Retry-After, registry files).
now = time.time
