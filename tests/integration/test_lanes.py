"""An interactive call beside a batch, on the real runtime."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat

import pytest

from foundry_rest import Cancelled, CancelToken, FoundryAPIClient, clock
from foundry_rest.runtime import LocalRuntime

pytestmark = pytest.mark.runtime

#: A prompt that the demo model was taught, with an answer of several tokens.
PROMPT = "What is the capital of France?"
#: Most that a call may take beside a batch, as a multiple of its time alone.
MOST = 2.5
#: Calls of one round, and rounds: whatever else the machine does only ever spoils one.
CALLS, ROUNDS = 40, 8


def timed(client: FoundryAPIClient) -> float:
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(CALLS):
        began = clock.monotonic()
        client.complete(PROMPT)
        seconds.append(clock.monotonic() - began)
        clock.sleep(0.01)  # a person pauses, and the batch goes on
    return statistics.median(seconds)


@contextmanager
def batch(client: FoundryAPIClient, **options: object) -> Iterator[list[str]]:
    """Run an endless batch in another thread; yield the names of what is answered."""
    done: list[str] = []
    token = CancelToken()

    def run() -> None:
        try:
            results = client.batch(repeat(PROMPT), cancel=token, **options)
            done.extend(result.custom_id for result in results)
        except Cancelled:
            pass

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        token.cancel()
        thread.join(10)


@pytest.mark.parametrize("number", ["auto", 4])
def test_a_call_beside_a_batch(runtime: LocalRuntime, number: int | str) -> None:
    """It takes at most 2.5 times as long as alone, and the batch goes on meanwhile."""
    ratios = []
    with FoundryAPIClient(runtime.url, model="demo-chat") as client:
        client.complete(PROMPT)
        for _ in range(ROUNDS):
            alone = timed(client)
            with batch(client, max_concurrency=number) as done:
                clock.sleep(1)
                before = len(done)
                beside = timed(client)
                answered = len(done) - before
            ratios.append(beside / alone)
            if ratios[-1] <= MOST:
                break

    assert min(ratios) <= MOST, ratios
    assert answered > 0


def test_auto_on_the_real_service(runtime: LocalRuntime) -> None:
    """On a machine of a few cores it stays at a few calls, far below what it may."""
    with FoundryAPIClient(runtime.url, model="demo-chat", max_concurrency="auto") as client:
        results = [result.ok for result in client.batch([PROMPT] * 600)]
        slots = client._core.bounds.slots

    assert all(results)
    assert 1 <= slots.settled <= 16
