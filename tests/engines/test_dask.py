"""Batches on a real dask cluster of two worker processes, each with a Foundry Local of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.engines import needs
from support.proxies import CountingProxy
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.batch.job import answer_file
from foundry_rest.batch.run import Hooks, Settings
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.testing import DEMO_MODEL, FaultServer

pytestmark = [needs("distributed"), pytest.mark.filterwarnings("default")]

#: Items, and calls at a time, of the batch in which a worker dies.
ITEMS, WINDOW = 120, 6


@contextmanager
def cluster(folder, *environments, threads=3):
    """Run a scheduler and a worker process for each environment; yield a client of dask."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    workers = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": threads,
                "env": environment,
                "host": "127.0.0.1",
                "local_directory": str(folder / f"worker{number}"),
                "dashboard": False,
            },
        }
        for number, environment in enumerate(environments)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    with SpecCluster(workers, scheduler, silence_logs=50) as running, Client(running) as client:
        client.wait_for_workers(len(environments), timeout=60)
        yield client


def asks(url):
    """Return the environment of a worker whose machine has its service at this address."""
    return {"FOUNDRY_ENDPOINT": url}


def prompts(*servers):
    """Return every prompt that the servers were asked."""
    return [request.json()["messages"][-1]["content"] for server in servers for request in server.asked(CHAT)]


def test_each_worker_asks_its_own_service(tmp_path):
    """The program's machine has none; each request has one result, and equal ones are calls of their own."""
    with FaultServer() as one, FaultServer() as two, FoundryAPIClient(model=DEMO_MODEL) as client:
        with cluster(tmp_path, asks(one.url), asks(two.url)) as dask:
            given = ["The same"] * 20 + [f"Prompt {number}" for number in range(20)]
            results = list(client.batch(given, executor=dask.get_executor(), max_concurrency=6, ordered=True))

        assert all(result.ok for result in results)
        assert sorted(prompts(one, two)) == sorted(given)
        assert prompts(one)
        assert prompts(two)


@pytest.mark.parametrize("options", [{}, {"pure": True}, {"pure": False}], ids=str)
def test_two_equal_prompts_make_two_calls(tmp_path, options):
    """Dask makes one call of two equal tasks; none of ours are equal."""
    with FaultServer() as server, FoundryAPIClient(model=DEMO_MODEL) as client:
        with cluster(tmp_path, asks(server.url)) as dask:
            results = list(client.batch(["Hi", "Hi"], executor=dask.get_executor(**options)))

        assert [result.ok for result in results] == [True, True]
        assert prompts(server) == ["Hi", "Hi"]


EXAMPLE = Path(__file__).parents[2] / "examples" / "dask_cluster.py"


def run_example(*arguments):
    """Run the example as a user does."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments],
        env={**os.environ, "FOUNDRY_MODEL": DEMO_MODEL},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_on_its_own(monkeypatch):
    """Without arguments it has a cluster of its own, and shows the answers."""
    with FaultServer(reply="Paris, or Rome") as server:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
        shown = run_example()

        assert shown.count("Paris, or Rome") == 2
        assert len(prompts(server)) == 2


def test_the_example_on_a_cluster(tmp_path):
    """With a scheduler's address it answers a file there."""
    (tmp_path / "in.txt").write_text("One\nTwo\nThree\n", "utf-8")
    with FaultServer() as server, cluster(tmp_path, asks(server.url)) as dask:
        run_example(dask.scheduler.address, str(tmp_path / "in.txt"), str(tmp_path / "out.jsonl"))

        assert sorted(prompts(server)) == ["One", "Three", "Two"]
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 3


class Slow:
    """An answer that takes its time, as a model does that serves one request after the other."""

    seconds = 0.25

    def __call__(self, request):
        """Answer late."""
        clock.sleep(self.seconds)
        return answer("done")(request)


def seconds_of(client, dask, count):
    """Return how long a batch takes on warm workers."""
    executor = dask.get_executor()
    list(client.batch(["warm"] * 4, executor=executor, max_concurrency=8))
    began = clock.monotonic()
    results = list(client.batch(["x"] * count, executor=executor, max_concurrency=8))
    assert all(result.ok for result in results)
    return clock.monotonic() - began


def test_two_workers_do_twice_the_work(tmp_path):
    """With services that take 0.25 s for a call, one at a time, two workers reach at least 1.8 x one."""
    with FaultServer() as one, FaultServer() as two, FoundryAPIClient(model=DEMO_MODEL) as client:
        for server in (one, two):
            server.on("POST", CHAT, Slow())
        with cluster(tmp_path / "one", asks(one.url), threads=1) as dask:
            alone = seconds_of(client, dask, 20)
        with cluster(tmp_path / "two", asks(one.url), asks(two.url), threads=1) as dask:
            both = seconds_of(client, dask, 20)

    assert alone / both >= 1.8, f"one worker {alone:.2f} s, two {both:.2f} s"


def test_a_worker_and_its_runtime_die(tmp_path):
    """Every item has its one result, and the calls are at most the items and the window."""
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join(f"What is {number}?\n" for number in range(ITEMS)), "utf-8")
    with ExitStack() as stack:
        runtimes = [stack.enter_context(LocalRuntime(demo_model_dir())) for _ in range(2)]
        ends = [stack.enter_context(ExitStack()) for _ in runtimes]
        proxies = [
            end.enter_context(CountingProxy(runtime.url)) for end, runtime in zip(ends, runtimes, strict=True)
        ]
        dask = stack.enter_context(cluster(tmp_path, *[asks(proxy.url) for proxy in proxies]))
        client = stack.enter_context(FoundryAPIClient(model="demo-chat", retries=1))
        killed = []

        def kill_one():
            if killed or min(proxy.calls for proxy in proxies) < WINDOW:
                return
            killed.append(proxies[0].calls)
            pids = dask.run(lambda: (os.getpid(), os.environ["FOUNDRY_ENDPOINT"]))
            (worker,) = [pid for pid, url in pids.values() if url == proxies[0].url]
            os.kill(worker, signal.SIGKILL)
            os.kill(runtimes[0].pid, signal.SIGKILL)
            ends[0].close()

        outcome = answer_file(
            client,
            source,
            output,
            settings=Settings(concurrency=WINDOW),
            hooks=Hooks(progress=kill_one),
            executor=dask.get_executor(),
        )
        calls = sum(proxy.calls for proxy in proxies)

    rows = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert killed
    assert outcome.is_whole, str(outcome.counts)
    assert sorted(row["custom_id"] for row in rows) == sorted(f"line-{n + 1}" for n in range(ITEMS))
    assert all(row["response"]["status_code"] == 200 for row in rows)
    assert ITEMS <= calls <= ITEMS + WINDOW
