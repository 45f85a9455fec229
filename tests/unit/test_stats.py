"""Figures: counted by operation and in all, in constant memory."""

from __future__ import annotations

import threading

import pytest

from foundry_rest.errors import ServerError
from foundry_rest.events import AttemptFailed, CallFinished, CircuitChanged, Event
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.schema import CallStats, Stats

ERROR = ServerError("x", status=500)


def finished(elapsed: float, call: str = "a", **more: object) -> CallFinished:
    """Return the end of a call."""
    outcome = "error" if more.get("error") else "ok"
    return CallFinished("http://h", "id", call, "m", 1, outcome, elapsed, **more)


def after(*events: Event) -> Stats:
    """Return the figures after some events."""
    observer = StatsObserver()
    for event in events:
        observer(event)
    return observer.snapshot()


def test_nothing_yet():
    """Without calls every figure is zero, and nothing is divided by it."""
    assert after() == Stats(total=CallStats(), by_call={})


def test_calls_errors_and_seconds():
    """Errors are calls too; their durations are in the sum, not in the percentiles."""
    stats = after(finished(1.0), finished(3.0), finished(100.0, error=ERROR), finished(5.0, "b"))

    assert (stats.by_call["a"].calls, stats.by_call["a"].errors, stats.by_call["a"].seconds) == (3, 1, 104.0)
    assert (stats.by_call["a"].p50, stats.by_call["b"].p50) == (2.0, 5.0)
    assert (stats.total.calls, stats.total.errors, stats.total.p50) == (4, 1, 3.0)


def test_failed_attempts():
    """Tries are counted, cured ones included, before and after the call's end."""
    failed = AttemptFailed("", "id", "a", "m", 1, ERROR, 0.1, 0.2)
    stats = after(failed, failed, finished(1.0))

    assert (stats.by_call["a"].failed_attempts, stats.by_call["a"].calls) == (2, 1)


def test_an_unknown_event_counts_nothing():
    """Facts about a service have no call and leave the figures as they are: no row of theirs appears."""
    stats = after(Event("http://h"), CircuitChanged("http://h", "closed", "open"))

    assert (stats.total, stats.by_call) == (CallStats(), {})


def test_an_abandoned_stream_is_no_good_call():
    """A stream that its reader left is no error, and no duration of a call that went well."""
    left = CallFinished("http://h", "id", "a", "m", 1, "abandoned", 9.0, first_token=0.1)
    stats = after(finished(1.0), left).by_call["a"]

    assert (stats.calls, stats.errors, stats.abandoned, stats.p95, stats.first_token_p50) == (
        2,
        0,
        1,
        1.0,
        None,
    )


@pytest.mark.parametrize(("count", "p50", "p95"), [(1, 1.0, 1.0), (2, 1.5, 1.95), (101, 51.0, 96.0)])
def test_percentiles(count, p50, p95):
    """The median and the 95th percentile lie within what was measured."""
    stats = after(*(finished(float(n)) for n in range(1, count + 1)))

    assert (stats.total.p50, stats.total.p95) == pytest.approx((p50, p95))


def test_tokens():
    """Tokens a second are counted over the calls that reported tokens."""
    stats = after(
        finished(2.0, first_token=0.5, prompt_tokens=10, completion_tokens=20),
        finished(2.0, first_token=1.5, prompt_tokens=1, completion_tokens=40),
        finished(50.0),
    )

    assert (stats.total.prompt_tokens, stats.total.completion_tokens) == (11, 60)
    assert stats.total.tokens_per_second == 15.0
    assert stats.total.first_token_p50 == 1.0
    assert after(finished(1.0)).total.first_token_p50 is None


def test_memory_is_constant():
    """Percentiles are those of the latest 1,024 calls; counts are of all."""
    stats = after(*(finished(1000.0) for _ in range(500)), *(finished(1.0) for _ in range(1024)))

    assert (stats.total.calls, stats.total.p95) == (1524, 1.0)


def test_threads():
    """No event is lost when many threads tell at once."""
    observer = StatsObserver()

    def tell():
        for _ in range(500):
            observer(finished(1.0))

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert observer.snapshot().total.calls == 4000
