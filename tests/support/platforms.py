"""What only some systems have."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from foundry_rest.services.listeners import pids_at

#: Modes, owners, named pipes and signals.
posix = pytest.mark.skipif(os.name != "posix", reason="modes, named pipes and signals are POSIX's")

#: Seconds of processor time that are as good as none: Windows counts in steps of 16 ms.
TICK = 0.016 if os.name == "nt" else 0.0


@cache
def _makes_links() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "link")
        try:
            link.symlink_to(folder)
        except OSError:
            return False
        return link.is_symlink()


@cache
def _has_jsonschema() -> bool:
    """Return whether it is installed, and what it is made of loads: Wine lacks a library that rpds needs."""
    try:
        importlib.import_module("jsonschema")
    except ImportError:
        return False
    return True


#: The extra ``cli`` brings it.
schemas = pytest.mark.skipif(
    not _has_jsonschema(), reason='needs jsonschema: pip install "foundry_rest[cli]"'
)

#: Windows lets only developers and administrators make them, Wine nobody.
links = pytest.mark.skipif(
    sys.platform == "win32" and not _makes_links(), reason="no symbolic link can be made here"
)


@cache
def _sees_ports() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return os.getpid() in pids_at(f"http://127.0.0.1:{listener.getsockname()[1]}")


#: Of a port its process is known, as Linux and Windows tell it, but not Wine.
ports = pytest.mark.skipif(
    sys.platform == "win32" and not _sees_ports(), reason="psutil finds no process of a port here"
)


def set_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make a folder the user's home, by the variable that each system has for it."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
