"""The monitor on the real runtime, which is killed, stopped and started again: every change is told once."""

from __future__ import annotations

import os
import signal
import socket
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.ops.check import CheckSettings
from foundry_rest.ops.monitor import Monitor
from foundry_rest.runtime import LocalRuntime, demo_model_dir

pytestmark = pytest.mark.runtime

#: Seconds within which a change is seen: some checks of a second each, on a busy machine.
LATEST = 30


class Changes:
    """The changes that a monitor told, and a wait for one."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def __call__(self, change) -> None:
        """Keep a change."""
        with self._more:
            self.told.append((change.before, change.after))
            self._more.notify_all()

    def until(self, after: str) -> None:
        """Wait until the last one is to this state."""
        with self._more:
            assert self._more.wait_for(lambda: self.told and self.told[-1][1] == after, LATEST), self.told


class BetweenChecks:
    """What is done to the service while no check is under way, after one that found it well.

    A check that the signal meets half-way finds a service that tells its status and no more, and a slow
    machine's check may find it late: both are true, and another story.
    """

    def __init__(self) -> None:
        self._due: list[Callable[[], object]] = []
        self._done = threading.Event()

    def __call__(self, sample) -> None:
        """Do what is due, in the monitor's thread."""
        if self._due and sample.observed == "up":
            self._due.pop()()
            self._done.set()

    def do(self, action: Callable[[], object]) -> None:
        """Have something done, and wait for it."""
        self._done.clear()
        self._due.append(action)
        assert self._done.wait(LATEST)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.skipif(os.name == "nt", reason="no SIGSTOP there")
def test_killed_stopped_and_revived(pairs):
    """That a runtime dies, is back, stands still and goes on is told once each; memory is bounded."""
    changes, runtime = Changes(), LocalRuntime(demo_model_dir(), port=free_port()).start()
    between, settings = BetweenChecks(), CheckSettings(timeout=2)
    tracemalloc.start()
    try:
        with (
            FoundryAPIClient(runtime.url, model=runtime.models[0].alias, retries=0, breaker=None) as client,
            Monitor(
                client, interval=0.1, settings=settings, on_change=changes, on_sample=between, kept=50
            ) as monitor,
        ):
            changes.until("up")
            client.complete(pairs[0]["question"], max_tokens=4)
            for _ in range(2):
                between.do(lambda: os.kill(runtime.pid, signal.SIGKILL))
                changes.until("down")
                runtime.start()
                changes.until("up")
                between.do(lambda: os.kill(runtime.pid, signal.SIGSTOP))
                changes.until("down")
                os.kill(runtime.pid, signal.SIGCONT)
                changes.until("up")
            first, _ = tracemalloc.get_traced_memory()
            before = monitor.report().checks
            while monitor.report().checks < before + 60:
                threading.Event().wait(0.05)
            grown = tracemalloc.get_traced_memory()[0] - first
            report = monitor.report()
    finally:
        tracemalloc.stop()
        runtime.close()

    assert changes.told == [("", "up"), *[("up", "down"), ("down", "up")] * 4]
    assert len(report.samples) == 50
    assert any(sample.tokens_per_second for sample in report.samples) or report.checks > 50
    assert grown < 500_000
    assert {problem.text.split(" (")[0].split(":")[0] for problem in report.problems} >= {
        "connection refused"
    }
