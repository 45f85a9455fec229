"""The events of a circuit's changes, by this process or another: each once, in order, outside every lock."""

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
    """The changes of one circuit, found by comparing the record last seen with the record read now.

    Args:
        address: Base URL, for the events.
        emit: Called with every change; an error that it raises is logged.

    Attributes:
        epoch: The latest epoch seen.
    """

    def __init__(self, address: str, emit: Callable[[Event], None]) -> None:
        self.epoch = 0
        self._state = CLOSED
        self._address = address
        self._emit = emit
        self._pending: deque[CircuitChanged] = deque()
        self._is_emitting = False
        self.renew()
        renew_after_fork(self)

    def follow(self, record: Record) -> bool:
        """Emit the change up to ``record``; return False when it was known already."""
        with self._lock:
            if record.epoch <= self.epoch:
                return False
            before, self._state, self.epoch = self._state, record.state, record.epoch
            if record.state != before:
                self._pending.append(CircuitChanged(self._address, before, record.state))
        while event := self._next():
            try:
                self._emit(event)
            except Exception:  # the observers' code, which may raise anything
                _logger.exception("An observer failed on %r", event)
            finally:
                self._is_emitting = False
        return True

    def _next(self) -> CircuitChanged | None:
        """Take the next change to emit; one thread emits at a time, so that they come in order."""
        with self._lock:
            if self._is_emitting or not self._pending:
                return None
            self._is_emitting = True
            return self._pending.popleft()

    def renew(self) -> None:
        """Replace the lock in a forked child: another thread of the parent may have held it."""
        self._lock = threading.Lock()
        self._is_emitting = False
