"""The real runtime is killed again and again under load: every call ends right or with a typed error."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from foundry_rest import FoundryAPIClient, FoundryError, clock
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.services.discovery.registry_file import Entry, write

pytestmark = pytest.mark.runtime
ALIAS = "demo-chat"
#: Short answers: one that breaks after its first token is not repeated, so the long ones would decide.
QUESTIONS = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "What is the capital of Italy?",
    "Say yes",
)
THREADS = 8
KILLS = 10
DEADLINE = 15.0
#: What lies between a start and the next kill: so many answers, and seconds.
ANSWERS, LIFE = 500, 0.5
#: Seconds in which so many answers must have come.
PATIENCE = 30


class Load:
    """Ask without a pause from several threads through one client; count how each call ended."""

    def __init__(self, client: FoundryAPIClient, answers: dict[str, str]) -> None:
        self.begun = 0
        self.slowest = 0.0
        self.ended: Counter[str] = Counter()
        self.errors: list[FoundryError] = []
        self._client = client
        self._answers = answers
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(THREADS)]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask for the length of a block, then wait for the last answers."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(DEADLINE + 2)

    def _run(self, first: int) -> None:
        for number in itertools.count(first):
            if self._over.is_set():
                return
            with self._lock:
                self.begun += 1
            self._count(number)

    def _count(self, number: int) -> None:
        began, how = clock.monotonic(), "FOREIGN"
        try:
            question = QUESTIONS[number // 2 % len(QUESTIONS)]
            how = "right" if self._ask(question, number) == self._answers[question] else "WRONG"
        except FoundryError as error:
            how = f"{type(error).__name__} in {'complete' if number % 2 else 'stream'}()"
            self.errors.append(error)
        finally:
            with self._lock:
                self.ended[how] += 1
                self.slowest = max(self.slowest, clock.monotonic() - began)

    def _ask(self, question: str, number: int) -> str:
        if number % 2:
            return self._client.complete(question, temperature=0).content
        with self._client.stream_complete(question, temperature=0) as chunks:
            return "".join(chunk.content for chunk in chunks)

    def report(self) -> str:
        """Return the figures, and what was tried in the calls that failed."""
        lines = [f"{self.begun} calls: {dict(self.ended)}, the slowest took {self.slowest:.2f} s"]
        for error in self.errors:
            lines.append(f"  {error!r:.200}")
            lines += [f"    {attempt}" for attempt in error.attempts]
        return "\n".join(lines)


def start(runtime: LocalRuntime) -> None:
    """Start the runtime on a free port and register it, as ``foundry-rest serve`` does."""
    runtime.start()
    write(Entry(url=runtime.url, pid=runtime.pid, started=clock.now()))


def kill_and_start(runtime: LocalRuntime, within: Callable[..., bool]) -> None:
    """End the runtime as the system does when memory runs out; start another one elsewhere."""
    os.kill(runtime.pid, signal.SIGKILL)
    assert within(5, lambda: not runtime.is_alive())
    start(runtime)


def held() -> tuple[set[int], set[object], set[int]]:
    """Return this process's threads, sockets and children."""
    process = psutil.Process()
    threads = {thread.ident for thread in threading.enumerate()}
    sockets = {(open.fd, open.laddr, open.raddr) for open in process.net_connections()}
    return threads, sockets, {child.pid for child in process.children(recursive=True)}


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_calls_outlive_the_runtime(answers, within, record_property):
    """Ten kills under load: no wrong answer, no lost call, none above its deadline, 99 % succeed."""
    before = held()
    runtime = LocalRuntime(demo_model_dir())
    try:
        start(runtime)
        with FoundryAPIClient(model=ALIAS, deadline=DEADLINE) as client:
            load = Load(client, answers)
            with load.running():
                for _ in range(KILLS):
                    wanted, earliest = load.ended["right"] + ANSWERS, clock.monotonic() + LIFE
                    assert within(
                        PATIENCE,
                        lambda: load.ended["right"] >= wanted and clock.monotonic() >= earliest,  # noqa: B023
                    ), load.report()
                    kill_and_start(runtime, within)
                assert within(PATIENCE, lambda: load.ended["right"] >= wanted + ANSWERS), load.report()
    finally:
        runtime.close()
    record_property("chaos", load.report())
    sys.stdout.write(f"{load.report()}\n")

    assert sum(load.ended.values()) == load.begun
    assert not load.ended.keys() & {"WRONG", "FOREIGN"}, load.report()
    assert load.slowest < DEADLINE + 1
    assert load.ended["right"] >= 0.99 * load.begun, load.report()
    assert within(2, lambda: all(now <= then for now, then in zip(held(), before, strict=True))), held()
