"""A transport that makes a span of each request and sends it with the trace's headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec.structs import replace
from opentelemetry import context, propagate
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from foundry_rest.errors import FoundryError, ServiceError
from foundry_rest.events import CallEvent
from foundry_rest.observe.fan_out import logger
from foundry_rest.observe.opentelemetry.calls import OpenCalls
from foundry_rest.observe.opentelemetry.names import ATTEMPT, Value, name_of, server_of
from foundry_rest.observe.opentelemetry.turns import Turns
from foundry_rest.transport.call import Call, Reply
from foundry_rest.transport.interfaces import OpenReply, Target, Transport
from foundry_rest.transport.wrapped_stream import WrappedStream

#: What keeps instrumentations of requests and urllib3 from making a second span; the API has no public name.
_SUPPRESSED: str = getattr(context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation")
#: Most bytes of headers that are added: services reset a request with more than 4,096 in all, and the
#: baggage of a program may be larger. The trace's own take about 70.
_MOST_HEADERS = 1000
_HIDDEN = "REDACTED"


class TracedTransport:
    """A transport that makes a span of each request of a call; what belongs to no call gets none.

    Args:
        inner: Makes the attempt.
        calls: The calls under way.
        turns: Ends spans one at a time in each thread.
    """

    def __init__(self, inner: Transport, calls: OpenCalls, turns: Turns) -> None:
        self._inner, self._calls, self._turns = inner, calls, turns

    def send(self, call: Call, target: Target) -> Reply:
        """Return the whole answer of one attempt."""
        attempt = self._begin(call, target, {})
        if attempt is None:
            return self._inner.send(call, target)
        with self._sending(call, attempt):
            reply = self._inner.send(attempt.call, target)
        attempt.end(reply.status)
        return reply

    def open(self, call: Call, target: Target) -> OpenReply:
        """Return the open stream of one attempt, whose span ends with it."""
        attempt = self._begin(call, target, {"gen_ai.request.stream": True})
        if attempt is None:
            return self._inner.open(call, target)
        with self._sending(call, attempt):
            return _TracedStream(self._inner.open(attempt.call, target), attempt)

    def close(self) -> None:
        """Close every connection and end every wait."""
        self._inner.close()

    def _begin(self, call: Call, target: Target, more: Mapping[str, Value]) -> _Attempt | None:
        """Return the attempt, with its span; ``None`` outside a call, or where no span can be made."""
        if not call.id:
            return None
        try:
            known = CallEvent(target.url, call.id, call.label, call.model, call.attempt)
            parent = self._calls.find(call.id)
            surrounding = set_span_in_context(parent.start(known, call.began, more))
            attributes = _attributes(call, target, parent.requests)
            span = self._calls.tracer.start_span(
                name_of(ATTEMPT, attributes),
                surrounding,
                SpanKind.CLIENT,
                attributes,
                start_time=parent.now(),
            )
            parent.requests += 1
            return _Attempt(span, call, parent.now, self._turns)
        except Exception:  # noqa: BLE001 (of a sampler or processor, which must not cost the call)
            logger.exception("no span could be made for %s", call.label)
            return None

    @contextmanager
    def _sending(self, call: Call, attempt: _Attempt) -> Iterator[None]:
        """Make an attempt's span the current one, and end it where the attempt fails."""
        token = context.attach(attempt.context)
        try:
            yield
        except FoundryError as error:
            attempt.fail(error)
            raise
        except BaseException as error:  # Ctrl-C, or an error of a hook: no event tells the call's end
            attempt.fail(error)
            self._calls.take(call.id).abort(error)
            raise
        finally:
            context.detach(token)


class _Attempt:
    """One request and its span.

    Args:
        span: Its span.
        call: The call, as it was given.
        now: Returns the moment, as all spans of the call take it.
        turns: Ends spans one at a time in each thread.

    Attributes:
        context: The surroundings in which it is sent.
        call: The call with the headers that tell the trace.
    """

    def __init__(self, span: Span, call: Call, now: Callable[[], int], turns: Turns) -> None:
        self._spans, self._now, self._turns = [span], now, turns
        self.context = context.set_value(_SUPPRESSED, True, set_span_in_context(span))  # noqa: FBT003
        headers = _headers(self.context, call.options.headers)
        self.call = replace(call, options=replace(call.options, headers=headers))

    def end(self, status: int | None) -> None:
        """End the span with the answer's status."""
        self._end({} if status is None else {"http.response.status_code": status})

    def fail(self, error: BaseException) -> None:
        """End the span with an error."""
        status = _status_of(error)
        kind = str(status) if status is not None and status >= 400 else type(error).__name__
        known: dict[str, Value] = {"error.type": kind}
        self._end(known if status is None else known | {"http.response.status_code": status})

    def _end(self, attributes: Mapping[str, Value]) -> None:
        """End the span; the first call counts, from whichever thread."""
        try:
            span = self._spans.pop()  # no lock, which a signal that raises could leave locked
        except IndexError:
            return

        def end() -> None:
            span.set_attributes(attributes)
            if "error.type" in attributes:
                span.set_status(Status(StatusCode.ERROR))
            span.end(self._now())

        try:
            self._turns.take(end)
        except Exception:  # noqa: BLE001 (of a processor, which must not cost the answer)
            logger.exception("a span could not be ended")


class _TracedStream(WrappedStream):
    """An open stream whose end is that of its attempt's span."""

    def __init__(self, inner: OpenReply, attempt: _Attempt) -> None:
        super().__init__(inner)
        self._attempt = attempt

    def fail(self, error: FoundryError) -> None:
        """Record the error that ended the stream early."""
        self.inner.fail(error)
        self._attempt.fail(error)

    def finish(self) -> None:
        """Release the connection for reuse after the last event."""
        self.inner.finish()
        self._attempt.end(200)

    def close(self) -> None:
        """Abandon the stream at once; from any thread."""
        self.inner.close()
        self._attempt.end(200)


def _attributes(call: Call, target: Target, requests: int) -> dict[str, Value]:
    host, port = server_of(target.url)
    known: dict[str, Value | None] = {
        "http.request.method": call.method,
        "url.full": target.url + _without_secrets(call.path),
        "server.address": host,
        "server.port": port,
        "http.request.resend_count": requests or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _without_secrets(path: str) -> str:
    """Return a path whose query has names alone: nobody can tell which value is a key.

    >>> _without_secrets("/v1/models?key=abc&limit=3")
    '/v1/models?key=REDACTED&limit=REDACTED'
    """
    parts = urlsplit(path)
    names = [(name, _HIDDEN) for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    return parts.path + (f"?{urlencode(names)}" if names else "")


def _headers(surrounding: context.Context, given: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers of a call with those that tell the trace; the call's own win."""
    ours: dict[str, str] = {}
    propagate.inject(ours, surrounding)
    own, size = {name.lower() for name in given}, 0
    if "traceparent" in own:  # which tracestate is a part of
        own.add("tracestate")
    added: dict[str, str] = {}
    for name, value in ours.items():
        size += len(name) + len(value) + 4
        if name.lower() not in own and size <= _MOST_HEADERS:
            added[name] = value
    return {**added, **given}


def _status_of(error: BaseException) -> int | None:
    """Return the status of the answer that an error came with; that in a body under 200 is none."""
    response = error.response if isinstance(error, ServiceError) else None
    return None if response is None else response.status_code
