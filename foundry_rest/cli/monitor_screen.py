"""The screen of ``monitor``: what the monitor knows, drawn anew by rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from foundry_rest import clock
from foundry_rest.batch.units import duration, estimate, rate
from foundry_rest.control_characters import visible
from foundry_rest.ops.hysteresis import DEGRADED, DOWN, UP
from foundry_rest.ops.monitor import Monitor, MonitorReport

_COLOURS = {
    UP: "green",
    DEGRADED: "yellow",
    DOWN: "red",
    "closed": "green",
    "half-open": "yellow",
    "open": "red",
}
_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_BLOCKS, _ASCII_BLOCKS = {UP: "■", DEGRADED: "■", DOWN: "■"}, {UP: "+", DEGRADED: "~", DOWN: "x"}
#: Columns before the curves: name and figure.
_LEFT = 24
#: Changes and errors that are shown.
_SHOWN = 5


def show(monitor: Monitor, page: str | None, wait: Callable[[], bool]) -> None:
    """Draw the screen until ``wait`` returns true."""
    screen = _Screen(monitor, page)
    with Live(screen, console=Console(), auto_refresh=False, redirect_stderr=False) as live:
        while not wait():
            live.refresh()
        live.refresh()


class _Screen:
    """What is on the screen."""

    def __init__(self, monitor: Monitor, page: str | None) -> None:
        self._monitor, self._page = monitor, page

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        report = self._monitor.report()
        width = options.max_width
        yield _headline(report)
        yield Text("")
        yield _figures(report, max(10, width - _LEFT - 1), is_ascii=options.ascii_only)
        yield from _lists(report)
        yield Text("")
        yield Text(
            f"Page: {self._page}   Ctrl-C ends." if self._page else "Ctrl-C ends.", style="dim", no_wrap=True
        )


def _headline(report: MonitorReport) -> Text:
    if not report.state:
        return Text("Foundry Local: waiting for the first check", style="dim")
    text = Text("Foundry Local is ", no_wrap=True, overflow="ellipsis", style="bold")
    text.append(report.state, style=_COLOURS[report.state])
    since = estimate(max(0.0, clock.now() - report.since))
    where = " · ".join(filter(None, (report.generation, report.url)))
    return text.append(f" for {since}   {visible(where, keep_lines=False)}", style="not bold dim")


def _figures(report: MonitorReport, width: int, *, is_ascii: bool) -> Table:
    samples = report.samples[-width:]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=10, style="dim")
    table.add_column(width=_LEFT - 13, no_wrap=True)
    table.add_column(no_wrap=True)
    bars = _ASCII_BARS if is_ascii else _BARS
    curves = (
        ("Latency", [each.latency for each in samples], duration),
        ("Tokens/s", [each.tokens_per_second for each in samples], rate),
        ("Memory", [each.memory for each in samples], _bytes),
        ("Processor", [each.cpu for each in samples], lambda share: f"{share:.0%}"),
    )
    for name, values, shown in curves:
        known = [each for each in values if each is not None]
        table.add_row(name, shown(known[-1]) if known else "-", Text(_curve(values, bars), style="blue"))
    blocks = _ASCII_BLOCKS if is_ascii else _BLOCKS
    checks = Text().join(Text(blocks[each.observed], style=_COLOURS[each.observed]) for each in samples)
    table.add_row("Checks", f"{report.checks:,}", checks)
    return table


def _curve(values: Sequence[float | None], bars: str) -> str:
    """Return a character for each value, by its share of the largest; a blank for none."""
    top = max((each for each in values if each is not None), default=0.0) or 1.0
    last = len(bars) - 1
    return "".join(" " if each is None else bars[round(each / top * last)] for each in values)


def _lists(report: MonitorReport) -> Iterator[Table | Group]:
    models = report.samples[-1].models if report.samples else ()
    yield _list("Models", [(name,) for name in models] or [("none in memory",)])
    circuits = [(state, url) for url, state in report.circuits.items()]
    if circuits:
        yield _list("Circuit", circuits)
    changes = [(_time(each.at), each.after, each.text) for each in report.changes[-_SHOWN:]]
    yield _list("Changes", changes[::-1] or [("none yet",)])
    problems = [
        (_time(each.at), f"{each.count} x" if each.count > 1 else "", each.text)
        for each in report.problems[-_SHOWN:]
    ]
    if problems:
        yield _list("Errors", problems[::-1])


def _list(name: str, rows: Sequence[tuple[str, ...]]) -> Table:
    """Return rows behind a name; the last cell may be folded."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=10, style="dim")
    table.add_column()
    for number, row in enumerate(rows):
        line = Text()
        for cell in row:
            shown = visible(cell, keep_lines=False)
            line.append(f"{shown}  " if shown else "", style=_COLOURS.get(cell, ""))
        table.add_row("" if number else name, line)
    return table


def _bytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")  # noqa: DTZ006 (a person's own time)
