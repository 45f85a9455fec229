"""The report of a bench for people, in lines of at most 80 characters but for the client's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from foundry_rest.batch.units import duration
from foundry_rest.ops.bench import FORMULAS, BenchLevel, BenchReport, Spread
from foundry_rest.ops.bench.advice import GROWTH, LEAST, MARGIN
from foundry_rest.ops.bench.figures import TOGETHER

_WIDTH = 80
#: Heading -> figure, of the table with one row for each number of requests at a time.
_COLUMNS = {
    "DONE": "completed",
    "FAILED": "failed",
    "REQ/S": "request_throughput",
    "GOOD/S": "request_goodput",
    "TOKENS/S": "output_throughput",
    "PER USER": "output_throughput_per_user",
    "TTFT": "median_ttft_ms",
    "TPOT": "median_tpot_ms",
    "E2E": "median_e2el_ms",
    "E2E P99": "p99_e2el_ms",
}
#: Share of the throughput by which repeats may differ without a word: four times what decides a sweep.
_STEADY = 0.2
_COUNTS = ("completed", "failed")
#: Rows of the table of one number at a time.
_FIGURES = {"TTFT": "ttft", "first thought": "first_thought", "TPOT": "tpot", "ITL": "itl", "E2E": "e2el"}


def lines_of(report: BenchReport, model: str, url: str | None) -> Iterator[str]:
    """Yield the lines of a report.

    Args:
        report: What was found out.
        model: Name of the model for the client's line.
        url: Address for it; ``None`` where it is found anyway.
    """
    yield from _head(report)
    if not report.levels:
        yield "Interrupted before the first run had an answer." if report.interrupted else "No run."
        return
    yield ""
    yield from _table(_rows(report.levels))
    yield "TTFT, TPOT, E2E: medians in ms; see below for what each column is."
    if any(len(level.runs) > 1 for level in report.levels):
        yield from _repeats(report.levels)
    if report.interrupted:
        yield "Interrupted: the last run lacks the requests that were under way."
    yield from _failures(report.levels)
    if not any(run.counts_tokens for level in report.levels for run in level.runs):
        yield "The service counts no tokens: each event with text is taken for one."
    best = report.best
    if best is not None:
        yield from _details(best)
        yield ""
        yield from (f"{name:<10}{formula}" for name, formula in FORMULAS)
        yield from _advice(report, best, model, url)


def _head(report: BenchReport) -> Iterator[str]:
    settings, warmup = report.settings, report.warmup
    where = f"{report.model} at {report.url or 'no address'} ({report.generation or 'not recognised'})"
    yield from wrap(where, _WIDTH)
    prompts = (
        f"{len(settings.prompts)} given prompts"
        if settings.prompts
        else f"prompts of about {settings.prompt_tokens} tokens (seed {settings.seed})"
    )
    yield f"{prompts}, answers of at most {settings.max_tokens} tokens"
    loaded = "was in memory" if report.load is None else f"loaded in {duration(report.load)}"
    first = "" if warmup.first_ttft is None else f", first token after {duration(warmup.first_ttft)}"
    warmed = f"warm-up: {warmup.requests} requests, {duration(warmup.seconds)}{first}"
    yield from wrap(f"model {loaded}; {warmed}", _WIDTH)


def _rows(levels: Sequence[BenchLevel]) -> list[list[str]]:
    has_goodput = levels[0].figures["request_goodput"] is not None
    columns = {name: key for name, key in _COLUMNS.items() if has_goodput or name != "GOOD/S"}
    rows = [["AT ONCE", *columns]]
    for level in levels:
        figures = level.figures
        cells = (
            f"{figures[key]:,.0f}" if key in _COUNTS else _number(figures[key]) for key in columns.values()
        )
        rows.append([str(level.concurrency), *cells])
    return rows


def _table(rows: Sequence[Sequence[str]], *, named: bool = False) -> Iterator[str]:
    """Yield a table of numbers, which end in line; the first column begins in line if it holds names."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # Narrower where the wide form has no room.
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= _WIDTH else " "
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        if named:
            cells[0] = row[0].ljust(widths[0])
        yield gap.join(cells).rstrip()


def _repeats(levels: Sequence[BenchLevel]) -> Iterator[str]:
    yield ""
    yield "Least to greatest of the repeats, of which the table has the median:"
    names = ("TOKENS/S", "TTFT", "TPOT", "E2E")
    rows = [["AT ONCE", *names]]
    for level in levels:
        spread = level.spread
        bounds = (spread.get(_COLUMNS[name]) for name in names)
        cells = ("-" if pair is None else f"{_number(pair[0])} - {_number(pair[1])}" for pair in bounds)
        rows.append([str(level.concurrency), *cells])
    yield from _table(rows)
    if any(_differs(level) for level in levels):
        yield f"Repeats differ by more than {_STEADY * 100:.0f} %: something else was busy. Measure again."


def _differs(level: BenchLevel) -> bool:
    """Return whether the repeats differ by so much that the advice may be wrong."""
    least, most = level.spread["output_throughput"]
    return most - least > _STEADY * level.throughput


def _failures(levels: Sequence[BenchLevel]) -> Iterator[str]:
    for level in levels:
        for name, count in level.errors.items():
            yield from wrap(f"{level.concurrency} at a time: {count} x {name}: {level.reasons[name]}", _WIDTH)
        empty = sum(run.without_content for run in level.runs)
        if empty:
            yield f"{level.concurrency} at a time: {empty} answers without content, which have no TTFT"


def _details(best: BenchLevel) -> Iterator[str]:
    figures = best.figures
    statistics = Spread.__struct_fields__
    yield ""
    rows = [[f"{best.concurrency} at a time, in ms", *(name.upper() for name in statistics)]]
    for title, name in _FIGURES.items():
        if figures[f"mean_{name}_ms"] is not None:
            rows.append([title, *(_number(figures[f"{each}_{name}_ms"]) for each in statistics)])
    yield from _table(rows, named=True)
    if together := figures["itl_together"]:
        yield from wrap(
            f"{together * 100:.0f} % of the gaps (ITL) are below {TOGETHER * 1000:g} ms: these outputs came "
            "together. 2.x packs 1 to 10 events into one chunk of HTTP, so ITL tells how the answer is "
            "sent; TPOT tells how fast it is made.",
            _WIDTH,
        )


def _advice(report: BenchReport, best: BenchLevel, model: str, url: str | None) -> Iterator[str]:
    advice = report.advice
    if advice is None:
        return
    settings = report.settings
    length = "as long as these" if settings.prompts else f"of about {settings.prompt_tokens} tokens"
    yield ""
    yield from wrap(
        f"Advice: {_why(report, best)} timeout is {MARGIN} times the 99th percentile of E2E, at least "
        f"{LEAST:g} s; deadline is two time-outs{'' if report.load is None else f' and {MARGIN} loads'}. "
        f"They fit prompts {length} and answers of {settings.max_tokens} tokens: measure with yours.",
        _WIDTH,
    )
    yield advice.line(model, url)


def _why(report: BenchReport, best: BenchLevel) -> str:
    """Return why this number of requests at a time is advised."""
    number = f"{best.concurrency} at a time"
    if not report.settings.is_sweep:
        return f"{number} is all that was measured; --concurrency sweep finds the best number."
    if best is report.levels[-1]:
        return f"{number} was the fastest, and the last that was measured."
    what = "tokens" if best.figures["request_goodput"] is None else "good answers"
    return f"{number}; more gives less than {GROWTH * 100 - 100:.0f} % more {what} per second."


def _number(value: float | None) -> str:
    """Return a number with three digits or all before the point; a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"
