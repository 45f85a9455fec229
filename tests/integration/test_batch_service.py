"""A batch whose service goes away, for a while or for good: it pauses, goes on, or says that it is down."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from support.batch_processes import Batch, lines, outcomes, write
from support.platforms import posix
from support.servers import CHAT

from foundry_rest import clock
from foundry_rest.testing import FaultServer, chat_stream, dead_address, die

MODEL, ALIAS = "demo-generic-cpu", "demo-chat"
ITEMS, DONE = 40, 10
#: Seconds that a batch may take beyond its own bound; a machine that does much else is slow.
LATE = 5.0


@pytest.fixture
def batch(command, faults, tmp_path):
    """Return a batch of some requests at a service that fails as told."""
    return Batch(command, tmp_path, faults.url).with_lines(ITEMS, model=MODEL)


def all_answered(count=ITEMS):
    """Return what an output says when every request has its answer."""
    return {f"r{number}": 200 for number in range(count)}


@pytest.mark.parametrize("end", [die(), chat_stream(["one", " two", " three"])[:3] + die()])
def test_service_comes_back(batch, faults, end):
    """A service that dies with calls under way and comes back is waited for: nobody notices in the output."""
    faults.on("POST", CHAT, *[faults.healthy] * DONE, end, faults.healthy)
    run = batch.start()
    run.wait_said("nothing listens there")
    faults.stop()
    clock.sleep(1)
    assert run.process.poll() is None
    faults.start()

    assert run.end() == 0
    assert outcomes(batch.output) == all_answered()
    assert f"{ITEMS} answers, 0 failed, 0 without a result" in run.notes


def test_service_stays_away(batch, faults):
    """A service that stays away ends the batch within `--max-downtime`: exit 75, and a later run goes on."""
    faults.on("POST", CHAT, *[faults.healthy] * DONE, die())
    run = batch.start("--max-downtime", 1.5)
    run.wait_said("nothing listens there")
    started = clock.monotonic()

    assert run.end() == 75
    assert clock.monotonic() - started < 1.5 + LATE
    said = list(outcomes(batch.output).values())
    done = said.count(200)
    assert 0 < done <= DONE
    assert said.count("batch_cancelled") == ITEMS - done
    assert "Stopping (service down)" in run.notes
    assert faults.url in run.notes
    assert "run the same command again" in run.notes

    faults.stop()
    faults.on("POST", CHAT, faults.healthy)
    faults.start()
    calls = len(faults.asked(CHAT))
    again = batch.run()
    assert again.returncode == 0, again.stderr
    assert outcomes(batch.output) == all_answered()
    assert len(faults.asked(CHAT)) - calls == ITEMS - done


def test_no_service_at_the_start(command, faults, tmp_path):
    """Without a service at the start there is no output: exit 75, and it may be run again."""
    with dead_address() as url:
        batch = Batch(command, tmp_path, url)
        write(batch.input, lines(3, model=MODEL))
        done = batch.run()
    assert done.returncode == 75, done.stderr
    assert url in done.stderr
    assert not batch.output.exists()
    assert batch.records() == []

    batch.url = faults.url
    assert batch.run().returncode == 0
    assert outcomes(batch.output) == all_answered(3)


def test_unloaded_in_the_middle(command, tmp_path):
    """A model that is unloaded while the batch runs is loaded again: no request fails for it."""

    def unload(request):
        server.loaded = []
        return server.healthy(request)

    with FaultServer({"demo": "demo"}) as server:
        server.on("POST", CHAT, *[server.healthy] * DONE, unload, server.healthy)
        batch = Batch(command, tmp_path, server.url)
        write(batch.input, lines(ITEMS, model="demo"))

        assert batch.run().returncode == 0
        assert outcomes(batch.output) == all_answered()
        assert server.asked("/models/load/demo")


@pytest.mark.runtime
@posix
def test_real_service_is_killed_and_started_again(command, tmp_path):
    """The real service is killed with calls under way and started again at its port: the batch goes on."""
    served, url = command.serve()
    batch = Batch(command, tmp_path, url)
    write(batch.input, lines(500, model=ALIAS, max_tokens=4, temperature=0))
    run = batch.start()
    run.wait_for(lambda: run.answered() >= 100)
    (child,) = psutil.Process(served.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    served.communicate(timeout=30)
    before = run.answered()
    command.serve("--port", url.rpartition(":")[2])

    assert run.end() == 0
    assert before < 500
    assert outcomes(batch.output) == all_answered(500)
