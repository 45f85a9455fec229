"""What observers get: every event of a call has its id, and the last one tells how the call ended."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from support.servers import CHAT

from foundry_rest import BreakerPolicy, FoundryAPIClient
from foundry_rest.errors import FoundryError, ModelNotCached, ServerError, StreamInterrupted
from foundry_rest.events import AttemptFailed, CallEvent, CallFinished, CircuitChanged, ServiceMoved
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    chat_completion,
    chat_stream,
    cut,
    json_answer,
    json_error,
    unavailable,
)

SOON = RetryPolicy(retries=2, base=0.001, floor=0.001)


@pytest.fixture
def server():
    """Serve any chat."""
    with FaultServer() as running:
        running.otherwise(json_answer({}))
        yield running


@pytest.fixture
def events():
    """Collect what an observer gets."""
    return []


@pytest.fixture
def client(server, events):
    """Return a client of that server whose events are collected."""
    arguments = {"dialect": "openai", "model": DEMO_MODEL, "retries": SOON, "observers": [events.append]}
    with FoundryAPIClient(server.url, **arguments) as made:
        yield made


def facts(event):
    """Return the kind, the attempt and, of the last event, the outcome."""
    return type(event).__name__, event.attempt, getattr(event, "outcome", None)


def test_a_call_and_its_attempts(server, client, events):
    """Attempts count from 1, and the end names the one that was answered."""
    server.on("POST", CHAT, unavailable(), unavailable(), chat_completion("Hi"))
    client.complete("Hi")

    assert [facts(event) for event in events] == [
        ("AttemptFailed", 1, None),
        ("AttemptFailed", 2, None),
        ("CallFinished", 3, "ok"),
    ]
    assert len({event.call_id for event in events}) == 1


def test_a_call_that_fails(server, client, events):
    """The end holds the error, and the number of the last attempt."""
    server.on("POST", CHAT, json_error(500, "no"))
    with pytest.raises(ServerError) as caught:
        client.complete("Hi")

    assert [facts(event)[1:] for event in events] == [(1, None), (2, None), (3, None), (3, "error")]
    assert events[-1].error is caught.value


def test_each_call_has_an_id_of_its_own(server, client, events):
    """Two calls, two ids, and neither is empty."""
    server.on("POST", CHAT, chat_completion("Hi"))
    for _ in range(2):
        client.complete("Hi")

    ids = {event.call_id for event in events}
    assert len(ids) == 2
    assert all(ids)


@pytest.mark.parametrize(
    ("script", "read", "outcome"),
    [
        (chat_stream(), list, "ok"),
        (chat_stream(), next, "abandoned"),
        (chat_stream()[:3] + cut(), list, "error"),
    ],
)
def test_the_end_of_a_stream(script, read, outcome, server, client, events):
    """A stream ends when it is read to its end, left, or broken; its end has the id of the call."""
    server.on("POST", CHAT, unavailable(), script)
    with client.stream_complete("Hi") as stream:
        assert [facts(event) for event in events] == [("AttemptFailed", 1, None)]
        with pytest.raises(StreamInterrupted) if outcome == "error" else nullcontext():
            read(stream)

    assert facts(events[-1]) == ("CallFinished", 2, outcome)
    assert len({event.call_id for event in events}) == 1


def test_a_stream_ends_once(server, client, events):
    """Closing what has ended says nothing more."""
    server.on("POST", CHAT, chat_stream())
    stream = client.stream_complete("Hi")
    next(stream)
    for _ in range(3):
        stream.close()

    assert [facts(event) for event in events] == [("CallFinished", 1, "abandoned")]


def test_a_call_that_ends_before_its_first_attempt(server, events):
    """A name that cannot be resolved ends the call: with an id of its own, and no attempt."""
    server.on("GET", "/status", json_answer({"pid": 1, "modelCachePath": ""}))
    server.on("GET", "/v1/models", json_answer({"data": []}))
    server.on("GET", "/models/loaded", json_answer([]))
    server.on("GET", "/models/load/*", json_error(400, "Model not cached: it must be downloaded before"))
    with (
        FoundryAPIClient(server.url, retries=0, observers=[events.append]) as client,
        pytest.raises(ModelNotCached),
    ):
        client.complete("Hi", model="phi-4-mini")

    assert not server.asked(CHAT)
    last = events[-1]
    assert (facts(last), last.call) == (("CallFinished", 0, "error"), "chat.complete")
    assert last.call_id
    assert last.call_id not in {event.call_id for event in events[:-1]}


def test_facts_about_a_service_have_no_call(server, events):
    """A circuit that opens belongs to an address, and makes no row of the figures."""
    server.on("POST", CHAT, json_error(500, "no"))
    arguments = {"dialect": "openai", "model": DEMO_MODEL, "retries": 0, "observers": [events.append]}
    with FoundryAPIClient(server.url, breaker=BreakerPolicy(failures=1), **arguments) as client:
        with pytest.raises(FoundryError):
            client.complete("Hi")
        rows = client.stats().by_call

    changed = [event for event in events if isinstance(event, CircuitChanged)]
    assert [(event.url, event.before, event.after) for event in changed] == [(server.url, "closed", "open")]
    assert not any(issubclass(kind, CallEvent) for kind in (CircuitChanged, ServiceMoved))
    assert list(rows) == ["chat.complete"]
    assert {AttemptFailed, CallFinished} < {type(event) for event in events}
