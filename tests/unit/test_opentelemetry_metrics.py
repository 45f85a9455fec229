"""What OpenTelemetry is told has the names of the tables, which docs/reference/metrics.md repeats."""

from __future__ import annotations

import logging
import math
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from support.events import ADAPTED, CLOSED, CURED, FAILED, FINISHED, MOVED
from support.telemetry import Telemetry

from foundry_rest import events, observe
from foundry_rest.events import CallEvent, CallFinished, Event
from foundry_rest.observe.log import log_event
from foundry_rest.observe.opentelemetry.metrics import METRICS
from foundry_rest.observe.opentelemetry.names import ATTEMPT, CALL, OF_CALL, SIGNALS

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
EVENTS = (FAILED, FINISHED, CURED, CLOSED, MOVED, ADAPTED)
#: A call that tells all that can be measured.
WHOLE = CallFinished("http://h:1", "id", "chat.stream", "m", 1, "ok", 1.5, None, 0.25, 30, 4)
SECONDS = [0.01 * 2**power for power in range(14)]
TOKENS = [4**power for power in range(14)]


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table, without its heading."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", TEXT, re.DOTALL)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]


def in_table(names) -> str:
    """Return the names of attributes as the tables write them."""
    code = " ".join(f"`{name}`" for name in names)
    every = " ".join(f"`{name}`" for name in OF_CALL)
    return code.replace(every, "*call*")


def total(told, name, **attributes):
    """Return the sum of the points of a metric with these attributes, by their last words."""
    found = [
        point
        for point in told.points(name)
        if {key.rpartition(".")[2]: value for key, value in point.attributes.items()}.items()
        >= attributes.items()
    ]
    return sum(getattr(point, "sum", getattr(point, "value", 0)) for point in found)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("conventions", ["published", "latest"])
def test_names(conventions):
    """In memory there are exactly the metrics of the table, with its kinds, units and attributes."""
    told = Telemetry(conventions=conventions)
    embedded = CallFinished("http://h:1", "id", "embeddings.create", "m", 1, "error", 1.5, FAILED.error)
    for event in (*EVENTS, WHOLE, embedded):
        told.observer(event)
    expected = [metric for metric in METRICS if getattr(metric, conventions) is not None]
    found = told.metrics()

    assert set(found) == {metric.name for metric in expected}
    for metric in expected:
        point = found[metric.name].data.data_points[0]
        attributes = {name for each in found[metric.name].data.data_points for name in each.attributes}
        assert found[metric.name].unit == metric.unit
        assert found[metric.name].description == metric.help
        assert attributes <= set(metric.attributes)
        assert attributes >= set(metric.attributes) - {"error.type"}
        assert tuple(getattr(point, "explicit_bounds", ())) == metric.bounds


def test_every_event():
    """Every event has its signal, and makes at least one measurement by either names."""
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}

    assert set(SIGNALS) == kinds - {Event, CallEvent}
    for conventions in ("published", "latest"):
        assert {metric.event for metric in METRICS if getattr(metric, conventions)} == set(SIGNALS)


def test_span_attributes():
    """Spans and their events have no attribute that the table does not name."""
    told = Telemetry()
    for event in (*EVENTS, WHOLE):
        told.observer(event)
    spans = [*told.spans, *(event for span in told.spans for event in span.events)]
    named = {name for signal in (*SIGNALS.values(), ATTEMPT) for name in signal.attributes}

    assert spans
    assert {name for span in spans for name in span.attributes} <= named


def test_buckets():
    """Histograms have the conventions' buckets: times double, tokens grow fourfold."""
    for metric in METRICS:
        bounds = {"s": SECONDS, "{token}": TOKENS}.get(metric.unit, [])
        assert list(metric.bounds) in (bounds, [])
        assert bool(metric.bounds) == (metric.unit == "s" or metric.name.rpartition(".")[0] in HISTOGRAMS)
    assert math.isclose(SECONDS[-1], 81.92)


#: What the names of histograms of tokens begin with.
HISTOGRAMS = ("gen_ai.client.token", "gen_ai.client.inference.operation")


# ---------------------------------------------------------------- figures


def test_published():
    """A call is measured once: its time, its first chunk, and its tokens by type."""
    told = Telemetry()
    told.observer(WHOLE)

    assert total(told, "gen_ai.client.operation.duration") == 1.5
    assert total(told, "gen_ai.client.operation.time_to_first_chunk") == 0.25
    assert total(told, "gen_ai.client.token.usage", type="input") == 30
    assert total(told, "gen_ai.client.token.usage", type="output") == 4
    assert total(told, "foundry_rest.calls", outcome="ok") == 1


def test_latest():
    """By the latest names a chat is an inference, and the others are operations."""
    told = Telemetry(conventions="latest")
    told.observer(WHOLE)
    told.observer(CallFinished("http://h:1", "id", "embeddings.create", "m", 1, "ok", 2.5))

    assert total(told, "gen_ai.client.inference.duration") == 1.5
    assert total(told, "gen_ai.client.operation.duration") == 2.5
    assert total(told, "gen_ai.client.inference.time_to_first_chunk") == 0.25
    assert total(told, "gen_ai.client.inference.usage.input_tokens", modality="unknown") == 30
    assert total(told, "gen_ai.client.inference.usage.output_tokens") == 4
    assert total(told, "gen_ai.client.inference.operation.input_tokens") == 30
    assert total(told, "gen_ai.client.inference.operation.output_tokens") == 4


@pytest.mark.parametrize("conventions", ["published", "latest"])
def test_a_cached_answer(conventions):
    """An answer from the cache is counted, and leaves the service's figures alone."""
    told = Telemetry(conventions=conventions)
    told.observer(CallFinished("http://h", "id", "chat.stream", "m", 1, "cached", 0.1, None, 0.1, 30, 4))

    assert set(told.metrics()) == {"foundry_rest.calls"}
    assert total(told, "foundry_rest.calls", outcome="cached") == 1


def test_an_error():
    """A call that failed is measured with the class of its error."""
    told = Telemetry()
    told.observer(CallFinished("http://h", "id", "chat.complete", "m", 1, "error", 2.0, FAILED.error))

    assert total(told, "gen_ai.client.operation.duration", type="ServerError") == 2.0


@pytest.mark.parametrize(
    ("variable", "conventions", "is_latest"),
    [
        ("", None, False),
        ("http", None, False),
        ("gen_ai_latest_experimental", None, True),
        ("http/dup, gen_ai_latest_experimental", None, True),
        ("gen_ai_latest_experimental", "published", False),
        ("", "latest", True),
    ],
)
def test_opt_in(monkeypatch, variable, conventions, is_latest):
    """The latest names are used where the variable or the argument asks for them; the argument wins."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", variable)
    told = Telemetry(conventions=conventions)
    told.observer(WHOLE)

    assert ("gen_ai.client.inference.duration" in told.metrics()) is is_latest
    assert ("gen_ai.client.operation.duration" in told.metrics()) is not is_latest


# ---------------------------------------------------------------- the documentation


def test_table_of_metrics():
    """Every metric has its row."""
    both = {(True, True): "both", (True, False): "published", (False, True): "latest"}

    assert rows("otel-metrics") == [
        [
            f"`{metric.name}`",
            both[metric.published is not None, metric.latest is not None],
            "histogram" if metric.bounds else "counter",
            f"`{metric.unit}`",
            in_table(metric.attributes),
            metric.help,
        ]
        for metric in METRICS
    ]


def test_table_of_spans():
    """Every span, and every event on one, has its row."""
    signals = [CALL, ATTEMPT, *(signal for signal in SIGNALS.values() if signal is not CALL)]

    assert rows("otel-spans") == [
        [f"`{signal.name}`", signal.kind or "event", in_table(signal.attributes), signal.help]
        for signal in signals
    ]


def test_the_call_in_the_tables():
    """The text says which attributes *call* stands for."""
    text = " ".join(TEXT.split())

    assert f"*call* stands for {' '.join(f'`{name}`' for name in OF_CALL)}." in text


@pytest.mark.parametrize("row", rows("otel-events"), ids=lambda row: row[0])
def test_one_of_each(row, caplog):
    """Each event has one log record, the metrics of its row, and one span or event on a span."""
    (event,) = (each for each in EVENTS if f"`{type(each).__name__}`" == row[0])
    told = Telemetry()
    caplog.set_level(logging.DEBUG, observe.log.logger.name)
    log_event(event)
    told.observer(event)
    patterns = re.findall("`(.*?)`", row[2])
    names = set(told.metrics())

    assert len(caplog.records) == 1
    assert caplog.records[0].levelname in row[1]
    assert [row[0], row[1]] in [cells[:2] for cells in rows("records")]
    assert {name for name in names for pattern in patterns if fnmatch(name, pattern)} == names
    assert all(any(fnmatch(name, pattern) for name in names) for pattern in patterns)
    assert row[3] == f"{'span' if SIGNALS[type(event)].kind else 'span event'} `{SIGNALS[type(event)].name}`"
    if not SIGNALS[type(event)].kind:
        told.observer(WHOLE)
    (span,) = told.spans
    assert [each.name for each in span.events] == (
        [] if "event" not in row[3] else re.findall("`(.*?)`", row[3])
    )


def test_the_events_of_the_table():
    """Every event has its row, in the order in which the code names them."""
    assert [row[0] for row in rows("otel-events")] == [f"`{kind.__name__}`" for kind in SIGNALS]
