"""The spans of requests: one for each attempt, whoever else looks on, and the trace on the wire."""

from __future__ import annotations

import re

import pytest
import requests
from opentelemetry import baggage, context
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from support.servers import CHAT
from support.telemetry import Telemetry, is_attempt_of

from foundry_rest import FoundryAPIClient, RetryPolicy
from foundry_rest.errors import FoundryError, StreamInterrupted
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_completion,
    chat_stream,
    cut,
    error_stream,
    json_answer,
    json_error,
    unavailable,
)

TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")
#: Two retries at once.
AT_ONCE = RetryPolicy(retries=2, base=0.001, longest=0.001, floor=0.001)


@pytest.fixture
def told():
    """Keep what is told in memory."""
    return Telemetry()


@pytest.fixture
def connect(server, told):
    """Make clients of the server that tell it."""
    made = []

    def connect(**options):
        options = {"retries": 0, "dialect": "openai", "observers": [told.observer], **options}
        made.append(FoundryAPIClient(server.url, model=DEMO_MODEL, **options))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def instrumented(request, told):
    """Switch the instrumentation of requests on, or leave it off."""
    if request.param:
        RequestsInstrumentor().instrument(tracer_provider=told.tracers)
    yield request.param
    if request.param:
        RequestsInstrumentor().uninstrument()


def traces(server):
    """Return trace and span that each chat request told."""
    found = [TRACEPARENT.fullmatch(each.headers.get("traceparent") or "") for each in server.asked(CHAT)]
    return [each and (each["trace"], each["span"]) for each in found]


def ids(span):
    """Return a span's trace and its own id, as they are written on the wire."""
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


# ---------------------------------------------------------------- exactly one


@pytest.mark.parametrize("instrumented", [False, True], indirect=True, ids=["alone", "instrumented"])
@pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_one_span_for_each_attempt(server, connect, told, instrumented, given, stream):
    """Each attempt is one HTTP span below its call's, and tells itself on the wire, in all cases."""
    good = chat_stream("one two") if stream else chat_completion("x")
    server.on("POST", CHAT, unavailable(), unavailable(), good)
    with requests.Session() as session:
        client = connect(session=session if given else None, retries=AT_ONCE)
        list(client.stream_complete("Hi")) if stream else client.complete("Hi")

    assert len(told.spans) == 4
    assert len(told.attempts) == 3
    assert all(is_attempt_of(span, told.call) for span in told.attempts)
    assert traces(server) == [ids(span) for span in told.attempts]


@pytest.mark.parametrize("instrumented", [True], indirect=True)
def test_others_go_on(server, connect, told, instrumented):
    """What the program itself sends with requests has its span as before."""
    connect().complete("Hi")
    before = len(told.spans)
    requests.get(f"{server.url}/status", timeout=5)

    assert len(told.spans) == before + 1


def test_health(connect, told):
    """A health check is no call, and makes no span."""
    assert connect().health.check()

    assert not told.spans


# ---------------------------------------------------------------- attributes


def test_attributes(server, connect, told):
    """A span of a request has the attributes of the conventions for HTTP."""
    connect().complete("Hi")
    (span,) = told.attempts

    assert span.name == "POST"
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "url.full": server.url + CHAT,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "http.response.status_code": 200,
    }
    assert span.status.status_code is StatusCode.UNSET


def test_resends(server, connect, told):
    """The first request has no number, and the others count from 1."""
    server.on("POST", CHAT, unavailable(), unavailable(), chat_completion("x"))
    connect(retries=AT_ONCE).complete("Hi")
    numbers = [span.attributes.get("http.request.resend_count") for span in told.attempts]

    assert numbers == [None, 1, 2]
    assert [span.attributes["http.response.status_code"] for span in told.attempts] == [503, 503, 200]


@pytest.mark.parametrize(
    ("script", "kind", "status"),
    [
        (json_error(500, "no"), "500", 500),
        (json_error(404, "no"), "404", 404),
        (cut(), "ServiceUnreachable", None),
        (json_answer({"error": {"message": "no"}}), "ServerError", None),
    ],
)
def test_failures(server, connect, told, script, kind, status):
    """A request that failed tells its status, or the class of its error where no status says it."""
    server.on("POST", CHAT, script)
    with pytest.raises(FoundryError):
        connect(breaker=None).complete("Hi")
    span = told.attempts[0]

    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == kind
    assert span.attributes.get("http.response.status_code") == status


def test_a_broken_stream(server, connect, told):
    """A stream that breaks after its first event ends its span with the error."""
    server.on("POST", CHAT, chat_stream("one two three")[:3] + cut())
    with pytest.raises(StreamInterrupted):
        list(connect().stream_complete("Hi"))
    (span,) = told.attempts

    assert span.attributes["error.type"] in ("StreamInterrupted", "ServiceUnreachable")
    assert span.status.status_code is StatusCode.ERROR


def test_an_error_in_a_stream(server, connect, told):
    """An error that comes as a stream's first event is that of the attempt."""
    server.on("POST", CHAT, error_stream("no"))
    with pytest.raises(FoundryError):
        list(connect().stream_complete("Hi"))

    assert told.attempts[0].status.status_code is StatusCode.ERROR


def test_the_query(connect, told, server):
    """Of a query only the names are told."""
    server.on("GET", "/more", json_answer({}))
    connect().request("GET", "/more?code=sk-secret&limit=3&flag=")
    (span,) = told.attempts

    assert span.attributes["url.full"] == f"{server.url}/more?code=REDACTED&limit=REDACTED&flag=REDACTED"


# ---------------------------------------------------------------- the wire


def test_a_given_header_wins(server, connect, told):
    """A call's own traceparent is sent as it is, without a tracestate of ours."""
    connect().complete("Hi", headers={"TraceParent": "mine"})
    (asked,) = server.asked(CHAT)

    assert asked.headers.get("traceparent") == "mine"
    assert asked.headers.get("tracestate") is None
    assert len(told.attempts) == 1


@pytest.mark.parametrize(("headers", "sent"), [({}, "vendor=1"), ({"traceparent": "mine"}, None)])
def test_the_state_of_a_trace(server, connect, headers, sent):
    """A tracestate goes with the traceparent that it belongs to, and with no other."""
    state = TraceState([("vendor", "1")])
    outer = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    token = context.attach(set_span_in_context(NonRecordingSpan(outer)))
    try:
        connect().complete("Hi", headers=headers)
    finally:
        context.detach(token)

    assert server.asked(CHAT)[0].headers.get("tracestate") == sent


def test_it_ends_once(server, connect, told, caplog):
    """A stream that is read and then closed, twice, ends its spans once: the SDK warns of more."""
    server.on("POST", CHAT, chat_stream("one two"))
    stream = connect().stream_complete("Hi")
    list(stream)
    stream._opened.close()
    stream.close()

    assert len(told.spans) == 2
    assert "ended span" not in caplog.text


def test_other_headers_stay(server, connect, told):
    """A call's other headers are sent beside the trace's."""
    connect().complete("Hi", headers={"X-Mine": "1"})
    (asked,) = server.asked(CHAT)

    assert asked.headers.get("x-mine") == "1"
    assert traces(server) == [ids(told.attempts[0])]


@pytest.mark.parametrize(("size", "is_sent"), [(10, True), (2000, False)])
def test_baggage(server, connect, told, size, is_sent):
    """Baggage is sent if it is small; a large one would have the service refuse the request."""
    token = context.attach(baggage.set_baggage("user", "x" * size))
    try:
        connect().complete("Hi")
    finally:
        context.detach(token)
    (asked,) = server.asked(CHAT)

    assert (asked.headers.get("baggage") is not None) is is_sent
    assert traces(server) == [ids(told.attempts[0])]


def test_without_a_provider(server):
    """Without an SDK nothing is told, nothing is added, and the answer is the same."""
    from foundry_rest.observe.opentelemetry import OpenTelemetry

    with FoundryAPIClient(server.url, model=DEMO_MODEL, observers=[OpenTelemetry()]) as client:
        assert client.complete("Hi").content

    assert traces(server) == [None]


# ---------------------------------------------------------------- what goes wrong elsewhere


class Broken(SpanProcessor):
    """A processor that fails at one of its two times."""

    def __init__(self, time) -> None:
        self._time = time

    def on_start(self, span, parent_context=None):
        """Fail at the start."""
        if self._time == "start":
            raise ZeroDivisionError

    def on_end(self, span):
        """Fail at the end."""
        if self._time == "end":
            raise ZeroDivisionError


@pytest.mark.parametrize("time", ["start", "end"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_broken_processor(server, connect, told, caplog, time, stream):
    """A processor of the program that fails costs no answer, and is logged."""
    told.tracers.add_span_processor(Broken(time))
    client = connect()
    if stream:
        server.on("POST", CHAT, chat_stream("one two"))
        assert "".join(chunk.content for chunk in client.stream_complete("Hi")) == "one two"
    else:
        assert client.complete("Hi").content

    assert "ZeroDivisionError" in caplog.text


def test_the_context_is_restored(server, connect, told):
    """After a call, whether it failed or not, the surroundings are those of before."""
    before = context.get_current()
    client = connect()
    client.complete("Hi")
    server.on("POST", CHAT, json_error(500, "no"))
    with pytest.raises(FoundryError):
        client.complete("Hi")
    server.on("POST", CHAT, chat_stream("one two"))
    list(client.stream_complete("Hi"))

    assert context.get_current() == before


def test_log_records(server, connect, told, caplog):
    """What is logged while an attempt is made is logged within its span."""
    from opentelemetry.trace import get_current_span

    seen = []
    caplog.set_level("DEBUG", "foundry_rest")
    caplog.handler.addFilter(
        lambda record: seen.append((record, get_current_span().get_span_context())) or True
    )
    connect(log_bodies=True).complete("Hi")
    within = {span.span_id for record, span in seen if hasattr(record, "body")}

    assert within == {told.attempts[0].context.span_id}
