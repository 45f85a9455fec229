"""How a circuit changes, told to observers whoever changed it: once, in order, outside every lock."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from foundry_rest.events import CircuitChanged, Event
from foundry_rest.resilience.breaker.record import CLOSED, Record
from foundry_rest.transport.fork import renew_after_fork

_logger = logging.getLogger("foundry_rest")


class Transitions:
    """The changes of one circuit between what was seen of it before and what is read of it now.

    Args:
        address: Base URL, for the events.
        emit: Told of every change; what it raises is logged.

    Attributes:
        epoch: The latest one seen.
    """

    def __init__(self, address: str, emit: Callable[[Event], None]) -> None:
        self.epoch = 0
        self._state = CLOSED
        self._address = address
        self._emit = emit
        self._untold: deque[CircuitChanged] = deque()
        self._is_telling = False
        self.renew()
        renew_after_fork(self)

    def follow(self, record: Record) -> bool:
        """Tell what changed up to ``record``; False when that was known."""
        with self._lock:
            if record.epoch <= self.epoch:
                return False
            before, self._state, self.epoch = self._state, record.state, record.epoch
            if record.state != before:
                self._untold.append(CircuitChanged(self._address, before, record.state))
        while event := self._next():
            try:
                self._emit(event)
            except Exception:
                _logger.exception("An observer failed on %r", event)
            finally:
                self._is_telling = False
        return True

    def _next(self) -> CircuitChanged | None:
        """Take one change to tell; one thread tells at a time, so that they come in order."""
        with self._lock:
            if self._is_telling or not self._untold:
                return None
            self._is_telling = True
            return self._untold.popleft()

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()
        self._is_telling = False
