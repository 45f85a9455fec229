"""Services that are found by the registry file, and that move."""

from __future__ import annotations

import os

from foundry_rest.events import ServiceMoved
from foundry_rest.services.discovery.registry_file import Entry, write


def register(url: str, pid: int = 0) -> None:
    """Write a registry file that names an address and a process; by default this one."""
    write(Entry(url, pid or os.getpid(), 1.0))


def moved(events) -> list[tuple[str, str]]:
    """Return every move that was told: where the service was, and where it is."""
    return [(event.before, event.url) for event in events if isinstance(event, ServiceMoved)]
