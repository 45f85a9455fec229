"""The watch: every attempt under way, ended by its deadline or, all at once, by close().

One thread serves all deadlines of a transport. It is started by the first of them, sleeps until the next
one, and is gone a little after the last: a thread for each call would cost as much as the call itself.
"""

from __future__ import annotations

import threading
from weakref import WeakSet

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.transport.session.socket_handle import SocketHandle

#: Seconds for which the thread stays without a deadline, so that calls in a row share one.
LINGER = 2.0


class Deadlines:
    """Know the attempts under way; weakly, so that an answer that is dropped unread is forgotten."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines: WeakSet[SocketHandle] = WeakSet()
        self._next = float("inf")
        self._runs = self._closed = False

    def new_line(self, left: float) -> SocketHandle:
        """Return the line of a new attempt, which ends after ``left`` seconds; ended at once when closed."""
        line = SocketHandle(clock.monotonic() + left)
        with self._changed:
            self._lines.add(line)
            closed = self._closed
            if line.due != float("inf") and not closed:
                self._heed(line.due)
        if closed:
            line.end(Cancelled)
        return line

    def close(self) -> None:
        """End every attempt, also those that begin from now on."""
        with self._changed:
            self._closed = True
            lines = list(self._lines)
            self._changed.notify()
        for line in lines:
            line.end(Cancelled)

    def _heed(self, due: float) -> None:
        """Make sure that the thread wakes in time; the lock is held."""
        if not self._runs:
            self._runs, self._next = True, due
            threading.Thread(target=self._run, name="foundry_rest deadlines", daemon=True).start()
        elif due < self._next:
            self._changed.notify()

    def _run(self) -> None:
        idle = False
        while True:
            with self._changed:
                pending = [line for line in self._lines if line.due != float("inf")]
                if self._closed or (idle and not pending):
                    self._runs = False
                    return
                now = clock.monotonic()
                late = [line for line in pending if line.due <= now]
                if not late:
                    self._next = min((line.due for line in pending), default=now + LINGER)
                    wait = min(self._next - now, threading.TIMEOUT_MAX)
                    idle = not self._changed.wait(wait) and not pending
            for line in late:
                line.end(DeadlineExceeded)
