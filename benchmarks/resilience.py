"""What resilience costs: breaker, slots and cancellation, in one run on this machine.

python benchmarks/resilience.py
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from foundry_rest import Cancelled, FoundryAPIClient
from foundry_rest.resilience.breaker.breaker import Breaker, Outcome
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.breaker.storage import SqliteBreakers
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.testing import FaultServer, chat_stream, deaf_address, stall, unavailable

CHAT = "/v1/chat/completions"
ROUNDS = 5


def per_call(work: Callable[[], object], calls: int) -> float:
    """Return the median over some rounds of the microseconds that one call of ``work`` takes."""
    figures = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        figures.append((time.perf_counter() - started) / calls * 1e6)
    return statistics.median(figures)


def guarded(breaker: Breaker) -> Callable[[], object]:
    """Return one admission and one report of success."""
    return lambda: breaker.report(breaker.admit(), Outcome.SUCCESS)


def milliseconds_to_end(url: str, wait: Callable[[FoundryAPIClient], object], **options: object) -> float:
    """Return how long ``close()`` takes to free a thread that waits; the worst of some rounds."""
    worst = 0.0
    for _ in range(ROUNDS):
        client = FoundryAPIClient(url, model="demo-generic-cpu:1", dialect="2.x", **options)  # type: ignore[arg-type]
        ended: list[float] = []

        def run(client: FoundryAPIClient = client, ended: list[float] = ended) -> None:
            try:
                wait(client)
            except Cancelled:
                ended.append(time.perf_counter())

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.2)
        closed = time.perf_counter()
        client.close()
        thread.join(5)
        worst = max(worst, (ended[0] - closed) * 1000)
    return worst


def print_costs() -> None:
    """Print what each call pays."""
    slots = Slots(64)
    print(f"breaker in memory, admit + report   {per_call(guarded(Breaker(BreakerPolicy())), 20000):8.2f} us")
    with tempfile.TemporaryDirectory() as folder:
        state = SqliteBreakers(Path(folder, "state.db"))
        shared = Breaker(BreakerPolicy(), state("http://127.0.0.1:1"))
        print(f"breaker in sqlite, admit + report   {per_call(guarded(shared), 2000):8.2f} us")
        state.close()
    print(f"slot, taken and given back          {per_call(lambda: slots.acquire().release(), 20000):8.2f} us")


def print_cancellations() -> None:
    """Print how long ``close()`` from another thread takes, by what is waited for."""
    with deaf_address() as url:
        print(f"close() while connecting            {milliseconds_to_end(url, ask):8.2f} ms")
    with FaultServer() as server:
        server.on("POST", CHAT, stall())
        print(f"close() in the header wait          {milliseconds_to_end(server.url, ask):8.2f} ms")
    with FaultServer() as server:
        server.on("POST", CHAT, chat_stream("one two")[:3] + stall())
        print(f"close() in a stalled stream         {milliseconds_to_end(server.url, ask):8.2f} ms")
    with FaultServer() as server:
        server.on("POST", CHAT, unavailable(30))
        print(f"close() in the back-off sleep       {milliseconds_to_end(server.url, ask):8.2f} ms")
    with FaultServer() as server:
        server.on("POST", CHAT, chat_stream("one two")[:3] + stall())
        took = milliseconds_to_end(server.url, ask_twice, max_concurrency=1)
        print(f"close() in the wait for a slot      {took:8.2f} ms")


def ask(client: FoundryAPIClient) -> object:
    """Wait for an answer."""
    return client.complete("Hello")


def ask_twice(client: FoundryAPIClient) -> object:
    """Hold the only slot and wait for another one."""
    with client.stream_complete("Hello"):
        return client.complete("Hello")


if __name__ == "__main__":
    print_costs()
    print_cancellations()
