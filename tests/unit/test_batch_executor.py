"""A batch of files on an executor: journal, outages and order stay here, calls are made by workers."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest
from support.executors import HereExecutor, KilledWorker, RefusingExecutor, never
from support.servers import bodies

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.batch.job import answer_file
from foundry_rest.batch.run import Settings
from foundry_rest.batch.stop import OUT_OF_TIME, SERVICE_DOWN, TOO_MANY_ERRORS
from foundry_rest.errors import CircuitOpen, ConfigError, ExecutorBroken, ServiceUnreachable
from foundry_rest.testing import DEMO_MODEL, dead_address

COUNT = 20


@pytest.fixture
def source(tmp_path):
    """Return an input."""
    path = tmp_path / "in.txt"
    path.write_text("".join(f"prompt {number}\n" for number in range(COUNT)))
    return path


@pytest.fixture
def output(tmp_path):
    """Return where the results go."""
    return tmp_path / "out.jsonl"


def codes(output):
    """Return the status or the code of each line by its name; each is there once."""
    rows = [json.loads(line) for line in output.read_bytes().splitlines()]
    found = {
        row["custom_id"]: row["response"]["status_code"] if row["response"] else row["error"]["code"]
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def prompts(server):
    """Return the prompts that the service was asked."""
    return [body["messages"][-1]["content"] for body in bodies(server)]


@pytest.mark.parametrize("ordered", [True, False])
def test_every_request_has_its_result(server, client, source, output, ordered):
    """As without an executor, and the next run keeps them."""
    with ThreadPoolExecutor(3) as pool:
        outcome = answer_file(client, source, output, ordered=ordered, executor=pool)
        again = answer_file(client, source, output, ordered=ordered, executor=pool)

    assert outcome.is_whole
    assert again.summary.done_before == COUNT
    assert sorted(prompts(server)) == sorted(f"prompt {number}" for number in range(COUNT))
    assert set(codes(output).values()) == {200}
    assert not ordered or list(codes(output)) == [f"line-{number + 1}" for number in range(COUNT)]


def test_results_of_both_kinds_are_kept(server, client, source, output):
    """A run without an executor goes on where one with it was, and the other way round."""
    answer_file(client, source, output, executor=HereExecutor())

    assert answer_file(client, source, output).summary.done_before == COUNT


def test_this_machine_needs_no_service(server, monkeypatch, source, output):
    """What a model's name means is asked of a worker, too."""
    with FoundryAPIClient(model=DEMO_MODEL, retries=0) as client:

        class There(HereExecutor):
            def submit(self, *arguments, **options):
                with monkeypatch.context() as there:
                    there.setenv("FOUNDRY_ENDPOINT", server.url)
                    return super().submit(*arguments, **options)

        assert answer_file(
            client, source, output, executor=There(), settings=Settings(concurrency=1)
        ).is_whole
        assert client.url is None


def test_a_lost_task_costs_nothing(server, client, source, output):
    """It is made again, and counted as one result."""
    executor = HereExecutor(None, *[ConnectionError("gone")] * 2)
    outcome = answer_file(client, source, output, executor=executor, settings=Settings(concurrency=2))

    assert outcome.is_whole
    assert len(executor.tasks) == COUNT + 3


@pytest.mark.parametrize("retry", ["all", "transient"])
def test_a_request_that_ends_its_workers(server, client, source, output, retry):
    """It alone has an error, whose code says so; it may be tried again."""
    executor = HereExecutor(None, KilledWorker("x"))
    outcome = answer_file(client, source, output, executor=executor, settings=Settings(concurrency=1))

    assert (outcome.counts.failed, outcome.counts.succeeded) == (1, COUNT - 1)
    assert codes(output)["line-1"] == "worker_lost"
    settings = Settings(retry_failed=retry)
    assert answer_file(client, source, output, executor=HereExecutor(), settings=settings).is_whole


def test_too_many_lost_workers(server, client, source, output):
    """They count as failures."""
    executor = HereExecutor(None, *[KilledWorker("x")] * COUNT)
    settings = Settings(concurrency=1, max_errors=2)

    assert answer_file(client, source, output, executor=executor, settings=settings).reason == TOO_MANY_ERRORS


@pytest.mark.parametrize("done", [0, 5, COUNT - 1])
def test_a_broken_executor_ends_the_batch(server, client, source, output, done):
    """At once, as an outage that names the cure; the next run sends what has no result, and only that."""
    executor = HereExecutor(*[None] * (1 + done), *[BrokenProcessPool("gone")] * 50)
    outcome = answer_file(client, source, output, executor=executor, settings=Settings(concurrency=1))

    assert outcome.reason == SERVICE_DOWN
    assert isinstance(outcome.error, ExecutorBroken)
    assert "Make a new executor" in str(outcome.error)
    assert (outcome.counts.succeeded, outcome.counts.unsent) == (done, COUNT - done)
    assert answer_file(client, source, output, executor=HereExecutor()).is_whole
    assert len(prompts(server)) == COUNT


def test_an_executor_that_is_broken_from_the_start(server, client, source, output):
    """Nothing was sent, and no output is made."""
    with pytest.raises(ExecutorBroken, match="after shutdown"):
        answer_file(
            client, source, output, executor=RefusingExecutor(RuntimeError("no futures after shutdown"))
        )

    assert not output.exists()


@pytest.mark.parametrize("first", [never, None], ids=["from the start", "later"])
def test_an_executor_without_workers(client, source, output, first):
    """The time of the job ends it, wherever it waits."""
    executor = HereExecutor(first, *[never] * 50)
    settings = Settings(concurrency=2, stop_after=0.05, grace=0)
    began = clock.monotonic()
    outcome = answer_file(client, source, output, executor=executor, settings=settings)

    assert (outcome.reason, outcome.counts.unsent) == (OUT_OF_TIME, COUNT)
    assert clock.monotonic() - began < 5
    assert all(future.cancelled() for future in executor.futures[first is None :])


def test_no_executor(client, source, output):
    """It is refused before a file is opened."""
    with pytest.raises(ConfigError, match="must be a"):
        answer_file(client, source, output, executor="dask")

    assert [path.name for path in output.parent.iterdir()] == ["in.txt"]


def test_a_service_that_is_away_for_a_worker(server, client, source, output):
    """It is an outage on this side: waited for as long as its circuit says, and nothing is lost."""
    refused = pickle.dumps(CircuitOpen("down", retry_in=0.02))
    executor = HereExecutor(None, *[lambda future: future.set_result(refused)] * 9)

    assert answer_file(client, source, output, executor=executor).is_whole
    assert len(executor.tasks) == COUNT + 10


def test_no_service_for_the_workers(source, output):
    """The error at the start is the worker's own."""
    refused = pytest.raises(ServiceUnreachable, match="refused")
    with dead_address() as url, FoundryAPIClient(url, retries=0) as client, refused:
        answer_file(client, source, output, executor=HereExecutor())
