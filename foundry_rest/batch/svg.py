"""Plots as inline SVG that keep the size of their text at any width: every place is given in per cent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise

from foundry_rest.batch.axes import Axis, count_axis, log_axis, time_axis
from foundry_rest.batch.units import duration
from foundry_rest.schema.distribution import Percentiles

#: A box of this size is stretched over the plot, for lines cannot be given in per cent.
_BOX = 1000
#: Percentile -> on which side of its line its name stands, so that neighbours do not overlap.
_MARKED = {"p50": ("end", -5), "p95": ("start", 5)}


def progress_plot(points: Sequence[tuple[float, int, int]]) -> str:
    """Return the plot of (seconds, succeeded, failed) over time; there is at least one point."""
    x = time_axis(points[-1][0])
    y = count_axis(max(1, points[-1][1], points[-1][2]))
    lines = {
        kind: [(point[0], point[at]) for point in points]
        for at, kind in ((1, "succeeded"), (2, "failed"))
        if points[-1][at]  # a line on the axis would look as if something had failed
    }
    return _framed(lines_plot("Requests that succeeded and failed over time", x, y, lines))


def lines_plot(name: str, x: Axis, y: Axis, lines: Mapping[str, Iterable[tuple[float, float]]]) -> str:
    """Return the plot of lines, each under the class that gives it its colour, without a frame."""
    drawn = "".join(_line(kind, x, y, points) for kind, points in lines.items())
    box = f'<svg viewBox="0 0 {_BOX} {_BOX}" preserveAspectRatio="none" width="100%" height="100%">'
    return _plot(name, x, y, f"{box}{drawn}</svg>")


def _line(kind: str, x: Axis, y: Axis, points: Iterable[tuple[float, float]]) -> str:
    """Return a line and the area below it."""
    line = " ".join(
        f"{x.place(seconds) * _BOX:.0f},{(1 - y.place(count)) * _BOX:.0f}" for seconds, count in points
    )
    return (
        f'<g class="{kind}"><polygon points="{line} {_BOX},{_BOX} 0,{_BOX}"/><polyline points="{line}"/></g>'
    )


def histogram_plot(name: str, bars: Sequence[tuple[float, int]], percentiles: Percentiles) -> str:
    """Return the plot of a histogram's bars on a logarithmic axis, with the median and p95 marked."""
    return _framed(bars_plot(name, bars, percentiles))


def bars_plot(name: str, bars: Sequence[tuple[float, int]], percentiles: Percentiles) -> str:
    """Return the same without a frame."""
    x, y = log_axis(bars[0][0], bars[-1][0]), count_axis(max(count for _, count in bars))
    drawn = (_bar(x, y, low, high, count) for (low, _), (high, count) in pairwise(bars) if count)
    marks = (_mark(x, name, getattr(percentiles, name)) for name in _MARKED)
    return _plot(name, x, y, "".join((*drawn, *marks)))


def _bar(x: Axis, y: Axis, low: float, high: float, count: int) -> str:
    left, width, height = x.place(low), x.place(high) - x.place(low), y.place(count)
    return (
        f'<rect class="bar" x="{left:.2%}" y="{1 - height:.2%}" width="{width:.2%}" height="{height:.2%}">'
        f"<title>{duration(low)} to {duration(high)}: {count:,}</title></rect>"
    )


def _mark(x: Axis, name: str, value: float) -> str:
    place, (anchor, shift) = f"{x.place(value):.2%}", _MARKED[name]
    return (
        f'<line class="mark" x1="{place}" x2="{place}" y1="-22" y2="100%"/>'
        f'<text class="mark" x="{place}" y="-12" dx="{shift}" text-anchor="{anchor}">{name}</text>'
    )


def _plot(name: str, x: Axis, y: Axis, drawing: str) -> str:
    columns = (
        f'<line class="grid" x1="{place:.2%}" x2="{place:.2%}" y1="0" y2="100%"/>'
        f'<text x="{place:.2%}" y="100%" dy="1.7em" text-anchor="middle">{escape(label)}</text>'
        for place, label in x.ticks
    )
    rows = (
        f'<line class="grid" x1="0" x2="100%" y1="{1 - place:.2%}" y2="{1 - place:.2%}"/>'
        f'<text x="-8" y="{1 - place:.2%}" dy="0.32em" text-anchor="end">{escape(label)}</text>'
        for place, label in y.ticks
    )
    inside = "".join((*columns, *rows, drawing))
    return f'<svg class="plot" role="img" aria-label="{escape(name)}">{inside}</svg>'


def _framed(plot: str) -> str:
    """Return a plot with the room around it that the labels of its axes need."""
    return f'<div class="frame">{plot}</div>'
