"""What statistics and the log cost a call and a streamed token, beside the same without them, in one run.

The CPU time of the calling thread is measured, which other work disturbs little; both take turns.
Exit code 1 when statistics and the log at INFO cost more than 20 us a call or 0.4 us a token.

python benchmarks/telemetry.py
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundry_rest import FoundryAPIClient, configure_logging
from foundry_rest.client import core
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_completion, chat_stream

CHAT = "/v1/chat/completions"
ROUNDS, CALLS, STREAMS = 40, 50, 8
TOKENS = 500
#: Most microseconds for a call and for a token.
BOUNDS = {"complete()": 20.0, "a streamed token": 0.4}
LEVELS = ("INFO", "DEBUG")


@contextmanager
def client_of(url: str, *, is_told: bool) -> Iterator[FoundryAPIClient]:
    """Yield a client with its statistics and its log, or with nobody who listens to its events."""
    listen = core.fan_out
    if not is_told:
        core.fan_out = lambda observers, **_: lambda event: None
    try:
        made = FoundryAPIClient(url, model=DEMO_MODEL, dialect="openai")
    finally:
        core.fan_out = listen
    with made as client:
        yield client


def per_call(work: Callable[[], object], calls: int) -> float:
    """Return the microseconds of CPU that one call of ``work`` takes."""
    started = time.thread_time()
    for _ in range(calls):
        work()
    return (time.thread_time() - started) / calls * 1e6


def difference(off: Callable[[], object], on: Callable[[], object], calls: int) -> tuple[float, float]:
    """Return the median microseconds of a call without listeners, and the median of what they add."""
    per_call(off, calls)
    per_call(on, calls)
    rounds = []
    for number in range(ROUNDS):
        pair = (off, on) if number % 2 else (on, off)
        taken = {work: per_call(work, calls) for work in pair}
        rounds.append((taken[off], taken[on] - taken[off]))
    return statistics.median(base for base, _ in rounds), statistics.median(more for _, more in rounds)


def figures(level: str) -> Iterator[tuple[str, float, float]]:
    """Yield what is measured, its microseconds without listeners, and what they add."""
    configure_logging(level, stream=io.StringIO())
    with (
        FaultServer() as server,
        client_of(server.url, is_told=False) as off,
        client_of(server.url, is_told=True) as on,
    ):
        server.on("POST", CHAT, chat_completion("Hello there"))
        yield "complete()", *difference(lambda: off.complete("Hi"), lambda: on.complete("Hi"), CALLS)
        server.on("POST", CHAT, chat_stream([f"word{n} " for n in range(TOKENS)]))
        base, more = difference(lambda: read(off), lambda: read(on), STREAMS)
        yield "a streamed token", base / TOKENS, more / TOKENS
        assert on.stats().total.calls > ROUNDS * CALLS
        assert not off.stats().total.calls


def read(client: FoundryAPIClient) -> None:
    """Read one stream."""
    for _ in client.stream_complete("Hi"):
        pass


if __name__ == "__main__":
    is_within = True
    for each in LEVELS:
        print(f"statistics, and the log at {each}")
        for name, alone, added in figures(each):
            print(f"  {name:20}{alone:10.2f} us, and {added:8.3f} us for them")
            is_within = is_within and (each != LEVELS[0] or added <= BOUNDS[name])
    sys.exit(0 if is_within else f"above the bounds: {BOUNDS} us")
