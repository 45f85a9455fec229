"""Processes that share breaker state in a file: cron jobs, workers, the killed and the forked."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import textwrap

import pytest

from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.storage import SqliteState

#: Seconds after which a process that hangs fails the test.
LONG = 60
#: What every process begins with; argv: path of the file, and what the test adds.
PRELUDE = """
import os, sys, threading, time
from foundry_rest.errors import CircuitOpen, ServiceUnreachable
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.resilience.breaker.storage import SqliteState
path, *rest = sys.argv[1:]
policy = BreakerPolicy(failures=3, reset_after=30)

def fail(breaker, times):
    for _ in range(times):
        breaker.report(breaker.admit(), Outcome.FAILURE, ServiceUnreachable("refused"))

def ask(breaker):
    try:
        ticket = breaker.admit()
    except CircuitOpen:
        return "refused"
    return "probe" if ticket.probe else "admitted"

def wait_for_go():
    print("ready", flush=True)
    sys.stdin.readline()

"""


@pytest.fixture
def path(tmp_path):
    """The file that is shared."""
    return tmp_path / "circuits.sqlite"


@pytest.fixture
def spawn(path):
    """Start processes that run a script; what is left of them is killed."""
    with contextlib.ExitStack() as stack:

        def start(script, *arguments):
            process = subprocess.Popen(
                [sys.executable, "-c", PRELUDE + textwrap.dedent(script), path, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def output(process):
    """Return what a process printed, once it has ended well."""
    text, _ = process.communicate(timeout=LONG)

    assert process.returncode == 0
    return text.split()


def together(processes):
    """Let processes that are ready begin at the same moment; return their last words."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [output(process)[-1] for process in processes]


def record_of(path):
    """Return the record as this process reads it."""
    state = SqliteState(path, "a")
    try:
        return state.read()
    finally:
        state.close()


def test_the_next_job_knows(spawn):
    """A job finds the service down and ends; the next one is refused without asking the service."""
    assert output(spawn('breaker = Breaker(policy, SqliteState(path, "a")); fail(breaker, 3)')) == []
    assert output(spawn('print(ask(Breaker(policy, SqliteState(path, "a"))))')) == ["refused"]
    assert output(spawn('print(ask(Breaker(policy, SqliteState(path, "b"))))')) == ["admitted"]


def test_one_process_probes(spawn):
    """Of six processes that come when the wait is over exactly one is let through."""
    output(spawn('fail(Breaker(BreakerPolicy(failures=1, reset_after=0), SqliteState(path, "a")), 1)'))
    script = 'breaker = Breaker(policy, SqliteState(path, "a")); wait_for_go(); print(ask(breaker))'

    assert sorted(together([spawn(script) for _ in range(6)])) == ["probe"] + ["refused"] * 5


def test_a_killed_prober_blocks_the_circuit_for_a_while_only(spawn, path):
    """Killed during a probe: others are refused until its claim expires, then one of them probes."""
    another = spawn(
        """
        breaker = Breaker(BreakerPolicy(failures=1, reset_after=0), SqliteState(path, "a"))
        wait_for_go()
        print(ask(breaker))
        while ask(breaker) == "refused":
            time.sleep(0.02)
        """
    )
    assert another.stdout.readline() == "ready\n"  # what a process takes to begin is not part of the claim
    prober = spawn(
        """
        breaker = Breaker(BreakerPolicy(failures=1, reset_after=0), SqliteState(path, "a"))
        fail(breaker, 1)
        print(ask(breaker), flush=True)
        time.sleep(60)
        """
    )

    assert prober.stdout.readline() == "probe\n"
    prober.kill()
    assert another.communicate("go\n", timeout=LONG)[0] == "refused\n"
    prober.wait(LONG)
    assert record_of(path).probes == 2


def test_no_report_of_any_process_is_lost(spawn, path):
    """Eight processes count a thousand failures each; eight thousand are there."""
    script = """
        storage = SqliteState(path, "a").storage()
        wait_for_go()
        for _ in range(1000):
            storage.increment_counter()
        print("done")
        """
    together([spawn(script) for _ in range(8)])

    assert record_of(path).failures == 8000


def test_processes_may_begin_together(spawn, path):
    """Twelve processes that all find no file make it once; each one's report is kept."""
    script = """
        wait_for_go()
        breaker = Breaker(BreakerPolicy(failures=100), SqliteState(path, "a"))
        fail(breaker, 1)
        print("done")
        """
    together([spawn(script) for _ in range(12)])

    assert record_of(path).failures == 12


def test_kill_in_the_middle_of_a_write(spawn, path):
    """Twenty processes killed while they write: the file stays whole, every change in it whole too."""
    script = """
        def change(record, now):
            record.trips += 1
            record.probes = record.epoch = record.failures = record.trips

        state = SqliteState(path, "a")
        print("ready", flush=True)
        while state.change(lambda record, now: (change(record, now), 1)):
            pass
        """
    last = 0
    for _ in range(20):
        process = spawn(script)

        assert process.stdout.readline() == "ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.001, 0.03))
        process.kill()
        assert process.wait(LONG) < 0
        record = record_of(path)
        assert record.trips == record.probes == record.epoch == record.failures >= last
        last = record.trips

    state = SqliteState(path, "b")
    breaker = Breaker(BreakerPolicy(failures=1), state)
    breaker.report(breaker.admit(), Outcome.FAILURE)
    assert last > 0
    assert breaker.current == "open"
    state.close()


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


@needs_fork
def test_fork_while_a_lock_is_held(spawn):
    """A child forked while another thread is inside the state, or tells an observer, goes on."""
    script = """
        import warnings
        warnings.simplefilter("ignore")  # 3.12 warns of threads at a fork: they are the point here
        inside, finish, calls = threading.Event(), threading.Event(), []

        def hold(*_):
            calls.append(1)
            inside.set()
            finish.wait(20)

        state = MemoryState()
        breaker = Breaker(policy, state, emit=hold)
        fail(breaker, 2)
        for work in (lambda: state.change(hold), lambda: fail(breaker, 1)):
            inside.clear(), finish.clear()
            thread = threading.Thread(target=work)
            thread.start()
            inside.wait(20)
            child = os.fork()
            if child == 0:
                finish.set()
                calls.clear()
                breaker.close()
                fail(breaker, 3)
                os._exit(7 if breaker.current == "open" and calls else 8)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            finish.set()
            thread.join()
            print(code, breaker.current)
        """

    assert output(spawn(script)) == ["7", "closed", "7", "open"]


@needs_fork
def test_fork_while_threads_write_the_file(spawn, path):
    """Forked twenty times under fire: each child reports too, and what all reported is in the file."""
    script = """
        import warnings
        warnings.simplefilter("ignore")
        breaker = Breaker(BreakerPolicy(failures=100_000), SqliteState(path, "a"))
        fail(breaker, 10)  # imports pybreaker: Python itself bears no fork during another thread's import
        threads = [threading.Thread(target=fail, args=(breaker, 500)) for _ in range(3)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(20):
            child = os.fork()
            if child == 0:
                fail(breaker, 10)
                os._exit(0)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        for thread in threads:
            thread.join()
        print(codes.count(0))
        """

    assert output(spawn(script)) == ["20"]
    assert record_of(path).failures == 1710


@needs_fork
def test_a_child_outlives_its_parent(spawn, path):
    """Prefork servers: the child's reports are kept when the parent, which had the file open, is gone."""
    script = """
        state = SqliteState(path, "a")
        breaker = Breaker(BreakerPolicy(failures=100), state)
        fail(breaker, 10)
        to_child, from_parent = os.pipe()
        if os.fork() == 0:
            os.close(from_parent)
            fail(breaker, 10)
            os.read(to_child, 1)  # returns when the parent is gone
            fail(breaker, 10)
            os._exit(0)
        fail(breaker, 10)
        """
    process = spawn(script)

    assert output(process) == []
    assert record_of(path).failures == 40


def test_two_states_in_one_process(spawn, path):
    """A second opening of the file in a process gives up no lock of the first: what others write is kept."""
    script = """
        first = Breaker(BreakerPolicy(failures=100), SqliteState(path, "a"))
        fail(first, 1)
        second = Breaker(BreakerPolicy(failures=100), SqliteState(path, "b"))
        fail(second, 1)
        wait_for_go()
        fail(first, 1)
        fail(second, 1)
        print("done")
        """
    keeper = spawn(script)
    assert keeper.stdout.readline().strip() == "ready"
    for _ in range(3):
        other = spawn('fail(Breaker(BreakerPolicy(failures=100), SqliteState(path, "a")), 5)')
        assert output(other) == []
        assert path.with_name(f"{path.name}-wal").exists()  # whoever closes the file last removes its log
    keeper.stdin.write("go\n")

    assert output(keeper) == ["done"]
    assert record_of(path).failures == 17
