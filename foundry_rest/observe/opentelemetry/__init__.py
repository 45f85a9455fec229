"""Spans and metrics for OpenTelemetry, whose API the extra ``otel`` installs.

Names follow the semantic conventions for generative AI; the tables of ``names`` hold all of them.
"""

from foundry_rest.observe.opentelemetry.flushing import flush
from foundry_rest.observe.opentelemetry.observer import OpenTelemetry

__all__ = ["OpenTelemetry", "flush"]
