"""A histogram with logarithmic buckets: percentiles of any number of durations in constant memory.

A bucket is 2.3 % wide, so its middle is at most 1.2 % from each value in it, from a microsecond to 11 days. A
hundred buckets make a power of ten, so that any group of 2, 5, 10 or 20 of them begins at a round bound.
"""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate

import msgspec

from foundry_rest.values import Value

#: Buckets for a factor of ten; the lowest and the highest bucket.
_PER_DECADE = 100
_LOWEST, _HIGHEST = -6 * _PER_DECADE, 6 * _PER_DECADE
#: The middle of a bucket, as a factor of its upper bound, from where the error is equal on both sides.
_MIDDLE = 2 / (1 + 10 ** (1 / _PER_DECADE))
#: How many buckets may make one bar of a plot, and how many bars are enough.
_GROUPS = (2, 5, 10, 20, 50)
_MOST_BARS = 32


class Percentiles(Value, msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of durations, in seconds.

    Attributes:
        p50: The median.
        p95: What 95 of 100 do not exceed.
        p99: What 99 of 100 do not exceed.
        max: The longest, exact.
    """

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Histogram:
    """The counts of durations by bucket."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._min = math.inf
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; what is no duration counts as none."""
        seconds = min(seconds, _LONGEST) if seconds > 0 else 0.0
        self._counts[_bucket(seconds)] += 1
        self._min = min(self._min, seconds)
        self._max = max(self._max, seconds)

    def percentiles(self) -> Percentiles:
        """Return the percentiles so far; zeros without any duration."""
        if not self._counts:
            return Percentiles()
        buckets = sorted(self._counts)
        below = list(accumulate(self._counts[bucket] for bucket in buckets))
        p50, p95, p99 = (self._value(buckets, below, percent) for percent in (50, 95, 99))
        return Percentiles(p50=p50, p95=p95, p99=p99, max=self._max)

    def _value(self, buckets: list[int], below: list[int], percent: int) -> float:
        rank = math.ceil(below[-1] * percent / 100)
        bucket = next(each for each, count in zip(buckets, below, strict=True) if count >= rank)
        return min(self._max, max(self._min, _bound(bucket) * _MIDDLE))

    def bars(self) -> list[tuple[float, int]]:
        """Return (upper bound in seconds, count) of neighbouring bars, few enough to plot.

        The first has no count: its bound is where the second begins. Nothing is returned for no duration.
        """
        if not self._counts:
            return []
        first, last = min(self._counts), max(self._counts)
        group = next((each for each in _GROUPS if (last - first) / each < _MOST_BARS), _GROUPS[-1])
        grouped: Counter[int] = Counter()
        for bucket, count in self._counts.items():
            grouped[math.ceil(bucket / group)] += count
        return [(_bound(bar * group), grouped[bar]) for bar in range(min(grouped) - 1, max(grouped) + 1)]


def _bucket(seconds: float) -> int:
    return max(_LOWEST, math.ceil(math.log10(seconds) * _PER_DECADE)) if seconds else _LOWEST


def _bound(bucket: int) -> float:
    """Return the upper bound of a bucket in seconds, without the last digits that only rounding made."""
    return float(f"{10 ** (bucket / _PER_DECADE):.6g}")


#: The longest duration that is told from others: 11 days.
_LONGEST = _bound(_HIGHEST)
