"""Axes of plots: round ticks, their labels, and where a value stands in per cent of the axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import msgspec

#: At most so many steps between ticks, so that the labels have room in a narrow window.
_STEPS = 4
#: Axis of durations up to so many seconds -> seconds of its unit, and its name.
_UNITS = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (7_200.0, 60.0, "min"),
    (172_800.0, 3_600.0, "h"),
    (math.inf, 86_400.0, "d"),
)
#: First digits of the steps of a time axis: halves and quarters of a minute or an hour are round, too.
_TIME_DIGITS = (1, 1.5, 2, 3, 5)
#: How many powers of ten an axis may cover -> the first digits of its ticks.
_DIGITS = ((1.5, (1, 2, 5)), (3.0, (1, 3)), (math.inf, (1,)))
#: Powers of ten that a logarithmic axis covers at least, and below which its ticks are in equal steps.
_NARROWEST, _NARROW = 0.5, 0.8
#: A count from so much on is told in -> so many, and their letter.
_LETTERS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))


class Axis(msgspec.Struct, frozen=True):
    """One axis of a plot.

    Attributes:
        place: The place of a value, from 0.0 at the lower end to 1.0 at the upper one.
        ticks: (place, label) of each tick.
    """

    place: Callable[[float], float]
    ticks: list[tuple[float, str]]


def count_axis(most: float) -> Axis:
    """Return an axis from 0 to a round number of things that is not below ``most``."""
    step = max(1.0, _round_up(most / _STEPS))
    high = step * max(1, math.ceil(most / step))
    return _axis(lambda value: value / high, _multiples(step, 0, high), _count)


def time_axis(seconds: float) -> Axis:
    """Return an axis from 0 to exactly so many seconds."""
    high = seconds or 1.0
    size, name = next(row[1:] for row in _UNITS if high <= row[0])
    ticks = _multiples(_round_up(high / size / _STEPS, _TIME_DIGITS) * size, 0, high)
    return _axis(lambda value: value / high, ticks, lambda value: f"{value / size:.6g} {name}")


def log_axis(low: float, high: float) -> Axis:
    """Return a logarithmic axis of durations from ``low`` to ``high``, both above 0, or somewhat wider."""
    start, end = math.log10(low), math.log10(high)
    margin = max(0.0, _NARROWEST - (end - start)) / 2
    start, span = start - margin, end - start + 2 * margin
    lowest, ticks = 10**start, _log_ticks(start, start + span)
    return _axis(
        lambda value: (math.log10(max(lowest, value)) - start) / span, ticks, _milliseconds_or_seconds
    )


def _axis(place: Callable[[float], float], ticks: Sequence[float], label: Callable[[float], str]) -> Axis:
    return Axis(place, [(place(tick), label(tick)) for tick in ticks])


def _round_up(value: float, digits: Sequence[float] = (1, 2, 5)) -> float:
    """Return the next number that is one of the digits times a power of ten; 0 for 0."""
    if not value:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (*digits, 10) if digit * power >= value * (1 - 1e-9))


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _log_ticks(start: float, end: float) -> list[float]:
    if end - start < _NARROW:
        low, high = 10**start, 10**end
        return _multiples(_round_up((high - low) / _STEPS), low, high)
    digits = next(row[1] for row in _DIGITS if end - start <= row[0])
    ticks = list(_with_digits(digits, start, end))
    return ticks[:: math.ceil(len(ticks) / (_STEPS + 2))]


def _with_digits(digits: Sequence[int], start: float, end: float) -> Iterator[float]:
    for power in range(math.floor(start), math.ceil(end) + 1):
        ticks = (digit * 10.0**power for digit in digits)
        yield from (tick for tick in ticks if start - 1e-9 <= math.log10(tick) <= end + 1e-9)


def _milliseconds_or_seconds(value: float) -> str:
    size, name = next((row[1:] for row in _UNITS[:2] if value < row[0] * (1 - 1e-9)), (1.0, "s"))
    return f"{float(f'{value / size:.4g}'):,.10g} {name}"


def _count(value: float) -> str:
    size, letter = next((row[1:] for row in _LETTERS if value >= row[0]), (1.0, ""))
    return f"{value / size:,.6g}{letter}"
