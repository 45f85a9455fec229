"""The metrics of a client for ``prometheus_client``, which the extra ``prometheus`` installs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from foundry_rest.observe.metrics import BOUNDS, METRICS
from foundry_rest.schema.distribution import Distribution
from foundry_rest.schema.stats import Stats

_SIMPLE = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class StatsCollector(Collector):
    """A collector of the metrics of one client, which are read when Prometheus asks.

    Register it where the program's other metrics are: ``REGISTRY.register(StatsCollector(client.stats))``.
    A bucket's bound is at most 1.2 % off.

    Args:
        stats: Returns the figures so far, as ``client.stats`` does.
    """

    def __init__(self, stats: Callable[[], Stats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its series."""
        stats = self._stats()
        for metric in METRICS:
            if metric.kind == "histogram":
                histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.read(stats):
                    histogram.add_metric(labels, *_histogram(value))
                yield histogram
            else:
                simple = _SIMPLE[metric.kind](metric.name, metric.help, labels=metric.labels)
                for labels, value in metric.read(stats):
                    simple.add_metric(labels, value)
                yield simple


def _histogram(value: object) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative counts by bound, and the sum."""
    found = value if isinstance(value, Distribution) else Distribution()
    counts = [(f"{bound:g}", float(found.at_most(bound))) for bound in BOUNDS]
    return [*counts, ("+Inf", float(found.count))], found.total
