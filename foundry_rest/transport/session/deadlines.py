"""Deadlines: they end each attempt under way at its deadline, and all of them on close().

One thread serves all deadlines of a transport. The first deadline starts it; it sleeps until the next
one, and ends a little after the last: a thread for each call would cost as much as the call itself.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from weakref import WeakSet

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.transport.session.socket_handle import SocketHandle

#: Seconds for which the thread waits without a deadline, so that consecutive calls share one thread.
LINGER = 2.0


class Deadlines:
    """The attempts under way, referred to weakly so that an answer that is dropped unread is forgotten."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._handles: WeakSet[SocketHandle] = WeakSet()
        self._next = float("inf")
        self._runs = self._closed = False

    def new_handle(self, left: float, patience: float = float("inf")) -> SocketHandle:
        """Return the handle of a new attempt, to be ended after ``left`` seconds; ended if closed."""
        handle = SocketHandle(clock.monotonic() + left, patience)
        with self._changed:
            self._handles.add(handle)
            closed = self._closed
            if handle.due != float("inf") and not closed:
                handle.is_watched = self._schedule(handle.due)
        if closed:
            handle.end(Cancelled)
        return handle

    def close(self) -> None:
        """End every attempt, and every later one as soon as it begins."""
        with self._changed:
            self._closed = True
            handles = list(self._handles)
            self._changed.notify()
        for handle in handles:
            handle.end(Cancelled)

    def forget(self) -> None:
        """Forget every attempt in a forked child: shutting down its socket would end the parent's answer."""
        for handle in list(self._handles):
            handle.release()

    def _schedule(self, due: float) -> bool:
        """Make sure that the thread wakes in time, and return whether it runs; the caller holds the lock."""
        if not self._runs:
            self._next = due
            thread = threading.Thread(target=self._run, name="foundry_rest deadlines", daemon=True)
            with suppress(RuntimeError):  # the process has too many threads now; the next call tries again
                thread.start()
                self._runs = True
        elif due < self._next:
            self._changed.notify()
        return self._runs

    def _run(self) -> None:
        idle = False
        while True:
            with self._changed:
                pending = [handle for handle in self._handles if handle.due != float("inf")]
                if self._closed or (idle and not pending):
                    self._runs = False
                    return
                now = clock.monotonic()
                late = [handle for handle in pending if handle.due <= now]
                if not late:
                    self._next = min((handle.due for handle in pending), default=now + LINGER)
                    wait = min(self._next - now, threading.TIMEOUT_MAX)
                    idle = not self._changed.wait(wait) and not pending
            for handle in late:
                handle.end(DeadlineExceeded)
