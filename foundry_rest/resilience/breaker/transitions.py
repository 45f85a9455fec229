"""Tell observers how a circuit changes, whoever changed it: once, in order, outside every lock."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from foundry_rest.events import CircuitChanged, Event
from foundry_rest.resilience.breaker.record import CLOSED, Record

_logger = logging.getLogger("foundry_rest")


class Transitions:
    """Compare what is read of a circuit with what was seen before, and tell the difference.

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
        self._renew()

    def follow(self, record: Record) -> bool:
        """Tell what changed up to ``record``; False when that was known."""
        if self._pid != os.getpid():
            self._renew()
        with self._lock:
            if record.epoch <= self.epoch:
                return False
            before, self._state, self.epoch = self._state, record.state, record.epoch
            if record.state != before:
                self._untold.append(CircuitChanged(self._address, before, record.state))
        while self._tell_one():
            pass
        return True

    def _tell_one(self) -> bool:
        """Tell one change; one thread at a time, so that they come in order."""
        with self._lock:
            if self._is_telling or not self._untold:
                return False
            event = self._untold.popleft()
            self._is_telling = True
        try:
            self._emit(event)
        except Exception:
            _logger.exception("An observer failed on %r", event)
        finally:
            self._is_telling = False
        return True

    def _renew(self) -> None:
        """Make the lock anew: one that another thread held during ``fork`` is never released."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_telling = False
