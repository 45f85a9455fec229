"""Waiting for what another thread or process does."""

from __future__ import annotations

from foundry_rest import clock


def until(condition) -> None:
    """Wait until a condition holds; fail after two seconds."""
    limit = clock.monotonic() + 2
    while not condition():
        assert clock.monotonic() < limit
        clock.sleep(0.001)
