"""The figures of a batch: counted in constant memory, right to 2 %, told in a few lines."""

from __future__ import annotations

import random
from statistics import quantiles

import pytest

from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.units import duration, estimate, rate, share
from foundry_rest.schema.distribution import Distribution, Percentiles, Recorder


def run(time, figures, count, *, every=1.0, **more):
    """Count requests that end one after the other; return the figures then."""
    for _ in range(count):
        time.advance(every)
        figures.add(**{"seconds": 0.5, **more})
    return figures.summary()


# ------------------------------------------------------------------------------ counts


def test_nothing_yet(time):
    """Before the first result nothing is divided by zero, and nothing but the total is known."""
    assert BatchFigures(7, 2).summary() == BatchSummary(
        total=7, done_before=2, unsent=5, progress=[(0.0, 0, 0), (0.0, 0, 0)]
    )


def test_counts_and_rates(time):
    """Rates are those of this run: what an earlier one did counts in the total only."""
    figures = BatchFigures(100, 50)
    run(time, figures, 8, prompt_tokens=10, completion_tokens=5)
    found = run(time, figures, 2, error="request_timeout")

    assert (found.total, found.done_before, found.succeeded, found.failed, found.unsent) == (
        100,
        50,
        8,
        2,
        40,
    )
    assert (found.elapsed, found.requests_per_second) == (10.0, 1.0)
    assert (found.prompt_tokens, found.completion_tokens, found.tokens_per_second) == (80, 40, 4.0)


def test_no_time_passed(time):
    """Results within no time at all have no rate, rather than an endless one."""
    found = run(time, BatchFigures(1), 1, every=0.0, completion_tokens=9)

    assert (found.elapsed, found.requests_per_second, found.tokens_per_second) == (0.0, 0.0, 0.0)


def test_more_results_than_expected(time):
    """A total that was too low makes no negative rest."""
    assert run(time, BatchFigures(1), 3).unsent == 0


def test_failures_have_no_latency(time):
    """The latencies are those of successes: a time-out says nothing of how fast answers are."""
    figures = BatchFigures(2)
    run(time, figures, 1, seconds=60.0, first_token=1.0, error="request_timeout")
    found = run(time, figures, 1, seconds=0.5)

    assert (found.latency.max, found.first_token) == (0.5, None)


def test_errors_by_class(time):
    """Failures are counted by class; the classes are bounded in number and in length."""
    figures = BatchFigures(1000)
    for number in range(25):
        run(time, figures, 2, error=f"{number} " + "x" * 500)
    errors = figures.summary().errors

    assert len(errors) == 21
    assert errors["other"] == 10
    assert max(map(len, errors)) == 60
    assert sum(errors.values()) == 50


def test_memory_does_not_grow(time):
    """A hundred times as many results take no more room."""
    figures = BatchFigures(10**6)
    sizes = []
    for _ in range(2):
        for number in range(300):
            run(time, figures, 10, seconds=0.001 * 1.03**number, first_token=0.001, error="e" * (number % 2))
        sizes.append((len(figures._latency._buckets), len(figures._recent._marks)))

    assert sizes[0] == sizes[1]
    assert len(figures.summary().progress) <= 240


# ------------------------------------------------------------------------------ progress and time left


def test_progress_is_bounded_and_in_order(time):
    """However long a run is, its progress has at most 240 points, from its start to now."""
    figures = BatchFigures(5000)
    for count in (100, 1000, 3000):
        points = run(time, figures, count).progress
        assert 80 <= len(points) <= 240
        assert points == sorted(points)
    assert (points[0], points[-1]) == ((0.0, 0, 0), (4100.0, 4100, 0))


def test_progress_shows_a_wait(time):
    """A time without results is level to its end, not a slow rise."""
    figures = BatchFigures(10)
    run(time, figures, 3)
    time.advance(600)
    points = run(time, figures, 1).progress

    assert points[-2:] == [(604.0, 3, 0), (604.0, 4, 0)]


def test_time_left_is_that_of_the_recent_rate(time):
    """A run that was slow at first and is fast now is judged by the latest minute."""
    figures = BatchFigures(10_000)
    run(time, figures, 100, every=10.0)
    found = run(time, figures, 900, every=0.1)

    assert found.remaining == pytest.approx(9_000 * 0.1, rel=0.05)
    assert found.requests_per_second < 1


def test_time_left_of_slow_requests(time):
    """Where little happens in a minute, a longer time is looked at."""
    assert run(time, BatchFigures(200), 100, every=90.0).remaining == pytest.approx(9_000)


def test_time_left_grows_while_nothing_comes(time):
    """A wait makes the estimate longer, at once."""
    figures = BatchFigures(200)
    before = run(time, figures, 100).remaining
    time.advance(60)

    assert figures.summary().remaining == pytest.approx(2 * before, rel=0.05)


def test_time_left_that_nobody_can_tell(time):
    """There is none before the first result and after an early stop; none is left when all is done."""
    figures = BatchFigures(2)
    time.advance(5)
    assert figures.summary().remaining is None
    assert run(time, figures, 1).remaining == pytest.approx(6)
    figures.stopped = "the disk is full"
    assert (figures.summary().remaining, figures.summary().stopped) == (None, "the disk is full")
    assert run(time, BatchFigures(1), 1).remaining == 0.0


# ------------------------------------------------------------------------------ latencies


@pytest.mark.parametrize("spread", [0.01, 0.5, 3.0])
def test_percentiles_are_right_to_two_per_cent(spread):
    """Whatever the spread, p50, p95 and p99 are at most 2 % off; the longest is exact."""
    chance, found = random.Random(7), Recorder()
    values = [chance.lognormvariate(-1, spread) for _ in range(5_000)]
    for value in values:
        found.add(value)
    exact = quantiles(values, n=100)
    made = found.read().percentiles()

    assert made.p50 == pytest.approx(exact[49], rel=0.02, abs=0.002 * spread)
    for percent in (50, 95, 99):
        nearest = sorted(values)[percent * 50 - 1]
        assert getattr(made, f"p{percent}") == pytest.approx(nearest, rel=0.0125)
    assert made.max == max(values)


def test_one_duration():
    """A single duration is every percentile, exactly."""
    found = Recorder()
    found.add(0.123456)

    assert found.read().percentiles() == Percentiles(p50=0.123456, p95=0.123456, p99=0.123456, max=0.123456)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-12, 1e12, float("inf"), float("nan")])
def test_odd_durations(seconds):
    """A duration that cannot be is counted at an end of the scale, not refused: the batch goes on."""
    found = Recorder()
    found.add(seconds)

    assert sum(count for _, count in found.read().bars()) == 1
    assert 0.0 <= found.read().percentiles().p50 <= found.read().percentiles().max <= 1e6


def test_bars_cover_every_duration():
    """The bars adjoin, rise, hold each duration once, and are few; the first is a bound only."""
    chance, found = random.Random(3), Recorder()
    values = [chance.lognormvariate(0, 2) for _ in range(1_000)]
    for value in values:
        found.add(value)
    bars = found.read().bars()
    bounds = [bound for bound, _ in bars]

    assert bars[0][1] == 0
    assert len(bars) <= 34
    assert bounds == sorted(set(bounds))
    for low, (high, count) in zip(bounds, bars[1:], strict=False):
        assert count == sum(low < value <= high for value in values)


def test_no_bars():
    """Without a duration there is no bar, and the percentiles are zero."""
    assert (Distribution().bars(), Distribution().percentiles()) == ([], Percentiles())


# ------------------------------------------------------------------------------ as text


@pytest.fixture
def usual(time):
    """Return the figures of a usual run, stopped early."""
    figures = BatchFigures(2_500, 100)
    run(time, figures, 1_197, seconds=0.23, first_token=0.05, prompt_tokens=30, completion_tokens=60)
    run(time, figures, 3, error="request_timeout")
    figures.stopped = "the circuit is open"
    return figures


def test_text(usual):
    """The text is a few lines in columns, none wider than a terminal."""
    assert str(usual.summary()).splitlines() == [
        "Requests     2,500: 1,197 succeeded, 3 failed, 1,200 not done, 100 done before",
        "Time         20 min, 1/s",
        "Tokens       35,910 in, 71,820 out, 60/s out",
        "Latency      p50 230 ms      p95 230 ms      p99 230 ms      max 230 ms",
        "First token  p50 50 ms       p95 50 ms       p99 50 ms       max 50 ms",
        "Errors       3 x request_timeout",
        "Stopped      the circuit is open",
    ]


def test_text_of_nothing(time):
    """What is not known has no line."""
    assert str(BatchFigures(0).summary()) == "Requests     0: 0 succeeded\nTime         0 s, 0/s"


def test_text_of_many_errors(time):
    """The five most frequent classes are named, numbers in line, and the rest is one number."""
    figures = BatchFigures(100)
    for number in range(1, 8):
        run(time, figures, number * 3, error=f"error {number}")
    lines = str(figures.summary()).splitlines()[2:]

    assert lines[0] == "Errors       21 x error 7"
    assert lines[4:] == ["              9 x error 3", "              9 of other classes"]


def test_as_json(usual):
    """A program gets the same as plain JSON values, percentiles and histograms too."""
    found = usual.summary().to_dict()

    assert found["unsent"] == 1_200
    assert found["latency"] == {"p50": 0.23, "p95": 0.23, "p99": 0.23, "max": 0.23}
    assert sum(count for _, count in found["first_token_histogram"]) == 1_197


# ------------------------------------------------------------------------------ numbers for people

DURATIONS = {
    0.0: "0 s",
    4e-7: "0.4 us",
    0.000_999_9: "1 ms",
    0.23: "230 ms",
    0.999_6: "1 s",
    1.254: "1.25 s",
    59.96: "1 min",
    65.0: "1 min 5 s",
    3_599.7: "1 h",
    7_300.0: "2 h 2 min",
    90_000.0: "1 d 1 h",
    1e9: "11,574 d 2 h",
}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_duration(seconds):
    """A duration has three digits in one unit, or two units, and never a number that its unit exceeds."""
    assert duration(seconds) == DURATIONS[seconds]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (119.4, "119 s"), (200.0, "3 min"), (7_350.0, "2 h 2 min")]
)
def test_estimate(seconds, text):
    """An estimate has no more digits than one can believe, and is never nothing."""
    assert estimate(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.025, "0.025"), (4.14, "4.1"), (9.96, "10"), (1234.4, "1,234")]
)
def test_rate(value, text):
    """A rate has two digits, or all before the point."""
    assert rate(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0 %"), (1, 10**6, "<0.1 %"), (1, 3, "33.3 %"), (10**6 - 1, 10**6, ">99.9 %"), (7, 7, "100 %")],
)
def test_share(part, whole, text):
    """Only nothing is 0 %, and only all is 100 %."""
    assert share(part, whole) == text
