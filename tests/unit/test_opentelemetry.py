"""The spans of calls: their names, their times, their ends, and what is in none of them."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from support.forks import forks, in_child
from support.servers import CHAT
from support.telemetry import Telemetry

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import CircuitOpen, ConfigError, FoundryError, ServerError
from foundry_rest.events import AttemptFailed, CallFinished, CureStarted
from foundry_rest.observe.opentelemetry import OpenTelemetry, calls
from foundry_rest.observe.opentelemetry.names import OPERATIONS, PROVIDER
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.testing import DEMO_MODEL, FakeClock, chat_completion, chat_stream, json_error, unavailable

KEY, PROMPT, ANSWER = "sk-canary-0123456789", "the canary of the prompt", "the canary of the answer"
BROKEN = ServerError("it broke", status=500)


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


# ---------------------------------------------------------------- a call


def test_a_call(server, connect, told):
    """A call is a CLIENT span named by operation and model, with the conventions' attributes."""
    connect().complete("Hi")
    found = dict(told.call.attributes)

    assert (told.call.name, told.call.kind) == (f"chat {DEMO_MODEL}", SpanKind.CLIENT)
    assert found.pop("foundry_rest.call_id")
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": DEMO_MODEL,
        "server.address": "127.0.0.1",
        "server.port": int(server.url.rpartition(":")[2]),
        "foundry_rest.label": "chat.complete",
        "foundry_rest.attempt": 1,
        "foundry_rest.outcome": "ok",
    }
    assert told.call.status.status_code is StatusCode.UNSET


def test_a_stream(server, connect, told):
    """A stream tells that it is one, its tokens, and when its first event came."""
    list(connect(dialect="2.x").stream_complete("Hi"))
    found = told.call.attributes

    assert found["gen_ai.request.stream"] is True
    assert found["gen_ai.usage.input_tokens"] > 0
    assert found["gen_ai.usage.output_tokens"] > 0
    assert found["gen_ai.response.time_to_first_chunk"] > 0


def test_the_surroundings(connect, told):
    """The span of a call is a child of the program's own."""
    with told.tracer.start_as_current_span("mine") as mine:
        connect().complete("Hi")

    assert told.call.parent.span_id == mine.get_span_context().span_id


def test_where_a_call_began(told):
    """The span is a child of what surrounded the first word of the call, also if it starts later."""
    with told.tracer.start_as_current_span("mine") as mine:
        told.observer(CureStarted("", "id", "chat.complete", "m", 1, "rediscover", BROKEN))
    told.observer(CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 2.5))

    assert told.call.parent.span_id == mine.get_span_context().span_id


def test_the_call_id(server, connect, told):
    """The span tells the id that the request carried."""
    connect().complete("Hi")

    assert server.asked(CHAT)[-1].headers.get("X-Request-Id") == told.call.attributes["foundry_rest.call_id"]


@pytest.mark.parametrize(("label", "operation"), [*OPERATIONS.items(), ("models.load", "models.load")])
def test_operations(told, label, operation):
    """Each label has its operation; one that the conventions do not know is its own."""
    told.observer(CallFinished("http://h", "id", label, "", 1, "ok", 1.0))

    assert told.call.name == told.call.attributes["gen_ai.operation.name"] == operation


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [("http://h:1", "h", 1), ("http://h", "h", 80), ("https://h/x", "h", 443), ("http://[::1]:5", "::1", 5)],
)
def test_servers(told, url, address, port):
    """Host and port are those of the address, or of its scheme."""
    told.observer(CallFinished(url, "id", "chat.complete", "m", 1, "ok", 1.0))

    assert told.call.attributes["server.address"] == address
    assert told.call.attributes["server.port"] == port


def test_no_address(told):
    """A service that was never found has no address, and the rest is told."""
    told.observer(CallFinished("", "id", "chat.complete", "m", 0, "error", 1.0, BROKEN))

    assert "server.address" not in told.call.attributes
    assert "server.port" not in told.call.attributes


# ---------------------------------------------------------------- times


def test_times(told):
    """A span begins when the call began, and ends with it, by the clock that never goes backwards."""
    with FakeClock().installed() as clock:
        clock.advance(3)
        told.observer(CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 2.5))
        now = clock.now()

    assert told.call.end_time == pytest.approx(now * 1e9, abs=1e3)
    assert told.call.end_time - told.call.start_time == pytest.approx(2.5e9, abs=1e3)


def test_times_of_events(told):
    """What is heard of a call before its start is known keeps its time."""
    with FakeClock().installed() as clock:
        told.observer(CureStarted("", "id", "chat.complete", "m", 1, "rediscover", BROKEN))
        clock.advance(1)
        told.observer(AttemptFailed("", "id", "chat.complete", "m", 1, BROKEN, 1.0, 0.5, "rediscover"))
        clock.advance(1)
        told.observer(CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 2.5))
    first, second = told.call.events

    assert [first.name, second.name] == ["foundry_rest.cure_started", "foundry_rest.attempt_failed"]
    assert first.timestamp - told.call.start_time == pytest.approx(0.5e9, abs=1e3)
    assert second.timestamp - first.timestamp == pytest.approx(1e9, abs=1e3)
    assert second.attributes["foundry_rest.wait"] == 0.5
    assert second.attributes["foundry_rest.cure"] == "rediscover"


def test_a_call_covers_its_attempts(server, connect, told):
    """A call begins before its first attempt and ends after its last one."""
    server.on("POST", CHAT, unavailable(), chat_completion("x"))
    with FakeClock().installed():
        connect(retries=1).complete("Hi")

    first, second = told.attempts
    times = [told.call.start_time, first.start_time, first.end_time, second.start_time, second.end_time]
    assert [*times, told.call.end_time] == sorted([*times, told.call.end_time])
    assert second.start_time > first.end_time


# ---------------------------------------------------------------- ends


def test_an_error(server, connect, told):
    """A call that failed has the status of an error and its class, and not its text."""
    server.on("POST", CHAT, json_error(500, ANSWER))
    with pytest.raises(ServerError):
        connect().complete(PROMPT)

    assert told.call.status.status_code is StatusCode.ERROR
    assert told.call.status.description is None
    assert told.call.attributes["error.type"] == "ServerError"
    assert told.call.attributes["foundry_rest.outcome"] == "error"
    (event,) = told.call.events
    assert event.name == "foundry_rest.attempt_failed"
    assert dict(event.attributes) == {"error.type": "ServerError", "foundry_rest.attempt": 1}


def test_an_open_circuit(server, connect, told):
    """A call that is refused before it is sent is a span without attempts, and says why."""
    server.on("POST", CHAT, json_error(500, "no"))
    client = connect(breaker=BreakerPolicy(failures=1))
    with pytest.raises(ServerError):
        client.complete("Hi")
    sent = len(told.attempts)
    with pytest.raises(CircuitOpen):
        client.complete("Hi")

    assert len(told.attempts) == sent
    assert told.calls[-1].attributes["error.type"] == "CircuitOpen"
    assert [event.attributes["error.type"] for event in told.calls[-1].events] == ["CircuitOpen"]


def test_an_abandoned_stream(server, connect, told):
    """A stream that is closed early is no error, and says so."""
    server.on("POST", CHAT, chat_stream("one two three"))
    with connect().stream_complete("Hi") as stream:
        next(stream)

    assert told.call.status.status_code is StatusCode.UNSET
    assert told.call.attributes["foundry_rest.outcome"] == "abandoned"
    assert [each.status.status_code for each in told.attempts] == [StatusCode.UNSET]


def test_a_dropped_stream(server, connect, told):
    """A stream that nobody read to its end or closed ends its spans when it is dropped."""
    server.on("POST", CHAT, chat_stream("one two three"))
    stream = connect().stream_complete("Hi")
    next(stream)
    assert not told.spans
    del stream
    gc.collect()

    assert told.call.attributes["foundry_rest.outcome"] == "abandoned"
    assert len(told.attempts) == 1
    assert not told.observer._calls


def test_another_thread(server, connect, told):
    """A stream may be read in another thread: its spans are the same, and children of where it began."""
    server.on("POST", CHAT, chat_stream("one two three"))
    with told.tracer.start_as_current_span("mine") as mine:
        stream = connect().stream_complete("Hi")
    thread = threading.Thread(target=list, args=(stream,))
    thread.start()
    thread.join()

    assert told.call.parent.span_id == mine.get_span_context().span_id
    assert told.call.attributes["foundry_rest.outcome"] == "ok"
    assert len(told.attempts) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_cached_answer(connect, told, tmp_path, stream):
    """An answer from a cache is a span without attempts."""
    client = connect(cache=str(tmp_path / "answers.sqlite"))

    def ask():
        return list(client.stream_complete("Hi", cache=True)) if stream else client.complete("Hi", cache=True)

    ask()
    sent = len(told.attempts)
    ask()

    assert len(told.attempts) == sent
    assert told.calls[-1].attributes["foundry_rest.outcome"] == "cached"


def test_ctrl_c(connect, told, monkeypatch):
    """A call that Ctrl-C ends, of which no event tells, ends its spans and is forgotten."""
    client = connect()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(client._core.transport, "send", interrupt)
    with pytest.raises(KeyboardInterrupt):
        client.complete("Hi")

    assert {span.attributes["error.type"] for span in told.spans} == {"KeyboardInterrupt"}
    assert len(told.spans) == 2
    assert not told.observer._calls


def test_a_batch(connect, told):
    """The calls of a batch, which other threads make, are children of the span that surrounds it."""
    with told.tracer.start_as_current_span("mine") as mine:
        results = list(connect().batch(["Hi"] * 6, max_concurrency=3))

    assert all(result.value for result in results)
    assert [span.parent.span_id for span in told.calls] == [mine.get_span_context().span_id] * 6
    assert len(told.attempts) == 6


# ---------------------------------------------------------------- memory, processes, privacy


def test_bounded_memory(told, monkeypatch):
    """Calls whose end never comes are forgotten, the oldest first, and only then."""
    monkeypatch.setattr(calls, "MOST_CALLS", 3)
    for number in range(10):
        told.observer(AttemptFailed("http://h", f"{number}", "chat.complete", "m", 1, BROKEN, 1.0, 0.5))
    assert len(told.observer._calls) == 3
    told.observer(CallFinished("http://h", "9", "chat.complete", "m", 2, "ok", 1.0))

    assert len(told.call.events) == 1
    assert len(told.observer._calls) == 2


def test_a_forgotten_call_is_told(server, connect, told, monkeypatch):
    """A call that is forgotten while it is under way ends its span, which is not lost."""
    monkeypatch.setattr(calls, "MOST_CALLS", 1)
    server.on("POST", CHAT, chat_stream("one two three"))
    client = connect()
    first, second = client.stream_complete("Hi"), client.stream_complete("Hi")
    (ended,) = told.spans

    assert "foundry_rest.outcome" not in ended.attributes
    first.close()
    second.close()


@forks
def test_a_fork(server, connect, told):
    """A call under way is the parent's: its child tells nothing of it, and makes calls of its own."""
    server.on("POST", CHAT, chat_stream("one two three"))
    client = connect()
    stream = client.stream_complete("Hi")

    def child():
        assert not told.observer._calls
        stream.close()
        assert not told.spans
        list(client.stream_complete("Hi"))
        assert len(told.spans) == 2

    assert in_child(child) == 0
    assert not told.spans
    list(stream)
    assert len(told.spans) == 2


def test_the_garbage_collector(told):
    """What is told while something is being told waits for it: locks of the SDK may be held."""
    turns, told_in_order = told.observer._turns, []

    def outer():
        turns.take(lambda: told_in_order.append("inner"))
        told_in_order.append("outer")

    turns.take(outer)

    assert told_in_order == ["outer", "inner"]


def test_an_error_while_telling(told):
    """What one event raises keeps no later one from being told."""
    with pytest.raises(ZeroDivisionError):
        told.observer._turns.take(lambda: 1 / 0)
    told.observer(CallFinished("http://h", "id", "chat.complete", "m", 1, "ok", 1.0))

    assert told.call


def test_it_pickles(server):
    """A client with the observer pickles; the copy uses the program's providers, and the same names."""
    observer = Telemetry(conventions="latest").observer
    with FoundryAPIClient(server.url, model=DEMO_MODEL, observers=[observer]) as client:
        copy = pickle.loads(pickle.dumps(client))
    (found,) = copy._spec.observers

    assert isinstance(found, OpenTelemetry)
    assert found._conventions == "latest"
    with copy:
        copy.complete("Hi")


@pytest.mark.parametrize("stream", [False, True])
def test_secrets(server, connect, told, stream):
    """No prompt, answer or key is in any span."""
    server.on("POST", CHAT, chat_stream(ANSWER), json_error(500, f"{ANSWER} {KEY} {PROMPT}"))
    if not stream:
        server.on("POST", CHAT, chat_completion(ANSWER), json_error(500, f"{ANSWER} {KEY} {PROMPT}"))
    client = connect(api_key=KEY, headers={"X-Token": KEY})
    list(client.stream_complete(PROMPT)) if stream else client.complete(PROMPT)
    with pytest.raises(FoundryError):
        client.complete(PROMPT)
    all_told = "".join(span.to_json() for span in told.spans) + told.reader.get_metrics_data().to_json()

    assert "chat" in all_told
    for secret in (KEY, PROMPT, ANSWER):
        assert secret not in all_told


def test_it_costs_nobody_else():
    """Neither the package nor a client imports OpenTelemetry unless a program does."""
    code = (
        "import sys, foundry_rest.client.client, foundry_rest.observe.log\n"
        "foundry_rest.FoundryAPIClient('http://127.0.0.1:1').close()\n"
        "print([name for name in sys.modules if 'opentelemetry' in name])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=dict(os.environ)
    )

    assert found.stdout.strip() == "[]"


def test_a_mock_observer(server):
    """An observer that only seems to have the method, as a mock has every attribute, gets events alone."""

    class Mock:
        def __init__(self) -> None:
            self.events = []

        def __call__(self, event) -> None:
            self.events.append(event)

        def __getattr__(self, name):
            return lambda *_: None

    mock = Mock()
    with FoundryAPIClient(server.url, model=DEMO_MODEL, observers=[mock]) as client:
        assert client.complete("Hi").content

    assert mock.events


def test_wrong_conventions():
    """Conventions that are not known are refused."""
    with pytest.raises(ConfigError, match="conventions must be 'published' or 'latest', not 'newest'"):
        OpenTelemetry(conventions="newest")
