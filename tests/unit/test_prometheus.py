"""The metrics of a client, as Prometheus reads them."""

from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from foundry_rest.client import FoundryAPIClient
from foundry_rest.events import CallFinished
from foundry_rest.observe.metrics import BOUNDS, METRICS
from foundry_rest.observe.prometheus import StatsCollector
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.schema.stats import Stats
from foundry_rest.testing import DEMO_MODEL, FaultServer


def series(stats):
    """Return the value of each series that Prometheus gets."""
    registry = CollectorRegistry()
    registry.register(StatsCollector(stats))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    samples = [sample for family in families for sample in family.samples]
    assert len({(each.name, tuple(each.labels.items())) for each in samples}) == len(samples)
    return {(each.name, *dict(sorted(each.labels.items())).values()): each.value for each in samples}


def test_a_client():
    """A registered client is read when Prometheus asks, without a call in between."""
    with FaultServer() as server, FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        client.complete("Hi")
        list(client.stream_complete("Hi"))
        found = series(client.stats)

    assert found["foundry_rest_calls_total", "chat.complete", "ok"] == 1
    assert found["foundry_rest_calls_total", "chat.stream", "ok"] == 1
    assert found["foundry_rest_call_duration_seconds_count", "chat.complete"] == 1
    assert found["foundry_rest_tokens_total", "chat.complete", "output"] > 0
    assert found["foundry_rest_circuit_state", server.url, "closed"] == 1
    assert found["foundry_rest_circuit_state", server.url, "open"] == 0


def test_no_calls():
    """A client that has not been used has zeros, and no series of an operation or an address."""
    found = series(Stats)
    assert set(found.values()) == {0.0}
    assert {len(labels) for labels in found} == {1, 2}
    assert {labels[0] for labels in found if len(labels) > 1} == {"foundry_rest_cache_lookups_total"}


def test_buckets():
    """The counts of a histogram rise to the number of all, and are as many as lie below, within 1.2 %."""
    observer, chance = StatsObserver(), random.Random(5)
    values = [chance.lognormvariate(-1, 2) for _ in range(3_000)]
    for value in values:
        observer(CallFinished("", "id", "a", "m", 1, "ok", value))
    found = series(observer.snapshot)
    counts = [found["foundry_rest_call_duration_seconds_bucket", f"{bound}", "a"] for bound in BOUNDS]

    assert counts == sorted(counts)
    for bound, count in zip(BOUNDS, counts, strict=True):
        assert sum(value <= bound / 1.013 for value in values) <= count
        assert count <= sum(value <= bound * 1.013 for value in values)
    assert found["foundry_rest_call_duration_seconds_bucket", "+Inf", "a"] == 3_000
    assert found["foundry_rest_call_duration_seconds_sum", "a"] == pytest.approx(sum(values))


def test_names():
    """Each has its prefix, its unit, and the ending of its kind."""
    for metric in METRICS:
        assert metric.name.startswith("foundry_rest_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") == (metric.kind == "histogram")
        assert metric.help.endswith(".")
