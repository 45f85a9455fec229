"""Handlers of signals that are in force for a while."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def handled(handlers: Mapping[int, Callable[[int, Any], object]]) -> Iterator[None]:
    """Handle signals so within the block, and as before afterwards."""
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
