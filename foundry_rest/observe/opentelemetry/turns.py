"""Turns: what a thread has to tell, one at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Turns(threading.local):
    """The actions of each thread, which are done one after the other.

    The garbage collector may run in the middle of one, and a stream that was dropped unread then tells its
    end in the same thread. It has to wait: the locks of OpenTelemetry's SDK may be held.
    """

    def __init__(self) -> None:
        self._is_busy = False
        self._waiting: deque[Callable[[], object]] = deque()

    def take(self, action: Callable[[], object]) -> None:
        """Do an action now, or at the end of the one that this thread is doing."""
        self._waiting.append(action)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._is_busy = False
