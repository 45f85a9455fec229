"""Tests that fork."""

from __future__ import annotations

import os

import pytest


def forks(test):
    """Mark a test that forks: Python 3.12 warns where threads run, which is what is tested."""
    test = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")(test)


def in_child(work) -> int:
    """Return the exit code of a forked child that runs ``work``; one that hangs is ended by SIGALRM."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        import signal

        signal.alarm(5)
        work()
        code = 0
    finally:
        os._exit(code)
