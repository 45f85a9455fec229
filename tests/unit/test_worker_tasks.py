"""The side of the workers: one client for each process and set of settings, kept, bounded and closed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest
from support.forks import forks, in_child

from foundry_rest.client.engine_failures import Verdict, verdict_on
from foundry_rest.client.worker_tasks import Clients, Task


class FakeClient:
    """A client of which one sees whether it was closed."""

    def __init__(self, name) -> None:
        self.name, self.closed = name, False

    def close(self):
        """Close."""
        self.closed = True


@pytest.fixture
def made():
    """Every client that was made."""
    return []


@pytest.fixture
def clients(made):
    """Clients of which two are kept."""

    def make(pickled):
        made.append(FakeClient(pickled))
        return made[-1]

    return Clients(make, kept=2)


def use(clients, name):
    """Use a client once and return it."""
    held = clients.take(name)
    clients.give_back(held)
    return held.client


def test_one_client_for_the_same_settings(clients, made):
    """It is made at its first use."""
    assert use(clients, b"a") is use(clients, b"a")
    assert use(clients, b"b").name == b"b"
    assert len(made) == 2


def test_the_oldest_unused_is_closed(clients, made):
    """Above the bound, that whose last use is longest ago."""
    for name in (b"a", b"b", b"a", b"c"):
        use(clients, name)

    assert [(client.name, client.closed) for client in made] == [(b"a", False), (b"b", True), (b"c", False)]


def test_nobody_closes_a_client_in_use(clients, made):
    """The bound gives way to calls; it holds again once they are over."""
    held = [clients.take(name) for name in (b"a", b"b", b"c")]
    assert not any(client.closed for client in made)

    for each in held:
        clients.give_back(each)
    use(clients, b"d")
    assert [client.name for client in made if client.closed] == [b"a", b"b"]


def test_two_threads_that_make_the_same(made):
    """Both use one client; the other is closed at once."""
    both = threading.Barrier(2)

    def make(pickled):
        both.wait(5)
        made.append(FakeClient(pickled))
        return made[-1]

    clients, used = Clients(make), []
    threads = [threading.Thread(target=lambda: used.append(use(clients, b"a"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert used[0] is used[1]
    assert sorted(client.closed for client in made) == [False, True]


def test_a_client_that_cannot_be_made(clients):
    """It leaves nothing behind, and the next one is made."""

    def fail(pickled):
        raise ValueError("no")

    broken = Clients(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            broken.take(b"a")


def test_the_end_of_the_process(clients, made):
    """All of them are closed, those in use, too."""
    use(clients, b"a")
    clients.take(b"b")
    clients.close()

    assert [client.closed for client in made] == [True, True]
    clients.close()


@forks
def test_a_forked_child_makes_its_own(clients, made):
    """A client of the parent is left alone, and a lock that was held at the fork hangs nobody."""
    first = use(clients, b"a")

    def work():
        assert use(clients, b"a") is not first
        assert not first.closed

    with clients._lock:
        assert in_child(work) == 0


def test_a_worker_does_not_import_the_side_of_the_program():
    """What it needs for a task is little: neither the batch nor discovery comes with it."""
    others = ("foundry_rest.batch", "foundry_rest.runtime", "foundry_rest.services.discovery.", "dask")
    code = (
        "import sys, foundry_rest.client.worker_tasks\n"
        f"print([name for name in sys.modules if name.startswith({others})])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"


def test_a_task_travels():
    """It is equal on the other side, and to no other."""
    task = Task(b"client", b"work", "1")

    assert pickle.loads(pickle.dumps(task)) == task != Task(b"client", b"work", "2")


# ---------------------------------------------------------------- what an engine says


def named(name, base=Exception):
    """Return an error of a class with this name."""
    return type(name, (base,), {})("x")


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (named("KilledWorker"), Verdict.LOST),
        (named("BrokenExecutor", RuntimeError), Verdict.BROKEN),
        (named("TerminatedWorkerError", type(named("BrokenExecutor"))), Verdict.BROKEN),
        (named("ClosedClientError"), Verdict.BROKEN),
        (ModuleNotFoundError("x"), Verdict.UNREADABLE),
        (AttributeError("x"), Verdict.UNREADABLE),
        (pickle.UnpicklingError("x"), Verdict.UNREADABLE),
        (named("FutureCancelledError"), Verdict.AGAIN),
        (named("CommClosedError", OSError), Verdict.AGAIN),
        (KeyboardInterrupt(), Verdict.AGAIN),
        (ValueError("x"), Verdict.AGAIN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_table(failure, verdict):
    """An engine's classes are known by name, those that derive from them, too."""
    assert verdict_on(failure) is verdict
