"""The spans of the calls under way, from the first that is heard of a call to its end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from opentelemetry import context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from foundry_rest import clock
from foundry_rest.events import ERROR, CallEvent, CallFinished
from foundry_rest.observe.opentelemetry.names import (
    CALL,
    CALL_STARTS,
    SIGNALS,
    Signal,
    Value,
    attributes_of,
    name_of,
)
from foundry_rest.transport.fork import renew_after_fork

#: Calls under way whose spans are kept; far more than a client has (64 by default). An end that never comes,
#: as after Ctrl-C between two attempts, must not cost memory for ever.
MOST_CALLS = 4096


class CallSpan:
    """The span of one call; it starts when it is known when the call began.

    Args:
        tracer: Makes the span.

    Attributes:
        span: The span, or ``None`` before its start.
        requests: Requests that were sent so far.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.span: Span | None = None
        self.requests = 0
        self._tracer = tracer
        self._parent = context.get_current()
        # All times of a call are read from the clock that never goes backwards, so that no span ends
        # before it starts.
        self._epoch = clock.now() - clock.monotonic()
        self._early: list[tuple[Signal, Mapping[str, Value], int]] = []

    def start(self, event: CallEvent, began: float, more: Mapping[str, Value] | None = None) -> Span:
        """Return the span, which starts at ``began`` if it has not started.

        Args:
            event: What is known of the call.
            began: Monotonic instant.
            more: Further attributes.
        """
        if self.span is None:
            known = {**attributes_of(event, CALL_STARTS), **(more or {})}
            self.span = self._tracer.start_span(
                name_of(CALL, known),
                context=self._parent,
                kind=SpanKind.CLIENT,
                attributes=known,
                start_time=self._nanoseconds(began),
            )
            for signal, attributes, at in self._early:
                self.span.add_event(signal.name, attributes, at)
        return self.span

    def add(self, event: CallEvent) -> None:
        """Add an event to the span, or keep it until the span starts."""
        signal = SIGNALS[type(event)]
        attributes, now = attributes_of(event, signal.attributes), self.now()
        if self.span is None:
            self._early.append((signal, attributes, now))
        else:
            self.span.add_event(signal.name, attributes, now)

    def finish(self, event: CallFinished) -> None:
        """End the span as the call has ended."""
        span = self.start(event, clock.monotonic() - event.elapsed)
        span.set_attributes(attributes_of(event, CALL.attributes))
        if event.outcome == ERROR:
            span.set_status(Status(StatusCode.ERROR))
        span.end(self.now())

    def abort(self, error: BaseException | None = None) -> None:
        """End the span of a call whose end is not told: for the reason given, or because it was forgotten."""
        if self.span is None:
            return
        if error is not None:
            self.span.set_attribute("error.type", type(error).__name__)
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end(self.now())

    def now(self) -> int:
        """Return this moment as nanoseconds since the epoch."""
        return self._nanoseconds(clock.monotonic())

    def _nanoseconds(self, at: float) -> int:
        """Return a monotonic instant as nanoseconds since the epoch."""
        return int((at + self._epoch) * 1e9)


class OpenCalls:
    """The spans of the calls under way, by the calls' ids.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        # No lock: every access is one step of the interpreter, and a signal cannot leave it locked.
        self._spans: dict[str, CallSpan] = {}
        renew_after_fork(self)

    def __len__(self) -> int:
        return len(self._spans)

    def find(self, call_id: str) -> CallSpan:
        """Return the span of a call, a new one at its first mention."""
        found = self._spans.get(call_id)
        if found is None:
            found = self._spans.setdefault(call_id, CallSpan(self.tracer))
            if len(self._spans) > MOST_CALLS:
                self._forget_oldest()
        return found

    def take(self, call_id: str) -> CallSpan:
        """Return the span of a call that ends, and forget it."""
        return self._spans.pop(call_id, None) or CallSpan(self.tracer)

    def renew(self) -> None:
        """Leave the calls under way to the parent process."""
        self._spans = {}

    def _forget_oldest(self) -> None:
        with suppress(KeyError, RuntimeError, StopIteration):  # another thread was first
            self._spans.pop(next(iter(self._spans))).abort()
