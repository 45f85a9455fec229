"""The lines of `check`, read by a library that has nothing to do with it."""

from __future__ import annotations

import itertools
import random

import pytest
from support.engines import needs

from foundry_rest import FoundryAPIClient
from foundry_rest.ops.check import CheckSettings, check
from foundry_rest.ops.plugin_format import Measure, Range, State, line_of
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_error

pytestmark = [needs("nagiosplugin"), needs("pynag")]

RANGES = ("0.5", "10:", "~:10", "10:20", "@10:20", "@~:0", ".001", "-5:5")


@pytest.fixture
def perfdata():
    """Return the reader of figures."""
    from pynag.Utils import PerfData

    return PerfData


def verdict(url, **settings):
    """Return the verdict on the service at an address."""
    with FoundryAPIClient(url, retries=0, breaker=None, auto_load=False) as client:
        return check(client, CheckSettings(timeout=5, **settings))


def verdicts():
    """Yield verdicts on services in several states, with ranges of every kind."""
    names = itertools.cycle(("latency", "memory", "answer"))
    with FaultServer() as server:
        for warning, critical in itertools.product(RANGES[:5], RANGES[3:]):
            given = {"warning": {next(names): Range.parse(warning)}, "critical": {}}
            given["critical"][next(names)] = Range.parse(critical)
            yield verdict(server.url, model=DEMO_MODEL, answer=True, **given)
        yield verdict(server.url, model="no | such'model")
        server.on("GET", "/status", json_error(500, "broken | 'x'=1;2;3"))
        yield verdict(server.url)
    with dead_address() as url:
        yield verdict(url)


def test_lines(perfdata):
    """Text and figures are found apart, and every figure has its value, its unit and its ranges."""
    lines = [(str(found), found) for found in verdicts()]
    assert len(lines) >= 20
    for line, found in lines:
        text, _, figures = line.partition("|")
        assert text.startswith(f"FOUNDRY {found.state.name}: ")
        read, known = perfdata(figures), [each for each in found.measures if each.value is not None]
        assert read.invalid_metrics == []
        assert all(metric.is_valid() for metric in read.metrics)
        assert [(metric.label, metric.uom, metric.warn, metric.crit) for metric in read.metrics] == [
            (
                each.label,
                each.unit,
                each.warning.text if each.warning else "",
                each.critical.text if each.critical else "",
            )
            for each in known
        ]
        for metric, measure in zip(read.metrics, known, strict=True):
            assert float(metric.value) == pytest.approx(measure.value, abs=1e-6)


def test_a_figure_that_is_not_known(perfdata):
    """It is left out, and the others are read."""
    line = line_of("X", State.OK, "x", [Measure("memory", None, "MB"), Measure("latency", 0.5, "s")])
    (metric,) = perfdata(line.partition("|")[2]).metrics
    assert (metric.label, metric.value, metric.uom) == ("latency", "0.5", "s")


@pytest.mark.parametrize("text", RANGES)
def test_ranges(text):
    """A value alerts where another library says so."""
    import nagiosplugin

    theirs, ours = nagiosplugin.Range(text), Range.parse(text)
    chance = random.Random(text)
    values = [*(chance.uniform(-30, 30) for _ in range(200)), -5, 0, 5, 10, 20, 1e-3]
    assert [ours.alerts(value) for value in values] == [not theirs.match(value) for value in values]
