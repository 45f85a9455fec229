"""A batch with slots of the machine: a slot around each call, none while it waits, and what ends a wait."""

from __future__ import annotations

import threading

import pytest
from support.batches import Bench, FakeAnswering
from support.waits import until

from foundry_rest import clock
from foundry_rest.batch import run as run_module
from foundry_rest.batch.run import Hooks, Settings
from foundry_rest.batch.stop import INTERRUPTED, OUT_OF_TIME, TERMINATED
from foundry_rest.endpoints import window
from foundry_rest.errors import BadRequest, ConfigError, ServiceUnreachable, StreamInterrupted
from foundry_rest.resilience import host_slots
from foundry_rest.resilience.host_slots import MOST, HostSlots, default_directory

NAMES = [f"id-{number}" for number in range(8)]
#: Seconds to the end of a run whose wait is ended: the wait's own part is tested in test_host_slots.
AT_ONCE = 0.5


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Make silences and the gathering of results short."""
    monkeypatch.setattr(window, "TICK", 0.01)
    monkeypatch.setattr(run_module, "_GATHER", 0.001)


@pytest.fixture
def bench(tmp_path):
    """Return the runs of one batch."""
    return Bench(tmp_path)


class Counting(FakeAnswering):
    """A client that counts the calls under way, which are those of all its batches.

    Attributes:
        most: The most at a time.
    """

    def __init__(self, answer=lambda prompt: "x") -> None:
        super().__init__(self._count)
        self.most, self._now, self._is_counted, self._then = 0, 0, threading.Lock(), answer

    def _count(self, prompt):
        with self._is_counted:
            self._now += 1
            self.most = max(self.most, self._now)
        clock.sleep(0.001)
        with self._is_counted:
            self._now -= 1
        return self._then(prompt)


def run_in_thread(bench, *arguments, **settings):
    """Start a run; return its thread and the list that its result is put into."""
    done = []
    thread = threading.Thread(target=lambda: done.append(bench.run(*arguments, **settings)))
    thread.start()
    return thread, done


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", MOST + 1])
def test_the_number_is_checked(value):
    """It is a whole number from 1 on, as far as files can be open."""
    with pytest.raises(ConfigError, match="host_slots must be a whole number from 1 to"):
        Settings(host_slots=value)


def test_without_a_number_there_are_no_files(bench):
    """Who does not ask for it has nothing of it."""
    bench.run(FakeAnswering(), *NAMES)

    assert not default_directory().exists()


@pytest.mark.parametrize(("concurrency", "slots"), [(4, 1), (4, 2), (1, 4), (2, 2)])
def test_never_more_calls_than_slots(bench, concurrency, slots):
    """The smaller of both numbers bounds a single run; all is answered, and no slot is kept."""
    client = Counting()
    summary, counts = bench.run(client, *NAMES, concurrency=concurrency, host_slots=slots)

    assert client.most <= min(concurrency, slots)
    assert (summary.succeeded, counts.succeeded) == (8, 8)
    _all = [HostSlots(slots).acquire(clock.monotonic() + 1) for _ in range(slots)]


def test_never_more_calls_than_slots_in_two_runs(tmp_path):
    """Two runs have no more calls under way than one."""
    client = Counting()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    runs = [
        run_in_thread(Bench(tmp_path / name), client, *NAMES, concurrency=4, host_slots=2)
        for name in ("a", "b")
    ]
    for thread, _ in runs:
        thread.join(10)

    assert client.most <= 2
    assert [done[0][0].succeeded for _, done in runs] == [8, 8]


@pytest.mark.parametrize("failure", [BadRequest("no", status=400), StreamInterrupted("cut")])
def test_a_failed_call_keeps_no_slot(bench, failure):
    """Whether it is told or made again."""
    failures = [failure]
    client = Counting(lambda prompt: raise_or(failures, "x"))
    _, counts = bench.run(client, *NAMES, host_slots=1)

    assert counts.succeeded + counts.failed == 8
    HostSlots(1).acquire(clock.monotonic() + 1)


def raise_or(failures, text):
    """Raise the next failure, or answer."""
    if failures:
        raise failures.pop()
    return text


def test_no_slot_while_no_service_answers(bench):
    """Who waits for a service leaves the slots to batches at another one."""
    away = threading.Event()

    def answer(prompt):
        if not away.is_set():
            raise ServiceUnreachable("refused", sent=False)
        return "x"

    thread, done = run_in_thread(bench, FakeAnswering(answer), "a", host_slots=1, downtime=5)
    until(lambda: bench.last is not None and bench.last.outage is not None)
    with HostSlots(1).acquire(clock.monotonic() + 1):
        away.set()
    bench.stop.ask(INTERRUPTED)
    thread.join(5)

    assert done[0][0].stopped == INTERRUPTED


@pytest.mark.parametrize("how", ["asked", "terminated", "stop_after", "the end of the calls"])
def test_the_end_of_a_wait_for_a_slot(bench, how):
    """What ends a batch ends it at once: nothing was sent, and nothing has a result."""
    holder = HostSlots(1)
    held = holder.acquire()
    client = FakeAnswering()
    settings = {"stop_after": 0.05} if how == "stop_after" else {}
    thread, done = run_in_thread(bench, client, *NAMES, concurrency=3, host_slots=1, **settings)
    until(lambda: bench.last is not None and bool(bench.last._host_slots._turns))
    began = clock.monotonic()
    if how == "asked":
        bench.stop.ask(INTERRUPTED)
    elif how == "terminated":
        bench.stop.ask(TERMINATED, 10)
    elif how == "the end of the calls":
        bench.stop.now.cancel()  # as an error does that ends the run
    thread.join(5)

    assert clock.monotonic() - began < AT_ONCE
    assert client.asked == []
    reasons = {"asked": INTERRUPTED, "terminated": TERMINATED, "stop_after": OUT_OF_TIME}
    assert done[0][0].stopped == reasons.get(how, "")
    assert done[0][1].unsent == 8
    assert holder.held == 1
    held.release()


def test_time_spent_in_the_queue_is_no_latency(bench):
    """The figures tell how long the service took."""
    held = HostSlots(1).acquire()
    thread, done = run_in_thread(bench, FakeAnswering(), "a", host_slots=1)
    until(lambda: bench.last is not None and bool(bench.last._host_slots._turns))
    clock.sleep(0.05)
    held.release()
    thread.join(5)

    assert done[0][0].latency.p50 < 0.04


def test_why_a_batch_waits(bench, monkeypatch):
    """While others hold all slots the progress says so, and no longer when one came."""
    monkeypatch.setattr(host_slots, "_A_WHILE", 0.02)
    held, said, figures = HostSlots(2), [], []
    slots = [held.acquire() for _ in range(2)]

    def progress():
        said.append(figures[0].waiting)
        if said[-1] and slots:
            slots.pop().release()

    hooks = Hooks(started=figures.append, progress=progress)
    _, counts = bench.run(FakeAnswering(), *NAMES, host_slots=2, hooks=hooks)

    assert counts.succeeded == 8
    assert "others have all 2 host slots" in said
    assert said[-1] == ""


def test_files_that_cannot_be_used(bench):
    """The run does not begin where there is no place for them: no request fails because of it."""
    default_directory().parent.mkdir(parents=True)
    default_directory().write_text("")
    client = FakeAnswering()

    with pytest.raises(ConfigError, match="slots of the machine cannot be kept"):
        bench.run(client, *NAMES, host_slots=1)
    assert client.asked == []


def test_files_that_fail_in_the_middle(bench, monkeypatch):
    """The run ends with the error of the file; what is answered stays, the rest is sent by a later run."""
    client = FakeAnswering()
    real = host_slots.LockFile.take

    def take(file, key):
        if len(client.asked) == 3:
            raise OSError(5, "Input/output error")
        return real(file, key)

    with monkeypatch.context() as patch:
        patch.setattr(host_slots.LockFile, "take", take)
        with pytest.raises(OSError, match="cannot be used: Input/output error"):
            bench.run(client, *NAMES, host_slots=1)
    _, counts = bench.run(client, *NAMES, host_slots=1)

    assert (len(client.asked), counts.succeeded) == (8, 8)
