"""OpenTelemetry: an observer that tells a client's events as spans and metrics."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import SpanKind, TracerProvider, get_tracer

from foundry_rest.errors import ConfigError
from foundry_rest.events import (
    AttemptFailed,
    CallEvent,
    CallFinished,
    CircuitChanged,
    CureStarted,
    Event,
    ServiceMoved,
    TimeoutChanged,
)
from foundry_rest.observe.opentelemetry.attempts import TracedTransport
from foundry_rest.observe.opentelemetry.calls import OpenCalls
from foundry_rest.observe.opentelemetry.metrics import Instruments
from foundry_rest.observe.opentelemetry.names import SIGNALS, attributes_of, name_of
from foundry_rest.observe.opentelemetry.turns import Turns
from foundry_rest.transport.interfaces import Transport

Conventions = Literal["published", "latest"]
#: The variable, and the word in its list, by which all instrumentations are asked for the latest names.
_VARIABLE, _OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental"


class OpenTelemetry:
    """An observer that tells OpenTelemetry of a client: spans of its calls and their attempts, and metrics.

    Give it to clients as ``observers=[OpenTelemetry()]``; one may serve several. Each request is sent with
    the trace's headers (``traceparent``), unless the call has some of its own. No prompt, answer or key is
    told. Pickled with a client, it uses the providers of the program that reads it.

    Args:
        conventions: ``"published"`` for the names of the semantic conventions 1.41, ``"latest"`` for those
            that are being worked on. Default: ``"latest"`` if ``OTEL_SEMCONV_STABILITY_OPT_IN`` holds
            ``gen_ai_latest_experimental``, else ``"published"``.
        tracer_provider: Takes the spans; default: that of the whole program.
        meter_provider: Takes the metrics; default: that of the whole program.

    Raises:
        ConfigError: There are no such conventions.
    """

    def __init__(
        self,
        *,
        conventions: Conventions | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._conventions = _checked(conventions)
        is_latest = (conventions or _from_environment()) == "latest"
        release = _release()
        tracer = get_tracer("foundry_rest", release, tracer_provider)
        meter = get_meter("foundry_rest", release, meter_provider)
        self._calls, self._instruments = OpenCalls(tracer), Instruments(meter, latest=is_latest)
        self._turns = Turns()

    def __call__(self, event: Event) -> None:
        """Tell of one event."""
        self._turns.take(partial(self._tell, event))

    def wrap_transport(self, transport: Transport) -> Transport:
        """Return a transport that makes a span of each request and sends it with the trace's headers."""
        return TracedTransport(transport, self._calls, self._turns)

    def __reduce__(self) -> tuple[Callable[[], OpenTelemetry], tuple[()]]:
        return partial(type(self), conventions=self._conventions), ()

    def _tell(self, event: Event) -> None:
        show = _SHOWN.get(type(event))
        if show is not None:
            show(self._calls, event)
            self._instruments.record(event)


def _add_to_call(calls: OpenCalls, event: CallEvent) -> None:
    calls.find(event.call_id).add(event)


def _finish_call(calls: OpenCalls, event: CallFinished) -> None:
    calls.take(event.call_id).finish(event)


def _show_alone(calls: OpenCalls, event: Event) -> None:
    """Make a span without length: an event of a service belongs to no call."""
    signal = SIGNALS[type(event)]
    attributes = attributes_of(event, signal.attributes)
    name = name_of(signal, attributes)
    calls.tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes).end()


#: How each event becomes a span or an event on one.
_SHOWN: dict[type[Event], Callable[..., None]] = {
    AttemptFailed: _add_to_call,
    CallFinished: _finish_call,
    CureStarted: _add_to_call,
    CircuitChanged: _show_alone,
    ServiceMoved: _show_alone,
    TimeoutChanged: _show_alone,
}


def _checked(conventions: Conventions | None) -> Conventions | None:
    if conventions not in (None, "published", "latest"):
        raise ConfigError(f"conventions must be 'published' or 'latest', not {conventions!r}")
    return conventions


def _from_environment() -> Conventions:
    chosen = os.environ.get(_VARIABLE, "").split(",")
    return "latest" if _OPT_IN in map(str.strip, chosen) else "published"


def _release() -> str:
    try:
        return version("foundry_rest")
    except PackageNotFoundError:
        return ""
