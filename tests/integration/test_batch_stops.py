"""A batch that is stopped early, by a signal or a bound: what is done is kept, and a later run goes on."""

from __future__ import annotations

import signal

import pytest
from support.batch_processes import Batch, outcomes
from support.platforms import posix
from support.servers import CHAT
from support.waits import until

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.testing import die, hold, inference_failed, json_error, stall

pytestmark = posix
MODEL = "demo-generic-cpu"
ITEMS, DONE, WINDOW = 30, 10, 4
#: Seconds that the end of a process may take beyond its own bound; a machine that does much else is slow.
LATE = 5.0


@pytest.fixture
def batch(command, faults, tmp_path):
    """Return a batch of some requests at a service that fails as told."""
    return Batch(command, tmp_path, faults.url).with_lines(ITEMS, model=MODEL)


def answer_some(faults, then):
    """Let the service answer the first requests, and then so."""
    faults.on("POST", CHAT, *[faults.healthy] * DONE, then)


def start_until_held(batch, faults, *options):
    """Start a batch and wait until its window is full of held calls, and all before are in the journal."""
    run = batch.start("--concurrency", WINDOW, *options)
    run.wait_for(lambda: len(faults.asked(CHAT)) == DONE + WINDOW and run.answered() == DONE)
    return run


def assert_goes_on(batch, faults, left):
    """Check that a later run sends so many requests, and that each one has its answer then."""
    faults.on("POST", CHAT, faults.healthy)
    calls = len(faults.asked(CHAT))
    again = batch.run()

    assert again.returncode == 0, again.stderr
    assert len(faults.asked(CHAT)) - calls == left
    assert outcomes(batch.output) == {f"r{number}": 200 for number in range(ITEMS)}


def counts(batch):
    """Return how many lines of the output say what."""
    said = list(outcomes(batch.output).values())
    return {what: said.count(what) for what in said}


def test_ctrl_c_finishes_the_calls_under_way(batch, faults, gate):
    """One Ctrl-C sends nothing more and waits for what is under way: exit 7, and a later run goes on."""
    answer_some(faults, lambda request: hold(gate) + faults.healthy(request))
    run = start_until_held(batch, faults)

    run.send(signal.SIGINT)
    run.wait_said("Stopping (interrupted)")
    clock.sleep(0.5)
    assert run.process.poll() is None
    gate.set()

    assert run.end() == 7
    assert len(faults.asked(CHAT)) == DONE + WINDOW
    assert faults.left == 0
    assert counts(batch) == {200: DONE + WINDOW, "batch_cancelled": ITEMS - DONE - WINDOW}
    assert f"{ITEMS - DONE - WINDOW} without a result" in run.notes
    assert "run the same command again" in run.notes
    assert_goes_on(batch, faults, ITEMS - DONE - WINDOW)


def test_ctrl_c_twice_ends_at_once(batch, faults):
    """A second Ctrl-C cuts the calls under way: exit 130; what was answered is in the journal."""
    answer_some(faults, stall())
    run = start_until_held(batch, faults)

    run.send(signal.SIGINT)
    run.wait_said("Stopping (interrupted)")
    started = clock.monotonic()
    run.send(signal.SIGINT)

    assert run.end() == 130
    assert clock.monotonic() - started < LATE
    assert faults.wait_left(count=WINDOW)
    assert not batch.output.exists()
    assert len(batch.records()) == DONE
    assert_goes_on(batch, faults, ITEMS - DONE)


@pytest.mark.parametrize("grace", [0, 1.5])
def test_sigterm_ends_within_the_grace(batch, faults, grace):
    """SIGTERM gives the calls under way the grace and then cuts them: exit 7, with an output."""
    answer_some(faults, stall())
    run = start_until_held(batch, faults, "--grace", grace)

    started = clock.monotonic()
    run.send(signal.SIGTERM)

    assert run.end() == 7
    assert grace <= clock.monotonic() - started < grace + LATE
    assert "Stopping (terminated)" in run.notes
    assert counts(batch) == {200: DONE, "batch_cancelled": ITEMS - DONE}
    assert_goes_on(batch, faults, ITEMS - DONE)


def test_sigterm_keeps_what_comes_in_the_grace(batch, faults, gate):
    """What is answered within the grace is kept, and the process does not wait for the rest of it."""
    answer_some(faults, lambda request: hold(gate) + faults.healthy(request))
    run = start_until_held(batch, faults, "--grace", 30)

    run.send(signal.SIGTERM)
    run.wait_said("Stopping (terminated)")
    started = clock.monotonic()
    gate.set()

    assert run.end() == 7
    assert clock.monotonic() - started < LATE
    assert counts(batch) == {200: DONE + WINDOW, "batch_cancelled": ITEMS - DONE - WINDOW}
    assert_goes_on(batch, faults, ITEMS - DONE - WINDOW)


def test_sigterm_after_ctrl_c_bounds_the_wait(batch, faults):
    """SIGTERM after a Ctrl-C that waits for a silent service ends it within the grace."""
    answer_some(faults, stall())
    run = start_until_held(batch, faults, "--grace", 0.5)

    run.send(signal.SIGINT)
    run.wait_said("Stopping (interrupted)")
    started = clock.monotonic()
    run.send(signal.SIGTERM)

    assert run.end() == 7
    assert clock.monotonic() - started < LATE
    assert_goes_on(batch, faults, ITEMS - DONE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_client_batch_is_interrupted(faults, error):
    """Ctrl-C in `client.batch`, or an iterable that fails, ends the calls under way and is raised at once."""
    faults.on("POST", CHAT, stall())

    def requests():
        yield from ("one", "two")
        until(lambda: len(faults.asked(CHAT)) == 2)
        raise error

    with FoundryAPIClient(faults.url, model=MODEL) as client:
        started = clock.monotonic()
        with pytest.raises(error):
            list(client.batch(requests()))

        assert clock.monotonic() - started < LATE
        assert faults.wait_left(count=2)


def test_time_for_the_whole_job(batch, faults):
    """`--stop-after` bounds the job: exit 7, and what has no answer says `batch_expired`."""
    answer_some(faults, stall())
    started = clock.monotonic()
    done = batch.run("--stop-after", 2, "--grace", 0.2, "--concurrency", WINDOW)

    assert done.returncode == 7, done.stderr
    assert 2 < clock.monotonic() - started < 2 + LATE
    assert counts(batch) == {200: DONE, "batch_expired": ITEMS - DONE}
    assert_goes_on(batch, faults, ITEMS - DONE)


def test_too_many_errors(batch, faults):
    """`--max-errors` counts at once; the output has what failed as HTTP answered it, and the rest unsent."""
    answer_some(faults, json_error(422, "no such thing"))
    # Not synced before the end, so that nothing but the failures themselves can tell their number.
    done = batch.run("--max-errors", 3, "--concurrency", WINDOW, "--sync", "second")
    said = counts(batch)

    assert done.returncode == 7, done.stderr
    assert "too many errors" in done.stderr
    assert said[200] == DONE
    assert 3 <= said[422] < 3 + WINDOW
    assert sum(said.values()) == ITEMS

    # What failed stays so until it is asked for.
    faults.on("POST", CHAT, faults.healthy)
    again = batch.run()
    assert again.returncode == 6, again.stderr
    assert counts(batch) == {200: ITEMS - said[422], 422: said[422]}
    assert "--retry-failed" in again.stderr
    # 422 is no failure that goes away by itself.
    assert batch.run("--retry-failed=transient").returncode == 6
    calls = len(faults.asked(CHAT))
    assert batch.run("--retry-failed").returncode == 0
    assert len(faults.asked(CHAT)) - calls == said[422]
    assert counts(batch) == {200: ITEMS}


def test_transient_failures_are_sent_again(batch, faults):
    """`--retry-failed=transient` sends again what the service failed at, and nothing else."""
    faults.on("POST", CHAT, json_error(422, "no such thing"), inference_failed())
    first = batch.run("--limit", 3, "--concurrency", 1)
    assert first.returncode == 6, first.stderr
    assert counts(batch) == {422: 1, 500: 2}

    faults.on("POST", CHAT, faults.healthy)
    calls = len(faults.asked(CHAT))
    again = batch.run("--limit", 3, "--retry-failed=transient")

    assert again.returncode == 6, again.stderr
    assert len(faults.asked(CHAT)) - calls == 2
    assert counts(batch) == {200: 2, 422: 1}


def test_signal_while_it_waits_for_the_service(batch, faults):
    """Ctrl-C ends the wait for a service that is down: exit 7 at once, with nothing lost."""
    answer_some(faults, die())
    run = batch.start("--concurrency", WINDOW)
    run.wait_said("nothing listens there")
    started = clock.monotonic()
    run.send(signal.SIGINT)

    assert run.end() == 7
    assert clock.monotonic() - started < LATE
    done = counts(batch)[200]
    assert counts(batch) == {200: done, "batch_cancelled": ITEMS - done}
    assert 0 < done <= DONE
    faults.stop()
    faults.start()
    assert_goes_on(batch, faults, ITEMS - done)


def test_nothing_of_it_is_left(batch, faults, tmp_path):
    """A run that is stopped leaves the output, the journal and nothing else beside the input."""
    answer_some(faults, stall())
    run = start_until_held(batch, faults, "--grace", 0)
    run.send(signal.SIGTERM)
    assert run.end() == 7

    assert {path.name for path in tmp_path.iterdir()} - {"out.jsonl.notes1"} == {
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.journal",
    }
    assert batch.journal.stat().st_mode & 0o777 == 0o600
    assert batch.output.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_the_service_is_looked_for(batch, faults, number):
    """A signal while a silent service is asked for its models ends the command; the output stays as it is."""
    assert batch.run("--limit", 2).returncode == 0
    before, calls = batch.output.read_bytes(), len(faults.asked(CHAT))
    asked = len(faults.requests)
    faults.otherwise(stall())
    run = batch.start()
    run.wait_for(lambda: len(faults.requests) > asked)
    started = clock.monotonic()
    run.send(number)

    assert run.end() == 7
    assert clock.monotonic() - started < LATE
    assert "nothing was sent or written" in run.notes
    assert batch.output.read_bytes() == before
    assert len(faults.asked(CHAT)) == calls
    faults.otherwise(faults.healthy)
    assert_goes_on(batch, faults, ITEMS - 2)
