"""The storage in a file serves pybreaker itself as pybreaker's own storages do.

Two suites: what pybreaker expects of a storage, in our words, run on its own storage in memory and on
ours alike, so that no expectation is invented; and pybreaker's very own tests, when somebody has them.
They are neither in its wheel nor in its sdist (looked at: 0.8.0 to 1.4.1). To run them::

    git clone --depth 1 --branch v1.4.1 https://github.com/danielfm/pybreaker
    PYBREAKER_SUITE=pybreaker/tests/pybreaker_test.py pytest tests/integration/test_pybreaker_suite.py
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pybreaker
import pytest

from foundry_rest.resilience.breaker.storage import SqliteState

SUITE = os.environ.get("PYBREAKER_SUITE", "")


@pytest.fixture(params=["pybreaker's, in memory", "ours, in a file"])
def storage(request, tmp_path):
    """A storage that pybreaker shall work with."""
    if "memory" in request.param:
        yield pybreaker.CircuitMemoryStorage("closed")
        return
    state = SqliteState(tmp_path / "circuits.sqlite", "a")
    yield state.storage()
    state.close()


@pytest.fixture
def breaker(storage):
    """A breaker of pybreaker's that opens at the third failure."""
    return pybreaker.CircuitBreaker(fail_max=3, state_storage=storage, throw_new_error_on_trip=False)


def fail(breaker, times=1):
    """Let calls fail."""
    for _ in range(times):
        with pytest.raises(ZeroDivisionError):
            breaker.call(lambda: 1 // 0)


def let_time_pass(storage, seconds):
    """Pretend that the circuit opened so much earlier."""
    storage.opened_at = storage.opened_at - timedelta(seconds=seconds)


def test_a_new_storage_is_closed_and_empty(storage):
    """It begins closed, with nothing counted and no date."""
    assert isinstance(storage, pybreaker.CircuitBreakerStorage)
    assert isinstance(storage.name, str)
    assert (storage.state, storage.counter, storage.success_counter) == ("closed", 0, 0)
    assert storage.opened_at is None


def test_it_keeps_what_it_is_given(storage):
    """State, counters and date are read as they were written; a counter put to 0 begins again."""
    date = datetime.now(timezone.utc)
    storage.state, storage.opened_at = "half-open", date
    for _ in range(3):
        storage.increment_counter()
        storage.increment_success_counter()

    assert (storage.state, storage.counter, storage.success_counter) == ("half-open", 3, 3)
    assert abs(storage.opened_at - date) < timedelta(milliseconds=1)
    storage.reset_counter()
    assert (storage.counter, storage.success_counter) == (0, 3)
    storage.reset_success_counter()
    assert storage.success_counter == 0


def test_calls_are_counted(breaker):
    """Failures count up, a success begins again, the third in a row opens, an open circuit refuses."""
    fail(breaker, 2)
    breaker.call(lambda: True)
    after_success = breaker.fail_counter
    fail(breaker, 3)

    assert after_success == 0
    assert (breaker.current_state, breaker.fail_counter) == ("open", 3)
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(lambda: True)
    assert breaker.fail_counter == 3


@pytest.mark.parametrize(("work", "state", "count"), [(lambda: 1, "closed", 0), (lambda: 1 // 0, "open", 4)])
def test_the_first_call_after_the_wait_decides(breaker, storage, work, state, count):
    """Once the time is over a call is tried: it closes the circuit, or opens it and is counted."""
    fail(breaker, 3)
    let_time_pass(storage, 61)
    if state == "closed":
        breaker.call(work)
    else:
        fail(breaker)

    assert (breaker.current_state, breaker.fail_counter) == (state, count)
    if state == "open":
        with pytest.raises(pybreaker.CircuitBreakerError):
            breaker.call(work)


def test_successes_are_counted_while_half_open(storage):
    """With a threshold the circuit closes at the last success; a failure in between begins again."""
    breaker = pybreaker.CircuitBreaker(
        fail_max=3, success_threshold=2, state_storage=storage, throw_new_error_on_trip=False
    )
    breaker.half_open()
    breaker.call(lambda: True)
    counts = [breaker.success_counter]
    fail(breaker)
    counts.append(breaker.success_counter)
    breaker.half_open()
    for _ in range(2):
        breaker.call(lambda: True)

    assert counts == [1, 0]
    assert (breaker.current_state, breaker.success_counter) == ("closed", 0)


def test_by_hand(breaker):
    """Opened, half-opened and closed by hand; closing forgets the failures."""
    fail(breaker, 2)
    states = []
    for change in (breaker.open, breaker.half_open, breaker.close):
        change()
        states.append(breaker.current_state)

    assert states == ["open", "half-open", "closed"]
    assert breaker.fail_counter == 0


def test_listeners_hear_each_change(storage):
    """A listener is told each change of state once, old and new."""

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb, old_state, new_state):
            heard.append((old_state.name, new_state.name))

    heard = []
    breaker = pybreaker.CircuitBreaker(listeners=[Listener()], state_storage=storage)
    breaker.open()
    breaker.half_open()
    breaker.close()

    assert heard == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_generators(breaker):
    """A generator that raises is a failure, one that ends a success."""

    @breaker
    def counting(fails):
        yield 1
        if fails:
            raise KeyError

    with pytest.raises(KeyError):
        list(counting(fails=True))
    after_failure = breaker.fail_counter
    list(counting(fails=False))

    assert (after_failure, breaker.fail_counter) == (1, 0)


def test_a_second_breaker_on_it_goes_on(breaker, storage):
    """A breaker made later on the same storage finds state, counter and date as they are."""
    fail(breaker, 3)
    date = storage.opened_at
    other = pybreaker.CircuitBreaker(fail_max=3, state_storage=storage)

    assert (other.current_state, other.fail_counter, storage.opened_at) == ("open", 3, date)
    other.close()
    assert breaker.state.name == "closed"


def test_threads(breaker):
    """Failures that three threads report are all counted, and the circuit opens once."""
    breaker.fail_max = 1000

    def work():
        for _ in range(50):
            fail(breaker)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert (breaker.fail_counter, breaker.current_state) == (150, "closed")


#: Stand-ins for what the suite imports and its storage tests do not need.
STUBS = {
    "tornado": {
        "gen": "coroutine = lambda f: f",
        "testing": "gen_test = lambda f: f\nfrom unittest import TestCase as AsyncTestCase",
    },
    "fakeredis": {},
    "redis": {"client": "class Pipeline: pass", "exceptions": "class RedisError(Exception): pass"},
}
OURS = """
    import tempfile, unittest
    import pybreaker
    import pybreaker_test as suite
    from foundry_rest.resilience.breaker.storage import SqliteState

    def give_storage(case):
        folder = tempfile.TemporaryDirectory()
        case.addCleanup(folder.cleanup)
        state = SqliteState(folder.name + "/circuits.sqlite", "a")
        case.addCleanup(state.close)
        return {"state_storage": state.storage()}

    class TestStorage(unittest.TestCase, suite.CircuitBreakerStorageBasedTestCase):
        def setUp(self):
            self.breaker_kwargs = give_storage(self)
            self.breaker = pybreaker.CircuitBreaker(**self.breaker_kwargs)

    class TestConcurrency(suite.CircuitBreakerRedisConcurrencyTestCase):
        def setUp(self):
            self.breaker_kwargs = {"fail_max": 3000, "reset_timeout": 20, **give_storage(self)}
            self.breaker = pybreaker.CircuitBreaker(**self.breaker_kwargs)

        def tearDown(self):
            pass
"""


def put_stubs(folder):
    """Write a stand-in for each library that is not installed."""
    for name, modules in STUBS.items():
        if importlib.util.find_spec(name) is None:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text("class Redis: pass\n")
            for module, text in modules.items():
                (folder / name / f"{module}.py").write_text(text + "\n")


@pytest.mark.skipif(not SUITE, reason="set PYBREAKER_SUITE to a clone's tests/pybreaker_test.py; see above")
def test_pybreakers_own_suite(tmp_path):
    """What pybreaker tests its own shared storage with passes on ours, to the last test."""
    put_stubs(tmp_path)
    shutil.copy(Path(SUITE), tmp_path / "pybreaker_test.py")
    (tmp_path / "test_ours.py").write_text(textwrap.dedent(OURS))
    paths = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "test_ours.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert int(done.stdout.rsplit(" passed", 1)[0].rsplit(maxsplit=1)[-1]) >= 18
