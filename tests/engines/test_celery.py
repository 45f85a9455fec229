"""The Celery example with a real prefork worker over a real Redis server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support.engines import needs
from support.redis_server import RedisServer
from support.servers import CHAT, answer

from foundry_rest import clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, stall

EXAMPLES = Path(__file__).parents[2] / "examples"
TASK = "celery_tasks.complete"
#: Seconds after which something that hangs fails its test.
LONG = 60

pytestmark = [
    needs("celery"),
    pytest.mark.skipif(
        shutil.which("redis-server") is None, reason="needs redis-server: apt-get install redis-server"
    ),
    pytest.mark.filterwarnings("default"),
]


class Worker:
    """A Celery worker with one process below it, and an app that sends it tasks.

    Args:
        folder: Where its log is.
        redis: The server of both.
        service: Address of its service.
    """

    def __init__(self, folder, redis, service):
        from celery import Celery

        self._log = folder / "worker.log"
        self.app = Celery(broker=redis.url, backend=redis.url)
        self._environment = {
            **os.environ,
            "CELERY_URL": redis.url,
            "FOUNDRY_ENDPOINT": service.url,
            "FOUNDRY_MODEL": DEMO_MODEL,
            "CIRCUIT_SECONDS": "2",
        }
        self.process = self._start()

    def _start(self):
        command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--concurrency", "1"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--loglevel", "INFO", "--without-gossip", "--without-mingle"],
                cwd=EXAMPLES,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._until(lambda: self.log.count(" ready.") == 1, process)
        return process

    def _until(self, condition, process=None):
        limit = clock.monotonic() + LONG
        while not condition():
            assert (process or self.process).poll() is None, self.log
            assert clock.monotonic() < limit, self.log
            clock.sleep(0.01)

    @property
    def log(self):
        """Return what it has logged so far."""
        return self._log.read_text("utf-8")

    @property
    def children(self):
        """Return the processes that run tasks."""
        return psutil.Process(self.process.pid).children()

    def send(self, prompt, **options):
        """Send a task and return its result to come."""
        return self.app.send_task(TASK, [prompt], **options)

    def wait_logged(self, pattern):
        """Wait until it has logged this, and return the match."""
        self._until(lambda: re.search(pattern, self.log))
        return re.search(pattern, self.log)

    def end(self):
        """End it with its children."""
        for process in [*self.children, psutil.Process(self.process.pid)]:
            process.kill()
        self.process.wait(LONG)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """One server for all."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def service():
    """A service that answers with the prompt."""
    with FaultServer() as server:
        server.on("POST", CHAT, echo)
        yield server


def echo(request):
    """Answer with the prompt."""
    return answer(request.json()["messages"][-1]["content"])(request)


@pytest.fixture
def worker(tmp_path, redis, service):
    """A worker of its own."""
    with running(tmp_path, redis, service) as made:
        yield made


@contextmanager
def running(folder, redis, service):
    """Run a worker with empty queues."""
    made = Worker(folder, redis, service)
    try:
        yield made
    finally:
        made.end()
        made.app.control.purge()


def calls(service):
    """Return the prompts that the service was asked."""
    return [request.json()["messages"][-1]["content"] for request in service.asked(CHAT)]


def test_a_service_that_is_down(worker, service):
    """The task is tried again after the circuit's own time, and answered once the service is back."""
    assert worker.send("first").get(LONG) == "first"
    service.stop()
    result = worker.send("Hello")
    waits = float(worker.wait_logged(r"retry: Retry in (\d+\.\d+)s: CircuitOpen")[1])
    service.start()

    assert 0 < waits <= 2 + 1
    assert result.get(LONG) == "Hello"
    assert calls(service) == ["first", "Hello"]


def test_a_worker_that_is_killed(worker, service):
    """The task is given to the next process, once; there is one result, and the others have theirs."""
    service.on("POST", CHAT, stall(), echo)
    result, other = worker.send("Hello"), worker.send("Other")
    limit = clock.monotonic() + LONG
    while not calls(service):
        assert clock.monotonic() < limit
        clock.sleep(0.01)
    (child,) = worker.children
    os.kill(child.pid, signal.SIGKILL)

    assert result.get(LONG) == "Hello"
    assert other.get(LONG) == "Other"
    assert sorted(calls(service)) == ["Hello", "Hello", "Other"]


def test_a_soft_limit_in_the_middle_of_a_call(worker, service):
    """The task fails, and the one slot of the client is free for the next: the process stays."""
    from celery.exceptions import SoftTimeLimitExceeded

    service.on("POST", CHAT, stall(), echo)
    before = [child.pid for child in worker.children]
    with pytest.raises(SoftTimeLimitExceeded):
        worker.send("Hello", soft_time_limit=1).get(LONG)

    assert worker.send("Next").get(LONG) == "Next"
    assert [child.pid for child in worker.children] == before


def test_the_program_of_the_example(worker, redis, service):
    """Run as a script it sends its prompts and prints the answers."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "celery_tasks.py"), "One", "Two"],
        env={**os.environ, "CELERY_URL": redis.url},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["One", "Two"]
