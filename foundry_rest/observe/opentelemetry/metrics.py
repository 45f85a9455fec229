"""The metrics by the published conventions and by the latest, and the instruments that take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.metrics import Meter

from foundry_rest.events import (
    CACHED,
    AttemptFailed,
    CallFinished,
    CircuitChanged,
    CureStarted,
    Event,
    ServiceMoved,
    TimeoutChanged,
)
from foundry_rest.observe.opentelemetry.names import OF_CALL, SERVER, Value, attributes_of, operation_of

#: The operations that the latest conventions call inference.
_INFERENCE = ("chat",)
#: The conventions' bounds of histograms, in seconds and in tokens.
_SECONDS = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(float(4**power) for power in range(14))

#: One measurement, and the attributes that are its own.
Measurement = tuple[float, Mapping[str, Value]]
#: Returns the measurements that an event makes.
Read = Callable[[Any], Iterable[Measurement]]


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: Its name.
        unit: Its unit, as UCUM writes it.
        bounds: Upper bounds of a histogram's buckets; none for a counter.
        event: The event that it measures.
        attributes: Names of its attributes; those that are not known are left out.
        help: What it is.
        published: Its measurements by the published conventions, which have no such metric if ``None``.
        latest: The same by the latest conventions.
    """

    name: str
    unit: str
    bounds: tuple[float, ...]
    event: type[Event]
    attributes: tuple[str, ...]
    help: str
    published: Read | None
    latest: Read | None


def _once(_: Event) -> Iterator[Measurement]:
    yield 1, {}


def _elapsed(event: CallFinished) -> Iterator[Measurement]:
    if event.outcome != CACHED:  # the service had no part in it, here and below
        yield event.elapsed, {}


def _first_chunk(event: CallFinished) -> Iterator[Measurement]:
    if event.outcome != CACHED and event.first_token is not None:
        yield event.first_token, {}


def _input(event: CallFinished) -> Iterator[Measurement]:
    if event.outcome != CACHED and event.prompt_tokens:
        yield event.prompt_tokens, {"gen_ai.token.type": "input", "gen_ai.token.modality": "unknown"}


def _output(event: CallFinished) -> Iterator[Measurement]:
    if event.outcome != CACHED and event.completion_tokens:
        yield event.completion_tokens, {"gen_ai.token.type": "output", "gen_ai.token.modality": "unknown"}


def _tokens(event: CallFinished) -> Iterator[Measurement]:
    yield from _input(event)
    yield from _output(event)


def _if_inference(read: Read) -> Read:
    return lambda event: read(event) if operation_of(event.call) in _INFERENCE else ()


def _unless_inference(read: Read) -> Read:
    return lambda event: () if operation_of(event.call) in _INFERENCE else read(event)


def _histogram(
    name: str, bounds: tuple[float, ...], more: tuple[str, ...], help: str, *reads: Read | None
) -> Metric:
    unit = "s" if bounds is _SECONDS else "{token}"
    return Metric(name, unit, bounds, CallFinished, (*OF_CALL, *more), help, *reads)


def _usage(name: str, help: str, read: Read) -> Metric:
    attributes = (*OF_CALL, "gen_ai.token.modality")
    return Metric(name, "{token}", (), CallFinished, attributes, help, None, _if_inference(read))


def _count(name: str, unit: str, event: type[Event], attributes: tuple[str, ...], help: str) -> Metric:
    return Metric(name, unit, (), event, attributes, help, _once, _once)


_DURATION = "gen_ai.client.operation.duration"
_INFERENCE_DURATION = "gen_ai.client.inference.duration"
_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
_INFERENCE_FIRST_CHUNK = "gen_ai.client.inference.time_to_first_chunk"
_PROMPT = "gen_ai.client.inference.operation.input_tokens"
_ANSWER = "gen_ai.client.inference.operation.output_tokens"
_ERROR = ("error.type",)
_TAKES, _CHATS = "How long the calls took; the latest names leave chats out.", "How long the chats took."
_WAITS = "How long the first event of a stream took."
METRICS = (
    _histogram(_DURATION, _SECONDS, _ERROR, _TAKES, _elapsed, _unless_inference(_elapsed)),
    _histogram(_INFERENCE_DURATION, _SECONDS, _ERROR, _CHATS, None, _if_inference(_elapsed)),
    _histogram(_FIRST_CHUNK, _SECONDS, (), _WAITS, _first_chunk, None),
    _histogram(_INFERENCE_FIRST_CHUNK, _SECONDS, (), _WAITS, None, _if_inference(_first_chunk)),
    _histogram(
        "gen_ai.client.token.usage",
        _TOKENS,
        ("gen_ai.token.type",),
        "Tokens of a call, as the service reported them.",
        _tokens,
        None,
    ),
    _histogram(_PROMPT, _TOKENS, (), "Tokens of a prompt.", None, _if_inference(_input)),
    _histogram(_ANSWER, _TOKENS, (), "Tokens of an answer.", None, _if_inference(_output)),
    _usage("gen_ai.client.inference.usage.input_tokens", "Tokens of all prompts.", _input),
    _usage("gen_ai.client.inference.usage.output_tokens", "Tokens of all answers.", _output),
    _count(
        "foundry_rest.calls",
        "{call}",
        CallFinished,
        (*OF_CALL, "foundry_rest.outcome"),
        "Calls that ended, by outcome.",
    ),
    _count(
        "foundry_rest.attempt_failures",
        "{attempt}",
        AttemptFailed,
        (*OF_CALL, *_ERROR),
        "Attempts that failed.",
    ),
    _count(
        "foundry_rest.cures",
        "{cure}",
        CureStarted,
        (*OF_CALL, *_ERROR, "foundry_rest.cure"),
        "Recoveries that were tried.",
    ),
    _count(
        "foundry_rest.circuit_changes",
        "{change}",
        CircuitChanged,
        (*SERVER, "foundry_rest.after"),
        "Changes of the state of a circuit.",
    ),
    _count("foundry_rest.service_moves", "{move}", ServiceMoved, SERVER, "Moves of a service."),
    _count(
        "foundry_rest.timeout_changes",
        "{change}",
        TimeoutChanged,
        (*SERVER, "foundry_rest.phase"),
        "Changes of adaptive time-outs.",
    ),
)


class Instruments:
    """The instruments of all metrics, and what each event makes of them.

    Args:
        meter: Makes the instruments.
        latest: Whether the names are those of the latest conventions.
    """

    def __init__(self, meter: Meter, *, latest: bool) -> None:
        self._by_event: dict[type[Event], list[tuple[Metric, Read, Callable[..., None]]]] = {}
        for metric in METRICS:
            read = metric.latest if latest else metric.published
            if read is not None:
                self._by_event.setdefault(metric.event, []).append((metric, read, _recorder(meter, metric)))

    def record(self, event: Event) -> None:
        """Record the measurements that an event makes."""
        for metric, read, record in self._by_event.get(type(event), ()):
            for value, own in read(event):
                attributes = attributes_of(event, metric.attributes)
                record(value, attributes | {name: own[name] for name in own if name in metric.attributes})


def _recorder(meter: Meter, metric: Metric) -> Callable[..., None]:
    """Return the function that takes the measurements of a metric."""
    if not metric.bounds:
        return meter.create_counter(metric.name, metric.unit, metric.help).add
    bounds = list(metric.bounds)
    histogram = meter.create_histogram(
        metric.name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=bounds
    )
    return histogram.record
