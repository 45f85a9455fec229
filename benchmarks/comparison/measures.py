"""What one subject is told to do: each measure takes the subject's desk and returns figures by name.

CPU is that of the subject's process, ``time.process_time``: the service has a process of its own.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from comparison.byhand import Subject

Figures = dict[str, float]
PROMPT = "Explain quantum computing"
_MEGABYTE = 2**20
#: Seconds that threads of a closed client may take to end.
_ENDING = 3.0


class Desk:
    """Hold a subject's clients, one for each address, and how much work fits into a turn.

    Args:
        make: Returns a new client for an address.
    """

    def __init__(self, make: Callable[[str], Subject]) -> None:
        self.make = make
        self._clients: dict[str, Subject] = {}
        self._counts: dict[tuple[object, ...], int] = {}

    def client(self, url: str) -> Subject:
        """Return the client for an address."""
        if url not in self._clients:
            self._clients[url] = self.make(url)
        return self._clients[url]

    def count(self, work: Callable[[], object], seconds: float, *key: object) -> int:
        """Return how often ``work`` fits into a turn, found once, after it was done three times."""
        if key not in self._counts:
            took = min(_seconds(work) for _ in range(3))
            self._counts[key] = max(1, round(seconds / max(took, 1e-6)))
        return self._counts[key]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _drain(texts: Iterable[str]) -> int:
    """Read a stream as a caller does, each event looked at; return how many had text."""
    return sum(1 for text in texts if text)


def _costs(work: Callable[[], object], count: int, units: int) -> Figures:
    """Return CPU and wall time of each unit of work, in microseconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(count):
        work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu": cpu / count / units * 1e6, "wall": wall / count / units * 1e6}


# ---------------------------------------------------------------- time


def call(desk: Desk, url: str, seconds: float, prompt_size: int = 0) -> Figures:
    """Ask for whole answers, one after the other over kept connections."""
    client, prompt = desk.client(url), "word " * (prompt_size // 5) or PROMPT

    def work() -> object:
        return client.complete(prompt)

    return _costs(work, desk.count(work, seconds, url, "call", prompt_size), 1)


def stream(desk: Desk, url: str, seconds: float, events: int) -> Figures:
    """Read streams; the figures are for one event, opening the stream included."""
    client = desk.client(url)

    def work() -> object:
        got = _drain(client.stream(PROMPT))
        assert got == events, f"{got} of {events} events"
        return got

    return _costs(work, desk.count(work, seconds, url, "stream"), events)


def first_call(desk: Desk, url: str, times: int) -> Figures:
    """Make a client, ask once, close it; in milliseconds, the median of some times."""
    costs = [_costs(lambda: _ask_once(desk, url), 1, 1) for _ in range(times)]
    return {name: statistics.median(each[name] for each in costs) / 1000 for name in ("cpu", "wall")}


def _ask_once(desk: Desk, url: str) -> None:
    client = desk.make(url)
    client.complete(PROMPT)
    client.close()


def delay(desk: Desk, url: str, streams: int) -> Figures:
    """Compare the instant stamped into each event with that at which the caller has it, in milliseconds."""
    client, late = desk.client(url), []
    for _ in range(streams):
        for text in client.stream(PROMPT):
            now = time.perf_counter_ns()
            if text:
                late.append((now - int(text)) / 1e6)
    late.sort()
    return {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100]}


def first_token(desk: Desk, url: str, times: int, *, reuse: bool) -> Figures:
    """Wait for a stream's first text, over a kept or over a new connection; in milliseconds, the median."""
    took = []
    client = desk.client(url)
    for _ in range(times):
        if not reuse:
            client.disconnect()
        began = time.perf_counter()
        texts = iter(client.stream(PROMPT))
        next(text for text in texts if text)
        took.append(time.perf_counter() - began)
        _drain(texts)
    return {"wall": statistics.median(took) * 1000}


def answer_time(desk: Desk, url: str, times: int) -> Figures:
    """Wait for whole answers; in milliseconds, the median."""
    client = desk.client(url)
    took = [_seconds(lambda: client.complete(PROMPT)) for _ in range(times)]
    return {"wall": statistics.median(took) * 1000}


# ---------------------------------------------------------------- threads


def threads(desk: Desk, url: str, seconds: float, parallel: int) -> Figures:
    """Ask from many threads over one client; answers a second."""
    client = desk.client(url)
    return {"rate": _rate(lambda: int(bool(client.complete(PROMPT))), parallel, seconds)}


def streams(desk: Desk, url: str, seconds: float, parallel: int) -> Figures:
    """Read many streams at a time over one client; events a second."""
    client = desk.client(url)
    return {"rate": _rate(lambda: _drain(client.stream(PROMPT)), parallel, seconds)}


def _rate(work: Callable[[], int], parallel: int, seconds: float) -> float:
    """Return the units of work a second that some threads do together, from when all are warm."""
    done, ready = [0] * parallel, threading.Barrier(parallel + 1, timeout=60)
    until = [0.0]

    def run(number: int) -> None:
        work()
        ready.wait()
        while time.perf_counter() < until[0]:
            done[number] += work()

    running = [threading.Thread(target=run, args=(number,)) for number in range(parallel)]
    for thread in running:
        thread.start()
    until[0] = time.perf_counter() + 3600  # replaced once all threads are warm
    ready.wait()
    began = time.perf_counter()
    until[0] = began + seconds
    for thread in running:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


# ---------------------------------------------------------------- memory; each in a process of its own


def resident(desk: Desk, url: str) -> Figures:
    """Return the megabytes of a process that has asked once."""
    desk.client(url).complete(PROMPT)
    return {"resident": _resident()}


def per_client(desk: Desk, url: str, count: int) -> Figures:
    """Return the kilobytes that one more client holds after one call, its connection included."""
    _ask_once(desk, url)
    kept = []
    with _traced() as grown:
        for _ in range(count):
            kept.append(desk.make(url))
            kept[-1].complete(PROMPT)
    return {"traced": grown[0] / count / 1024}


def per_connection(desk: Desk, url: str, parallel: int) -> Figures:
    """Return the kilobytes that one more idle connection of one client holds."""
    client, spread = desk.client(url), []
    client.complete(PROMPT)
    with _traced() as grown:
        together = threading.Barrier(parallel, timeout=60)

        def run() -> None:
            together.wait()
            spread.append(len(client.complete(PROMPT)))

        running = [threading.Thread(target=run) for _ in range(parallel)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        del running
    return {"traced": grown[0] / (parallel - 1) / 1024}


def growth(desk: Desk, url: str, early: int, late: int) -> Figures:
    """Return the megabytes by which the process grows between two numbers of calls, and per 10,000 calls."""
    client = desk.client(url)
    for _ in range(early):
        client.complete(PROMPT)
    gc.collect()
    before = _resident()
    for _ in range(late - early):
        client.complete(PROMPT)
    gc.collect()
    grown = _resident() - before
    return {"grown": grown, "per 10,000": grown / (late - early) * 10_000}


def leftovers(desk: Desk, url: str, count: int) -> Figures:
    """Return the threads and open files that clients leave which were opened, used and closed."""
    _ask_once(desk, url)
    before = _threads_and_files()
    for _ in range(count):
        _ask_once(desk, url)
    until = time.perf_counter() + _ENDING
    while _threads_and_files() != before and time.perf_counter() < until:
        time.sleep(0.05)
    after = _threads_and_files()
    return {"threads": after[0] - before[0], "files": after[1] - before[1]}


@contextmanager
def _traced() -> Iterator[list[int]]:
    """Yield a list that holds, after the block, the bytes by which Python's memory has grown in it."""
    grown: list[int] = []
    gc.collect()
    tracemalloc.start()
    try:
        yield grown
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()


def _process() -> Any:
    import psutil

    return psutil.Process()


def _resident() -> float:
    return float(_process().memory_info().rss) / _MEGABYTE


def _threads_and_files() -> tuple[int, int]:
    process = _process()
    return process.num_threads(), process.num_fds() if hasattr(process, "num_fds") else 0


MEASURES: dict[str, Callable[..., Figures]] = {
    each.__name__: each
    for each in (
        call,
        stream,
        first_call,
        delay,
        first_token,
        answer_time,
        threads,
        streams,
        resident,
        per_client,
        per_connection,
        growth,
        leftovers,
    )
}
