"""Figures: counted by operation and in all, in constant memory."""

from __future__ import annotations

import json
import random
import threading
import weakref

import pytest

from foundry_rest.errors import ServerError
from foundry_rest.events import (
    ABANDONED,
    CACHED,
    OK,
    AttemptFailed,
    CallFinished,
    CircuitChanged,
    Event,
)
from foundry_rest.events import ERROR as FAILED
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.schema.stats import CallStats, Stats

ERROR = ServerError("x", status=500)
#: How near percentiles are: half of a bucket's width.
NEAR = 0.012
OUTCOMES = (OK, FAILED, ABANDONED, CACHED)


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
    assert (stats.total.calls, stats.total.errors) == (4, 1)
    assert stats.total.p50 == pytest.approx(3.0, rel=NEAR)


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
    """They are those of the values themselves, as near as a bucket is wide; of two values exact."""
    stats = after(*(finished(float(n)) for n in range(1, count + 1)))

    assert (stats.total.p50, stats.total.p95) == pytest.approx((p50, p95), rel=NEAR)


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
    """However many calls there are, and whatever they take, they are some hundred counts."""
    observer = StatsObserver()
    chance = random.Random(1)
    for _ in range(20_000):
        observer(finished(chance.lognormvariate(-2, 2), first_token=0.1, completion_tokens=7))
    stats = observer.snapshot().total

    assert (stats.calls, stats.latency.count, stats.first_token.count, stats.speed.count) == (20_000,) * 4
    assert len(stats.latency.buckets) < 900
    assert len(observer._aside) == 0


def test_nothing_waits_to_be_counted_for_long():
    """Events are counted now and then although nobody asks for the figures."""
    observer = StatsObserver()
    for _ in range(10_000):
        observer(finished(1.0))

    assert len(observer._aside) < 300


def test_an_error_is_not_kept():
    """The errors of the calls, which may hold connections, go with their calls."""
    observer = StatsObserver()
    error = ServerError("x", status=500)
    observer(finished(1.0, error=error))
    observer(AttemptFailed("", "id", "a", "m", 1, error, 0.1, 0.2))
    gone = weakref.ref(error)
    del error

    assert gone() is None


def test_attempts_and_retries():
    """A retry is what was tried again after a wait; a recovery is none."""
    waited = AttemptFailed("", "id", "a", "m", 1, ERROR, 0.1, 0.0)
    helped = AttemptFailed("", "id", "a", "m", 2, ERROR, 0.1, 0.0, "load")
    stats = after(waited, helped, CallFinished("", "id", "a", "m", 3, "ok", 1.0)).total

    assert (stats.attempts, stats.failed_attempts, stats.retries) == (3, 2, 1)


def test_outcomes():
    """Every call has one outcome; one that a cache answered is counted by itself."""
    ends = [CallFinished("", "id", "a", "m", 1, outcome, 1.0) for outcome in OUTCOMES]
    stats = after(*ends, finished(3.0)).total

    assert (stats.calls, stats.ok, stats.errors, stats.abandoned, stats.cached) == (4, 2, 1, 1, 1)
    assert stats.latency.count == 2


def test_merged():
    """The figures of several processes, sent as JSON, are those of one that has seen all of it."""
    chance = random.Random(2)
    events = [finished(chance.lognormvariate(-1, 1), chance.choice("ab")) for _ in range(900)]
    whole = after(*events)
    parts = [after(*events[start : start + 300]) for start in (0, 300, 600)]
    sent = [Stats.from_dict(json.loads(part.to_json())) for part in parts]

    merged = Stats.merged([*sent, Stats()])
    assert merged.by_call.keys() == whole.by_call.keys()
    for label in "ab":
        one, all_of_it = merged.by_call[label], whole.by_call[label]
        assert (one.latency.buckets, one.p50, one.p95, one.calls) == (
            all_of_it.latency.buckets,
            all_of_it.p50,
            all_of_it.p95,
            all_of_it.calls,
        )
        assert one.seconds == pytest.approx(all_of_it.seconds)
    assert (merged.total.calls, merged.total.latency.max) == (900, whole.total.latency.max)


def test_merged_circuits():
    """A circuit is as the latest part that knows of it says."""
    merged = Stats.merged([Stats(circuits={"a": "open", "b": "open"}), Stats(circuits={"a": "closed"})])

    assert merged.circuits == {"a": "closed", "b": "open"}


@pytest.mark.parametrize("data", [{"by_call": 5}, {"total": {"calls": "many"}}, [], None])
def test_no_statistics(data):
    """What is none is refused."""
    with pytest.raises(ValueError, match=r"Expected"):
        Stats.from_dict(data)


def test_threads():
    """No event is lost when many threads tell at once."""
    observer = StatsObserver()

    def tell():
        for _ in range(2_500):
            observer(finished(1.0))

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert observer.snapshot().total.calls == 20_000
