"""OpenTelemetry in memory: what an observer has told."""

from __future__ import annotations

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundry_rest.observe.opentelemetry import OpenTelemetry
from foundry_rest.observe.opentelemetry.names import ATTEMPT


class Telemetry:
    """Providers that keep all in memory, and an observer that tells them.

    Args:
        options: Arguments of the observer.
    """

    def __init__(self, **options) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("test")
        self.observer = OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self):
        """Return every span that has ended, in order."""
        return self.exporter.get_finished_spans()

    @property
    def attempts(self):
        """Return the spans of requests."""
        return [span for span in self.spans if "http.request.method" in span.attributes]

    @property
    def calls(self):
        """Return the spans of calls."""
        return [span for span in self.spans if "foundry_rest.call_id" in span.attributes]

    @property
    def call(self):
        """Return the span of the only call."""
        (span,) = self.calls
        return span

    def metrics(self):
        """Return every metric that has a value, by its name."""
        data = self.reader.get_metrics_data()
        scopes = (
            [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        )
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name):
        """Return the points of a metric."""
        return list(self.metrics()[name].data.data_points)


def is_attempt_of(span, call) -> bool:
    """Return whether a span is of a request of this call, and named as one."""
    return (
        span.parent is not None
        and span.parent.span_id == call.context.span_id
        and ATTEMPT.kind == span.kind.name
    )
