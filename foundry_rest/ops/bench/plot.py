"""The plot of a bench: one SVG file that stands alone, in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

from foundry_rest.batch.axes import Axis, count_axis, time_axis
from foundry_rest.batch.svg import bars_plot, lines_plot
from foundry_rest.control_characters import visible
from foundry_rest.ops.bench.figures import BenchLevel
from foundry_rest.ops.bench.report import BenchReport
from foundry_rest.schema.distribution import Distribution

#: Pixels: the width of the file, the height of one plot, the room around it for labels and its title.
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 170, 76, 28, 68, 44
_STYLE = """
svg { color-scheme: light dark; --page: #ffffff; --grid: #e6e9ed; --text: #1a1f26; --quiet: #58626e;
  --first: #2563c9; --second: #c8421a; --third: #16803c; }
@media (prefers-color-scheme: dark) { svg { --page: #101317; --grid: #2a3038; --text: #e7eaee;
  --quiet: #9ca6b2; --first: #6ea8fe; --second: #ff8c61; --third: #5fd38a; } }
text { font: 12px system-ui, sans-serif; fill: var(--quiet); }
.title { font-size: 15px; font-weight: 600; fill: var(--text); }
.page { fill: var(--page); }
.first { --kind: var(--first); } .second { --kind: var(--second); } .third { --kind: var(--third); }
text.key { fill: var(--kind); }
.plot { overflow: visible; } .plot line { stroke: var(--grid); }
.plot svg { overflow: visible; }
.plot polyline { fill: none; stroke: var(--kind); stroke-width: 2; vector-effect: non-scaling-stroke; }
.plot polygon { fill: none; }
.plot .bar { fill: var(--first); stroke: var(--page); }
.plot line.mark { stroke: var(--text); stroke-dasharray: 3 3; } .plot text.mark { fill: var(--text); }
"""
#: Lines of the plot of latencies: class -> name and figure.
_LATENCIES = {
    "first": ("TTFT, median", "median_ttft_ms"),
    "second": ("E2E, median", "median_e2el_ms"),
    "third": ("E2E, 99th percentile", "p99_e2el_ms"),
}
_HISTOGRAMS = {"ttft": "Time to first token", "e2el": "End to end"}


def render(report: BenchReport) -> str:
    """Return the plots as the text of an SVG file: over the number of requests, and of the best one."""
    cards = [*_over_levels(report.levels), *_histograms(report.best)]
    step = _TOP + _HEIGHT + _BOTTOM
    drawn = "".join(_card(number * step, *card) for number, card in enumerate(cards))
    height = max(1, len(cards)) * step
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(_name(report))}">\n'
        f'<style>{_STYLE}</style>\n<rect class="page" width="100%" height="100%"/>\n{drawn}</svg>\n'
    )


def _name(report: BenchReport) -> str:
    return visible(f"Bench of {report.model}", keep_lines=False)


def _card(top: int, title: str, keys: Mapping[str, str], plot: str) -> str:
    """Return one plot with its title, and the names of its lines."""
    named, left = [], _LEFT
    for kind, name in keys.items():
        named.append(f'<text class="key {kind}" x="{left}" y="{top + 46}">{escape(name)}</text>')
        left += 20 + 7 * len(name)
    return (
        f'<text class="title" x="{_LEFT}" y="{top + 26}">{escape(title)}</text>{"".join(named)}'
        f'<svg x="{_LEFT}" y="{top + _TOP}" width="{_WIDTH - _LEFT - _RIGHT}" height="{_HEIGHT}" '
        f'overflow="visible">{plot}</svg>\n'
    )


def _over_levels(levels: tuple[BenchLevel, ...]) -> Iterator[tuple[str, Mapping[str, str], str]]:
    if len(levels) < 2:
        return
    x = _doubling_axis(levels[-1].concurrency)
    speeds = _points(levels, "output_throughput")
    title = "Tokens per second by requests at a time"
    yield (
        title,
        {},
        lines_plot(title, x, count_axis(max(1.0, *(each[1] for each in speeds))), {"first": speeds}),
    )
    found = {kind: _points(levels, figure, 1000) for kind, (_, figure) in _LATENCIES.items()}
    most = max((seconds for points in found.values() for _, seconds in points), default=0.0)
    title = "Latency by requests at a time"
    keys = {kind: name for kind, (name, _) in _LATENCIES.items() if found[kind]}
    yield title, keys, lines_plot(title, x, time_axis(most), {kind: found[kind] for kind in keys})


def _points(levels: tuple[BenchLevel, ...], figure: str, divisor: float = 1.0) -> list[tuple[float, float]]:
    pairs = ((level.concurrency, level.figures[figure]) for level in levels)
    return [(concurrency, value / divisor) for concurrency, value in pairs if value is not None]


def _doubling_axis(most: int) -> Axis:
    """Return an axis on which each doubling from 1 takes the same room."""
    doublings = round(math.log2(most))
    return Axis(
        lambda value: math.log2(value) / doublings,
        [(number / doublings, str(2**number)) for number in range(doublings + 1)],
    )


def _histograms(best: BenchLevel | None) -> Iterator[tuple[str, Mapping[str, str], str]]:
    if best is None:
        return
    for name, what in _HISTOGRAMS.items():
        found = Distribution.merged(run.histograms[name] for run in best.runs)
        if found.buckets:
            title = f"{what}: requests, {best.concurrency} at a time"
            yield title, {}, bars_plot(title, found.bars(), found.percentiles())
