"""A child process as the system sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.platforms import posix

from foundry_rest.runtime import processes

INSTALL = "install the Microsoft Visual C++ Redistributable (x64)"


@posix
def test_unnamed_signal():
    """A signal without a name is reported by its number."""
    assert processes.how_ended(-250) == "it was ended by signal 250"


def test_liveness_seen_from_a_fork():
    """A process that is not ours to wait for is looked up, and not hurt: it is there, or gone."""
    assert processes.exists(os.getpid())
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert processes.exists(other.pid)
        assert other.poll() is None
        other.stdin.close()
    assert not processes.exists(2**22 + 1)


def test_environment(monkeypatch):
    """The child finds what its parent found, and sends no loopback request to a proxy."""
    monkeypatch.setattr(sys, "path", ["", "/opt/x"])
    environment = processes.environment()

    assert environment["PYTHONPATH"] == os.pathsep.join((str(Path.cwd()), str(Path("/opt/x").absolute())))
    assert environment["NO_PROXY"].endswith("127.0.0.1")


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_hosts_without_a_proxy(monkeypatch, name):
    """Hosts that the user keeps from the proxy stay so in each spelling that the child may read."""
    for other in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "example.com")
    environment = processes.environment()

    read = [value for name, value in environment.items() if name.lower() == "no_proxy"]
    assert set(read) == {"example.com,127.0.0.1"}
    assert len(read) == (1 if os.name == "nt" else 2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "it ended with exit code 0"),
        (3, "it ended with exit code 3"),
        (0xC0000005, "it crashed: access violation (0xC0000005)"),
        (0xC0000135, f"it crashed: a DLL was not found; {INSTALL} (0xC0000135)"),
        (0xC0000142, f"it crashed: a DLL did not start; {INSTALL} (0xC0000142)"),
        (0xC0001234, "it crashed (0xC0001234)"),
        (None, "it answered something else than expected"),
    ],
)
def test_exit_codes(code, words):
    """Windows' exit codes of a crash are told by name, in the spelling in which one looks them up."""
    assert processes.how_ended(code) == words
