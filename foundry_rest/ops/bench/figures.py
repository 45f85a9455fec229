"""The figures of a run, by the formulas that the report prints; errors are counted and in no figure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median

import msgspec

from foundry_rest.ops.bench.measuring import Measurement
from foundry_rest.schema.distribution import Distribution, Recorder
from foundry_rest.values import Value

#: What each figure is, as the report prints it.
FORMULAS = (
    ("TTFT", "first content - sending; thoughts before it are no content"),
    ("TPOT", "(last event - first output) / (output tokens - 1)"),
    ("ITL", "one output - the one before it; outputs are events with text"),
    ("E2E", "last event - sending"),
    ("req/s", "whole answers / (last end - first sending)"),
    ("tokens/s", "output tokens of whole answers / (last end - first sending)"),
    ("per user", "output tokens / E2E of a request, the median"),
    ("goodput", "whole answers within all bounds / (last end - first sending)"),
)
#: Outputs that are nearer than so many seconds came in one piece, or the model is as fast as that.
TOGETHER = 0.0001
#: Figure -> what a measurement says about it; ``e2el`` is vLLM's name of E2E.
_VALUES: dict[str, Callable[[Measurement], float | None]] = {
    "ttft": lambda each: each.ttft,
    "first_thought": lambda each: each.first_thought_after,
    "tpot": lambda each: each.tpot,
    "e2el": lambda each: each.e2e,
}
#: Figures of a level that add up over its runs; the others have a median.
_SUMS = ("num_prompts", "duration", "completed", "failed", "total_input_tokens", "total_output_tokens")


class Spread(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The exact figures of values of one kind, in their unit.

    Percentiles are between the two values around them, as NumPy's and so vLLM's are.
    """

    mean: float
    median: float
    std: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the figures of values; ``None`` without any, for none is not 0."""
        ordered = sorted(values)
        if not ordered:
            return None
        mean = fmean(ordered)
        return cls(
            mean=mean,
            median=percentile(ordered, 50),
            std=math.sqrt(fmean((value - mean) ** 2 for value in ordered)),
            p95=percentile(ordered, 95),
            p99=percentile(ordered, 99),
            max=ordered[-1],
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of ordered values, of which there is at least one."""
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class BenchRun(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run.

    Attributes:
        concurrency: Requests at a time.
        requested: Requests that ended, whole or not.
        completed: Whole answers.
        without_content: Whole answers that had no content, and so have no time to first token.
        errors: Number of requests that failed, by the class of their error.
        reasons: What the first error of each class said.
        duration: Seconds from the first request to the last end.
        input_tokens: Tokens of the prompts of whole answers, as the service counts them.
        output_tokens: Tokens of whole answers.
        counts_tokens: Whether the service counted these; else each event with text is one.
        good: Whole answers within all bounds of goodput; ``None`` without bounds.
        per_user: Tokens per second of a request, the median.
        together: Share of the gaps below 0.1 ms; ``None`` without gaps.
        spreads: ``ttft``, ``first_thought``, ``tpot``, ``itl``, ``e2el`` in seconds, those that have values.
        histograms: ``ttft`` and ``e2el`` for a plot.
    """

    concurrency: int
    requested: int
    completed: int
    without_content: int
    errors: dict[str, int]
    reasons: dict[str, str]
    duration: float
    input_tokens: int
    output_tokens: int
    counts_tokens: bool
    good: int | None
    per_user: float | None
    together: float | None
    spreads: dict[str, Spread]
    histograms: dict[str, Distribution]

    @property
    def figures(self) -> dict[str, float | None]:
        """Return the figures under the names that vLLM's ``bench serve`` gives them; ``None`` for none."""
        seconds = self.duration or math.inf
        return {
            "num_prompts": self.requested,
            "duration": self.duration,
            "completed": self.completed,
            "failed": sum(self.errors.values()),
            "total_input_tokens": self.input_tokens,
            "total_output_tokens": self.output_tokens,
            "request_throughput": self.completed / seconds,
            "request_goodput": None if self.good is None else self.good / seconds,
            "output_throughput": self.output_tokens / seconds,
            "total_token_throughput": (self.input_tokens + self.output_tokens) / seconds,
            "output_throughput_per_user": self.per_user,
            "itl_together": self.together,
            **{
                f"{statistic}_{name}_ms": getattr(self.spreads[name], statistic) * 1000
                if name in self.spreads
                else None
                for name in (*_VALUES, "itl")
                for statistic in Spread.__struct_fields__
            },
        }


class BenchLevel(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The runs with one number of requests at a time.

    Attributes:
        concurrency: Requests at a time.
        runs: Its runs, one for each repeat.
    """

    concurrency: int
    runs: tuple[BenchRun, ...]

    @property
    def figures(self) -> dict[str, float | None]:
        """Return the median of the runs for each figure; the sum for counts and the duration."""
        return {
            name: (sum(found) if name in _SUMS else median(found)) if found else None
            for name, found in self._by_name().items()
        }

    @property
    def throughput(self) -> float:
        """Return the tokens per second, the median of the runs."""
        return self.figures["output_throughput"] or 0.0

    @property
    def spread(self) -> dict[str, tuple[float, float]]:
        """Return the least and the greatest of the runs for each figure that has a median."""
        return {
            name: (min(found), max(found))
            for name, found in self._by_name().items()
            if found and name not in _SUMS
        }

    @property
    def errors(self) -> dict[str, int]:
        """Return the number of requests that failed, by the class of their error."""
        total: Counter[str] = Counter()
        for run in self.runs:
            total.update(run.errors)
        return dict(total)

    @property
    def reasons(self) -> dict[str, str]:
        """Return what an error of each class said."""
        return {name: reason for run in self.runs for name, reason in run.reasons.items()}

    def _by_name(self) -> dict[str, list[float]]:
        """Return the values of all runs by the name of their figure."""
        each = [run.figures for run in self.runs]
        return {name: [one for run in each if (one := run[name]) is not None] for name in each[0]}


def run_of(
    concurrency: int, measurements: Sequence[Measurement], bounds: Mapping[str, float] | None = None
) -> BenchRun:
    """Return the figures of the measurements of one run, of which there is at least one.

    Args:
        concurrency: Requests at a time.
        measurements: Every request that ended.
        bounds: Those of goodput, in seconds.
    """
    whole = [each for each in measurements if not each.error]
    gaps = [gap for each in whole for gap in each.gaps]
    values = {name: _values(of, whole) for name, of in _VALUES.items()}
    rates = [each.output_tokens / each.e2e for each in whole if each.e2e]
    spreads = {name: Spread.of(found) for name, found in {**values, "itl": gaps}.items()}
    return BenchRun(
        concurrency=concurrency,
        requested=len(measurements),
        completed=len(whole),
        without_content=sum(each.ttft is None for each in whole),
        errors=dict(Counter(each.error for each in measurements if each.error)),
        reasons={each.error: each.reason for each in reversed(measurements) if each.error},
        duration=max(each.ended for each in measurements) - min(each.began for each in measurements),
        input_tokens=sum(each.prompt_tokens for each in whole),
        output_tokens=sum(each.output_tokens for each in whole),
        counts_tokens=any(each.completion_tokens for each in whole),
        good=sum(is_good(each, bounds) for each in whole) if bounds else None,
        per_user=median(rates) if rates else None,
        together=sum(gap < TOGETHER for gap in gaps) / len(gaps) if gaps else None,
        spreads={name: found for name, found in spreads.items() if found is not None},
        histograms={name: _histogram(values[name]) for name in ("ttft", "e2el")},
    )


def is_good(measurement: Measurement, bounds: Mapping[str, float]) -> bool:
    """Return whether a whole answer is within all bounds.

    Without content there is no first token that came in time; a single token has no time per further one.
    """
    found = {"ttft": measurement.ttft, "tpot": measurement.tpot or 0.0, "e2e": measurement.e2e}
    return all((value := found[name]) is not None and value <= bound for name, bound in bounds.items())


def _values(of: Callable[[Measurement], float | None], whole: Iterable[Measurement]) -> list[float]:
    return [value for each in whole if (value := of(each)) is not None]


def _histogram(values: Iterable[float]) -> Distribution:
    recorder = Recorder()
    for value in values:
        recorder.add(value)
    return recorder.read()
