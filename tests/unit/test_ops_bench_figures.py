"""The formulas of the bench, exact on a clock that moves only when told."""

from __future__ import annotations

import random
import statistics
from array import array
from functools import partial

import pytest
from support.streams import DONE, Watched, chunk

from foundry_rest import clock
from foundry_rest.errors import ConfigError, ServiceUnreachable
from foundry_rest.ops.bench import BenchLevel, Measurement, Spread, measure
from foundry_rest.ops.bench.figures import is_good, percentile, run_of

ROLE, STOP = chunk("", role="assistant"), chunk(finish="stop")


def usage(completion, prompt=3):
    """Return the event that counts the tokens."""
    return b'{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}' % (prompt, completion)


def measured(time, *steps):
    """Return the measurement of a stream: numbers are milliseconds that pass, the rest are events."""
    events = [partial(time.advance, step / 1000) if isinstance(step, int) else step for step in steps]
    return measure(lambda: Watched(*events).stream)


def spent(began=0.0, e2e=1.0, tokens=0, error="", **more):
    """Return a measurement."""
    return Measurement(began=began, ended=began + e2e, completion_tokens=tokens, error=error, **more)


def ms(seconds):
    """Return seconds as milliseconds, without what binary fractions add; ``None`` stays."""
    return None if seconds is None else round(seconds * 1000, 6)


def test_an_answer_of_three_tokens(time):
    """Each formula holds: to the first content, per further token, between outputs, to the last event."""
    found = measured(
        time, 100, ROLE, 20, chunk("a"), 30, chunk("b"), 50, chunk("c"), 7, STOP, 3, usage(3), DONE
    )

    assert ms(found.ttft) == 120
    assert ms(found.tpot) == (30 + 50 + 7 + 3) / 2
    assert [ms(gap) for gap in found.gaps] == [30, 50]
    assert ms(found.e2e) == 210
    assert (found.prompt_tokens, found.output_tokens, found.error) == (3, 3, "")


def test_what_comes_after_the_last_event_does_not_count(time):
    """The end is that of the last event, not of the connection."""
    assert ms(measured(time, 10, chunk("a"), 5, STOP, 500, DONE).e2e) == 15


def test_one_token(time):
    """There is no time per further token, and no gap."""
    found = measured(time, 40, chunk("a"), 5, STOP, usage(1), DONE)

    assert (ms(found.ttft), found.tpot, found.gaps) == (40, None, [])


def test_no_content(time):
    """An answer without content has no time to first token; it ends, as any other."""
    found = measured(time, 40, ROLE, 5, STOP, usage(0), DONE)

    assert (found.ttft, found.first_thought_after, found.tpot, found.gaps) == (None, None, None, [])
    assert ms(found.e2e) == 45
    assert found.output_tokens == 0


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_first(time, name):
    """Thoughts are no first token, but tokens: the time per token begins with the first of them."""
    found = measured(
        time, 10, chunk(**{name: "hm"}), 20, chunk(**{name: "so"}), 40, chunk("a"), 2, STOP, usage(3), DONE
    )

    assert ms(found.first_thought_after) == 10
    assert ms(found.ttft) == 70
    assert ms(found.tpot) == (20 + 40 + 2) / 2
    assert [ms(gap) for gap in found.gaps] == [20, 40]


def test_only_thoughts(time):
    """Thoughts that the limit cut have a speed, and no time to first token."""
    found = measured(time, 10, chunk(reasoning_content="hm"), 30, chunk(reasoning_content="so"), STOP, DONE)

    assert (ms(found.first_thought_after), found.ttft, ms(found.tpot)) == (10, None, 30)


def test_several_events_at_one_instant(time):
    """What came in one piece has gaps of nothing; the time per token is spread over all of them."""
    found = measured(time, 10, *map(chunk, "abcd"), 40, *map(chunk, "efgh"), STOP, usage(8), DONE)

    assert [ms(gap) for gap in found.gaps] == [0, 0, 0, 40, 0, 0, 0]
    assert ms(found.tpot) == pytest.approx(40 / 7, abs=1e-6)


def test_tokens_that_nobody_counts(time):
    """Where the service counts none, each event with text is one."""
    found = measured(time, 10, chunk("a"), 10, chunk("b"), 10, chunk("c"), STOP, DONE)

    assert (found.output_tokens, ms(found.tpot)) == (3, 10)
    assert not run_of(1, [found]).counts_tokens
    assert run_of(1, [found, spent(tokens=1)]).counts_tokens


def test_more_tokens_than_events(time):
    """The service's count is the one that counts: an event may hold several tokens."""
    found = measured(time, 10, chunk("a b c"), 60, chunk("d e f"), STOP, usage(6), DONE)

    assert (found.output_tokens, ms(found.tpot), [ms(gap) for gap in found.gaps]) == (6, 12, [60])


def test_an_error_in_the_middle(time):
    """An answer that broke off is an error with its class and reason, and has no figure."""
    found = measured(time, 10, chunk("a"), 20, ServiceUnreachable("gone"))

    assert (found.error, ms(found.e2e), found.ttft) == ("StreamInterrupted", 30, None)
    assert "gone" in found.reason


def test_an_error_at_once(time):
    """A stream that does not open is an error, and takes its time."""

    def refuse():
        time.advance(0.25)
        raise ServiceUnreachable("connection refused")

    found = measure(refuse)

    assert (found.error, found.reason, found.e2e) == ("ServiceUnreachable", "connection refused", 0.25)


def test_a_mistake_of_the_caller():
    """What can never be sent is raised, and not counted again and again."""

    def refuse():
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError):
        measure(refuse)


def test_the_clock_is_read_before_the_event_is_looked_at(time):
    """What the reader does with an event adds nothing to its time."""
    seen = []

    class Slow(str):
        __slots__ = ()

        def __bool__(self):
            seen.append(clock.monotonic())
            time.advance(1)
            return True

    class Chunk:
        content, reasoning = Slow("a"), ""

    class Stream:
        usage = Watched().stream.usage
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *_: None  # noqa: E731

        def __iter__(self):
            time.advance(0.1)
            yield Chunk()

    assert ms(measure(Stream).ttft) == 100
    assert seen


def test_percentiles_are_exact():
    """They are those between two values, as statistics' inclusive quantiles and NumPy's are."""
    values = sorted(random.Random(1).random() for _ in range(37))
    quantiles = statistics.quantiles(values, n=100, method="inclusive")

    for percent in (1, 50, 95, 99):
        assert percentile(values, percent) == pytest.approx(quantiles[percent - 1], rel=1e-12)
    assert (percentile([7.0], 99), percentile(values, 0), percentile(values, 100)) == (
        7.0,
        values[0],
        values[-1],
    )


def test_spread():
    """The deviation is that of all values, as vLLM's; none has no spread at all, which is not 0."""
    values = [4.0, 1.0, 2.0, 9.0]
    found = Spread.of(values)

    assert (found.mean, found.median, found.max) == (4.0, 3.0, 9.0)
    assert found.std == pytest.approx(statistics.pstdev(values))
    assert Spread.of([]) is None


def test_throughput():
    """It is what whole answers have, by the time from the first request to the last end."""
    run = run_of(
        2,
        [
            spent(0.0, 2.0, tokens=10, prompt_tokens=5),
            spent(1.0, 3.0, tokens=30, prompt_tokens=7),
            spent(2.0, 3.0, error="ServiceTimeout"),
        ],
    )
    figures = run.figures

    assert figures["duration"] == 5.0
    assert (figures["num_prompts"], figures["completed"], figures["failed"]) == (3, 2, 1)
    assert (figures["total_input_tokens"], figures["total_output_tokens"]) == (12, 40)
    assert figures["request_throughput"] == 2 / 5
    assert figures["output_throughput"] == 40 / 5
    assert figures["total_token_throughput"] == 52 / 5
    assert figures["output_throughput_per_user"] == (10 / 2 + 30 / 3) / 2
    assert figures["request_goodput"] is None


def test_errors_are_counted_and_not_averaged_in():
    """A failure changes no latency, however fast or slow it was."""
    whole = [spent(0.0, 1.0, tokens=3), spent(0.0, 2.0, tokens=3)]
    errors = [
        spent(0.0, 99.0, error="ServiceTimeout", reason="silent"),
        spent(0.0, 0.0, error="ServiceError"),
    ]
    run, clean = run_of(1, [*whole, *errors]), run_of(1, whole)

    assert run.spreads == clean.spreads
    assert (run.errors, run.reasons["ServiceTimeout"]) == ({"ServiceTimeout": 1, "ServiceError": 1}, "silent")
    assert run.completed == 2


def test_nothing_but_errors():
    """Figures that nothing is known of are none, and the rest is 0."""
    figures = run_of(1, [spent(error="ServiceError")]).figures

    assert (figures["completed"], figures["output_throughput"]) == (0, 0)
    assert (
        figures["median_ttft_ms"] is figures["p99_e2el_ms"] is figures["output_throughput_per_user"] is None
    )


def test_an_answer_without_content_is_told():
    """It is a whole answer that has no time to first token, and is counted apart."""
    run = run_of(1, [spent(tokens=0), spent(first_content=0.5, outputs=array("d", [0.5]), tokens=1)])

    assert (run.completed, run.without_content) == (2, 1)
    assert run.spreads["ttft"].mean == 0.5


def test_gaps_that_are_next_to_nothing():
    """The share of outputs that came in one piece with the one before is told."""
    run = run_of(1, [spent(outputs=array("d", [0.1, 0.10001, 0.2, 0.3, 0.30001]))])

    assert run.together == 2 / 4
    assert run_of(1, [spent()]).together is None


def test_names_are_those_of_vllm():
    """The keys that readers of vLLM's results look for are all there."""
    figures = run_of(1, [spent()]).figures
    names = {
        f"{each}_{name}_ms"
        for name in ("ttft", "tpot", "itl", "e2el")
        for each in ("mean", "median", "std", "p99")
    }
    names |= {"duration", "completed", "failed", "total_input_tokens", "total_output_tokens", "num_prompts"}
    names |= {"request_throughput", "request_goodput", "output_throughput", "total_token_throughput"}

    assert names <= set(figures)
    assert figures["mean_e2el_ms"] == 1000.0


@pytest.mark.parametrize(
    ("bounds", "good"),
    [
        ({"ttft": 0.5}, True),
        ({"ttft": 0.49}, False),
        ({"tpot": 0.25}, True),
        ({"tpot": 0.24}, False),
        ({"e2e": 1.0}, True),
        ({"e2e": 0.9}, False),
        ({"ttft": 0.5, "e2e": 0.9}, False),
    ],
)
def test_goodput_bounds(bounds, good):
    """A good request meets every bound, and may be as slow as the bound."""
    each = spent(first_content=0.5, outputs=array("d", [0.5, 0.7, 1.0]), tokens=3)

    assert is_good(each, bounds) is good
    assert run_of(1, [each, spent(error="ServiceError")], bounds).good == int(good)


def test_goodput_of_short_answers():
    """A single token meets any bound per further token; an answer without content none to the first."""
    one = spent(first_content=0.5, outputs=array("d", [0.5]), tokens=1)

    assert is_good(one, {"tpot": 0.0})
    assert not is_good(spent(), {"ttft": 99.0})


def test_repeats():
    """Of the repeats a level has the median and the spread; counts and the duration add up."""
    runs = [run_of(4, [spent(0.0, seconds, tokens=10)]) for seconds in (1.0, 2.0, 5.0)]
    level = BenchLevel(concurrency=4, runs=tuple(runs))

    assert level.figures["output_throughput"] == 5.0
    assert level.spread["output_throughput"] == (2.0, 10.0)
    assert level.figures["median_e2el_ms"] == 2000.0
    assert (level.figures["completed"], level.figures["duration"]) == (3, 8.0)
    assert "completed" not in level.spread
    assert level.figures["median_ttft_ms"] is None
