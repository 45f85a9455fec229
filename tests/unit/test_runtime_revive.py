"""A runtime that died is started again for those who still want it, a few times."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foundry_rest.errors import Cancelled, ServiceUnreachable
from foundry_rest.runtime import LocalRuntime, local_runtime


class FakeChild:
    """Stand for the child process; it lives until told otherwise."""

    #: Every child made in this test, and what their starts raise.
    made: list[FakeChild] = []  # noqa: RUF012
    failure: Exception | None = None
    #: Waited for at each start.
    gate = threading.Event()

    def __init__(self, plan):
        self.owner, self.url, self.pid = os.getpid(), "", 1000 + len(self.made)
        self.alive, self.ended, self.is_dying = False, 0, False
        self.ready = threading.Event()
        self.made.append(self)

    def launch(self):
        """Start, when the gate is open."""
        assert self.gate.wait(2)
        self.ready.set()
        if self.failure is not None:
            raise self.failure
        self.url, self.alive = f"http://127.0.0.1:{self.pid}", True

    def wait(self):
        """Wait for the start in another thread."""
        assert self.ready.wait(2)

    def is_alive(self):
        """Tell."""
        return self.alive

    def settle(self, seconds):
        """Die, if that has begun."""
        self.alive = self.alive and not self.is_dying

    def is_starting(self):
        """Tell."""
        return not self.ready.is_set()

    def end(self):
        """Die in good order."""
        self.alive, self.ended = False, self.ended + 1
        self.ready.set()


@pytest.fixture
def children(monkeypatch):
    """Replace the child process by a fake; return those that were made."""
    monkeypatch.setattr(local_runtime, "Child", FakeChild)
    monkeypatch.setattr(local_runtime, "_require_sdk", lambda: None)
    monkeypatch.setattr(FakeChild, "made", [])
    monkeypatch.setattr(FakeChild, "gate", threading.Event())
    FakeChild.gate.set()
    return FakeChild.made


def kill(runtime) -> None:
    """Kill the child."""
    runtime._child.alive = False


def test_a_living_child_is_left_alone(children):
    """Its address is all that is asked for."""
    with LocalRuntime() as runtime:
        assert runtime.revive() == runtime.revive() == runtime.url

    assert len(children) == 1


def test_a_dead_child_is_replaced(children):
    """The new one has another address; what the old one left is removed."""
    with LocalRuntime() as runtime:
        before = runtime.url
        kill(runtime)

        assert runtime.revive() == runtime.url != before
        assert [child.ended for child in children] == [1, 0]


def test_a_dying_child_is_replaced(children):
    """It broke a connection because it is about to end: its address is not given once more."""
    with LocalRuntime() as runtime:
        before = runtime.url
        children[0].is_dying = True

        assert runtime.revive() == runtime.url != before


def test_a_start_beside_a_dying_child(children):
    """The old one is not taken for one that runs."""
    with LocalRuntime() as runtime:
        before = runtime.url
        children[0].is_dying = True

        assert runtime.start().url != before


def test_five_deaths_are_forgiven(children, time):
    """The sixth within five minutes is not: what was asked of it last would kill the next one too."""
    with LocalRuntime() as runtime:
        for _ in range(5):
            kill(runtime)
            runtime.revive()
            time.advance(59)
        kill(runtime)
        with pytest.raises(ServiceUnreachable, match="died 5 times within 300 s") as caught:
            runtime.revive()
        assert (caught.value.sent, len(children)) == (False, 6)
        time.advance(10)

        assert runtime.revive()
        assert len(children) == 7


def test_start_is_the_callers_own_will(children, time):
    """start() is granted at any time, and brings it back."""
    with LocalRuntime() as runtime:
        for _ in range(5):
            kill(runtime)
            runtime.revive()
        kill(runtime)
        with pytest.raises(ServiceUnreachable):
            runtime.revive()

        assert runtime.start().revive() == children[-1].url


def test_one_death_counts_once(children, time):
    """Sixteen threads that meet it at once start one child and use up one of the five."""
    with LocalRuntime() as runtime, ThreadPoolExecutor(16) as pool:
        together = threading.Barrier(16)
        for turn in range(1, 6):
            kill(runtime)
            urls = set(pool.map(lambda _: together.wait(2) >= 0 and runtime.revive(), range(16)))
            assert urls == {runtime.url}
            assert (len(children), len(runtime._revived)) == (turn + 1, turn)


def test_a_start_in_another_thread_is_no_death(children):
    """Whoever asks while the first start is under way waits for it."""
    runtime = LocalRuntime()
    FakeChild.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(runtime.start)
        while not children:
            pass
        waiting = pool.submit(runtime.revive)
        FakeChild.gate.set()
        starting.result(2)

        assert waiting.result(2) == runtime.url
    assert (len(children), len(runtime._revived)) == (1, 0)


def test_a_start_that_fails_is_a_death(children, monkeypatch, time):
    """Each try is counted, so that a broken installation is not started for ever."""
    with LocalRuntime() as runtime:
        kill(runtime)
        monkeypatch.setattr(FakeChild, "failure", ServiceUnreachable("no", sent=False))
        said = []
        for _ in range(7):
            with pytest.raises(ServiceUnreachable) as caught:
                runtime.revive()
            said.append(caught.value.message)

    assert said[:5] == ["no"] * 5
    assert all("died 5 times" in message for message in said[5:])


@pytest.mark.parametrize("was_started", [True, False])
def test_what_is_closed_stays_closed(children, was_started):
    """Nobody starts what its owner ended, or never began."""
    runtime = LocalRuntime()
    if was_started:
        runtime.start().close()
    with pytest.raises(Cancelled, match="the embedded runtime is closed"):
        runtime.revive()

    assert len(children) == was_started


def test_closed_in_the_middle_of_a_revival(children, monkeypatch):
    """Whoever was about to start it again finds it closed: no process is left over."""
    runtime = LocalRuntime().start()
    kill(runtime)
    real = runtime._count_revival
    monkeypatch.setattr(runtime, "_count_revival", lambda: (real(), runtime.close()))
    with pytest.raises(Cancelled):
        runtime.revive()

    assert len(children) == 1
    assert runtime._child is None


def test_the_loser_of_a_race_counts_nothing(children):
    """It met the dead child, but by the time it has the lock another one lives."""
    with LocalRuntime() as runtime:
        runtime._count_revival()

        assert len(runtime._revived) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_closing_in_a_forked_child(children):
    """It ends nothing there, and the parent's runtime stays wanted."""
    with LocalRuntime() as runtime:
        pid = os.fork()
        if pid == 0:
            runtime.close()
            os._exit(0 if runtime._is_wanted and runtime.is_alive() else 1)

        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert runtime.revive() == runtime.url
