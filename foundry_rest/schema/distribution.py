"""Distributions in logarithmic buckets: percentiles of any number of values in constant memory.

A bucket is 2.3 % wide, so its middle is at most 1.2 % from each value in it, from a millionth to a million. A
hundred buckets make a power of ten, so that any group of 2, 5, 10 or 20 of them begins at a round bound.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from math import ceil, log10
from typing import TYPE_CHECKING

import msgspec

from foundry_rest.values import Value

if TYPE_CHECKING:
    from typing_extensions import Self

#: Buckets for a factor of ten; the lowest and the highest bucket.
_PER_DECADE = 100
_LOWEST, _HIGHEST = -6 * _PER_DECADE, 6 * _PER_DECADE
#: The middle of a bucket, as a factor of its upper bound, from where the error is equal on both sides.
_MIDDLE = 2 / (1 + 10 ** (1 / _PER_DECADE))
#: How many buckets may make one bar of a plot, and how many bars are enough.
_GROUPS = (2, 5, 10, 20, 50)
_MOST_BARS = 32


class Percentiles(Value, msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles of a distribution, in its unit.

    Attributes:
        p50: The median.
        p95: What 95 of 100 do not exceed.
        p99: What 99 of 100 do not exceed.
        max: The largest, exact.
    """

    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0


class Distribution(Value, msgspec.Struct, frozen=True, kw_only=True):
    """Values of one kind, counted by bucket; those of several threads or processes can be merged.

    Attributes:
        buckets: Number of values by bucket; bucket n ends at 10 to the power of n / 100.
        total: Sum of the values.
        min: The smallest; 0 without any.
        max: The largest; 0 without any.
    """

    buckets: dict[int, int] = {}
    total: float = 0.0
    min: float = 0.0
    max: float = 0.0

    @classmethod
    def merged(cls, parts: Iterable[Distribution]) -> Self:
        """Return the distribution of the values of all."""
        found = [part for part in parts if part.buckets]
        if not found:
            return cls()
        buckets: Counter[int] = Counter()
        for part in found:
            buckets.update(part.buckets)
        total = math.fsum(part.total for part in found)
        least, most = min(part.min for part in found), max(part.max for part in found)
        return cls(buckets=dict(buckets), total=total, min=least, max=most)

    @property
    def count(self) -> int:
        """Return how many values there are."""
        return sum(self.buckets.values())

    def at_most(self, bound: float) -> int:
        """Return how many values do not exceed a bound, which is at most 1.2 % off."""
        last = math.log10(bound) * _PER_DECADE + 0.5  # from where the middle of a bucket is above the bound
        return sum(count for bucket, count in self.buckets.items() if bucket <= last)

    def percentiles(self) -> Percentiles:
        """Return the percentiles, at most 1.2 % off; zeros without any value."""
        if not self.buckets:
            return Percentiles()
        buckets = sorted(self.buckets)
        below = list(accumulate(self.buckets[bucket] for bucket in buckets))
        p50, p95, p99 = (self._value(buckets, below, percent) for percent in (50, 95, 99))
        return Percentiles(p50=p50, p95=p95, p99=p99, max=self.max)

    def _value(self, buckets: list[int], below: list[int], percent: int) -> float:
        """Return a percentile, between the two values around it where it falls between two."""
        before, part = divmod((below[-1] - 1) * percent, 100)
        low, high = (self._nth(buckets, below, min(before + step, below[-1] - 1)) for step in (0, 1))
        return low + (high - low) * part / 100

    def _nth(self, buckets: list[int], below: list[int], number: int) -> float:
        """Return the value with so many smaller ones; the smallest and the largest are exact."""
        if number in (0, below[-1] - 1):
            return self.max if number else self.min
        return min(self.max, max(self.min, _bound(buckets[bisect_right(below, number)]) * _MIDDLE))

    def bars(self) -> list[tuple[float, int]]:
        """Return (upper bound, count) of neighbouring bars, few enough to plot.

        The first has no count: its bound is where the second begins. Nothing is returned without any value.
        """
        if not self.buckets:
            return []
        first, last = min(self.buckets), max(self.buckets)
        group = next((each for each in _GROUPS if (last - first) / each < _MOST_BARS), _GROUPS[-1])
        grouped: Counter[int] = Counter()
        for bucket, count in self.buckets.items():
            grouped[ceil(bucket / group)] += count
        return [(_bound(bar * group), grouped[bar]) for bar in range(min(grouped) - 1, max(grouped) + 1)]


class Recorder:
    """The values of one kind that one thread records, in some 0.3 us each; any thread may read them."""

    __slots__ = ("_buckets", "_max", "_min", "_total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._min, self._max, self._total = math.inf, 0.0, 0.0

    def add(self, value: float) -> None:
        """Count one value; what is none, or below zero, counts as zero."""
        if _LEAST < value < _MOST:
            bucket = ceil(log10(value) * _PER_DECADE)
        else:
            value = _MOST if value >= _MOST else value if value > 0 else 0.0
            bucket = _HIGHEST if value == _MOST else _LOWEST
        try:
            self._buckets[bucket] += 1
        except KeyError:
            self._buckets[bucket] = 1
        self._total += value
        if value > self._max:  # noqa: PLR1730 (max() takes three times as long)
            self._max = value
        if value < self._min:  # noqa: PLR1730
            self._min = value

    def read(self) -> Distribution:
        """Return the distribution so far."""
        buckets = self._buckets.copy()  # in one step: its thread may add meanwhile
        if not buckets:
            return Distribution()
        return Distribution(buckets=buckets, total=self._total, min=min(self._min, self._max), max=self._max)


def _bound(bucket: int) -> float:
    """Return the upper bound of a bucket, without the last digits that only rounding made."""
    return float(f"{10 ** (bucket / _PER_DECADE):.6g}")


#: The smallest and the largest value that are told from others: a microsecond and 11 days, of durations.
_LEAST, _MOST = _bound(_LOWEST), _bound(_HIGHEST)
