"""A child process as the system sees it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from foundry_rest.runtime import processes

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process ids")


@posix
def test_unnamed_signal():
    """A signal without a name is reported by its number."""
    assert processes.how_ended(-250) == "it was ended by signal 250"


@posix
def test_liveness_seen_from_a_fork():
    """A process that is not ours to wait for is looked up: gone, there, or another user's."""
    assert processes.exists(os.getpid())
    assert processes.exists(1)
    assert not processes.exists(2**22 + 1)


def test_environment(monkeypatch):
    """The child finds what its parent found, and sends no loopback request to a proxy."""
    monkeypatch.setattr(sys, "path", ["", "/opt/x"])
    monkeypatch.setenv("no_proxy", "example.com")
    environment = processes.environment()

    assert environment["PYTHONPATH"] == os.pathsep.join((str(Path.cwd()), str(Path("/opt/x").absolute())))
    assert environment["no_proxy"] == "example.com,127.0.0.1"
    assert environment["NO_PROXY"].endswith("127.0.0.1")
