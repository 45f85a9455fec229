"""The tables of docs/reference/metrics.md: what the code tells, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.events import ADAPTED, CLOSED, CURED, FAILED, FINISHED, MOVED, OPENED

from foundry_rest.events import CallFinished, CircuitChanged
from foundry_rest.observe import log
from foundry_rest.observe.metrics import METRICS
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.observe.textfile import GAUGES

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")

EVENTS = (FAILED, FINISHED, CURED, CLOSED, MOVED, ADAPTED)


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table, without its heading."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", TEXT, re.DOTALL)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]


def in_code(names) -> str:
    """Return names as the tables write them."""
    return " ".join(f"`{name}`" for name in names)


def test_metrics():
    """Every metric has its row, with its kind, its labels and its help."""
    assert rows("metrics") == [
        [f"`{metric.name}`", metric.kind, in_code(metric.labels), metric.help] for metric in METRICS
    ]


def test_gauges():
    """Every gauge of the textfile has its row, with its help."""
    assert [[name, text] for name, _, text in rows("gauges")] == [
        [f"`{name}`", text] for name, text in GAUGES.items()
    ]


def test_records():
    """Every event has its row, in the order in which the code names them."""
    assert [event for event, *_ in rows("records")] == [f"`{kind.__name__}`" for kind in log._LINES]


@pytest.mark.parametrize("row", rows("effects"), ids=lambda row: row[0])
def test_effects(row):
    """An event changes a metric that its row names, and none that no row of its names."""
    (event,) = (each for each in EVENTS if f"`{type(each).__name__}`" == row[0])
    named = set(re.findall(r"`(\w+)`", row[1]))
    if isinstance(event, CallFinished):
        named |= {metric.name for metric in METRICS if metric.kind == "histogram"}
    observer = StatsObserver()
    observer(FINISHED)  # so that its operation has series of zeros before
    before = observer.snapshot()
    observer(OPENED if isinstance(event, CircuitChanged) else event)
    after = observer.snapshot()
    changed = {metric.name for metric in METRICS if _sum(metric, after) != _sum(metric, before)}
    assert changed
    assert changed <= named


def test_every_event_has_an_effect():
    """The table has each event once, in the order of the log's."""
    assert [event for event, _ in rows("effects")] == [f"`{kind.__name__}`" for kind in log._LINES]


def _sum(metric, stats):
    return sum(getattr(value, "count", value) for _, value in metric.read(stats))


@pytest.mark.parametrize("row", rows("records"), ids=lambda row: row[0])
def test_attributes(row):
    """The attributes of a record are those that test_log finds in it."""
    (event,) = (each for each in EVENTS if f"`{type(each).__name__}`" == row[0])
    made = [*log._facts(event), *log._LINES[type(event)](event, "").more]

    assert row[2] == in_code(made)
