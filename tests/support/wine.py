"""Tests that cannot pass under Wine 8, each with the reason: what Wine does differently from Windows.

``.ci/windows`` runs the unit tests there; the list may not grow beyond what test_ci allows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: Beginning of a test's id, below tests/unit, or a whole file -> reason.
LEFT_OUT = {
    "test_structure.py": "pydantic's library is not loaded",
    "test_tools.py": "pydantic's library is not loaded",
    "test_discovery_port_holder.py": "psutil finds no process of a port",
    "test_interrupts.py": "too slow: thousands of calls",
    "test_testing_wire.py::test_headers_above_the_limit_are_reset_as_by_2x": "SO_LINGER 0 sends a FIN",
    "test_testing_wire.py::test_a_reset_is_an_error_to_the_reader": "SO_LINGER 0 sends a FIN",
    "test_session_errors.py::test_what_is_wrong_on_the_wire[reset": "SO_LINGER 0 sends a FIN",
    "test_user_examples.py::test_health_check": "psutil finds no process of a port",
    "test_health.py::test_ok": "psutil finds no process of a port",
    "test_health.py::test_memory_of_a_service_that_does_not_tell": "psutil finds no process of a port",
    "test_cache_key.py::test_a_service_that_was_found": "psutil finds no process of a port",
    "test_cache_file.py::test_many_threads": "sqlite's lock, which is polled for, takes a second to come",
    "test_workers.py::test_processes": "a process pool hangs in the pipe that wakes it",
    "test_workers.py::test_a_pool_that_breaks": "a process pool hangs in the pipe that wakes it",
}


def is_wine() -> bool:
    """Return whether this is Wine in place of Windows."""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def spare(patch: pytest.MonkeyPatch) -> None:
    """Have psutil find no connection at once: it takes seconds, in which every thread stands still."""
    if is_wine():
        import psutil

        patch.setattr(psutil, "net_connections", lambda kind="inet": [])
        patch.setattr(psutil.Process, "net_connections", lambda process, kind="inet": [])


def leaves_out(file: Path) -> bool:
    """Return whether a whole file of tests/unit is left out."""
    return is_wine() and file.parent.name == "unit" and file.name in LEFT_OUT


def reason(nodeid: str) -> str | None:
    """Return why a test is left out under Wine; ``None`` if it is not."""
    name = nodeid.replace("\\", "/").rpartition("tests/unit/")[2]
    return next((why for start, why in LEFT_OUT.items() if name.startswith(start)), None)
