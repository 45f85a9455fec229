"""docs/reference/grafana.json: a dashboard of metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from foundry_rest.observe.metrics import METRICS
from foundry_rest.observe.textfile import GAUGES

DASHBOARD = json.loads(
    (Path(__file__).parents[2] / "docs" / "reference" / "grafana.json").read_text(encoding="utf-8")
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
#: Labels that Prometheus adds.
ADDED = {"instance", "le"}


def labels_of(name: str) -> set[str]:
    """Return the labels of a metric as Prometheus names its series; ``{"?"}`` for one that does not exist."""
    if name in GAUGES:
        return {"job", "outcome"}
    for metric in METRICS:
        endings = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        if name in {metric.name + ending for ending in endings}:
            return {*metric.labels}
    return {"?"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_names(expression):
    """Every metric that a panel names exists, and has the labels by which it is picked and summed."""
    names = re.findall(r"foundry_rest_\w+", expression)
    assert names
    known = set().union(ADDED, *map(labels_of, names))
    assert "?" not in known
    picked = re.findall(r"(\w+)(?:=~|!=|=)\"", expression)
    grouped = [name for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(", ")]
    assert {*picked, *grouped} <= known


def test_all_are_shown():
    """No metric and no gauge is left out."""
    shown = " ".join(EXPRESSIONS)
    assert [name for name in (*(metric.name for metric in METRICS), *GAUGES) if name not in shown] == []


def test_panels():
    """Each has a number, a title and a place of its own, and says what it shows."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"] for panel in PANELS)
    places = [
        (x, y)
        for grid in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
