"""What a client uses beside its calls: circuits, recoveries, moves, slots, connections, cache."""

from __future__ import annotations

import json
import threading

import pytest
import requests
from support.servers import CHAT

from foundry_rest import BreakerPolicy, FoundryAPIClient, Stats
from foundry_rest.errors import CircuitOpen, DeadlineExceeded, ServerError
from foundry_rest.events import CircuitChanged, CureStarted, ServiceMoved
from foundry_rest.observe.stats import StatsObserver
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.schema.stats import MOST_CHANGES
from foundry_rest.testing import DEMO_MODEL, chat_completion, json_error

ERROR = ServerError("x", status=500)


def after(*events):
    """Return the figures after some events."""
    observer = StatsObserver()
    for event in events:
        observer(event)
    return observer.snapshot()


def test_circuit_changes(time):
    """Each change is kept with its time, and the openings of each address are counted."""
    begin = time.now()
    stats = after(
        CircuitChanged("http://a", "closed", "open"), CircuitChanged("http://a", "open", "half-open")
    )
    assert [(each.at, each.url, each.after) for each in stats.circuit_changes] == [
        (begin, "http://a", "open"),
        (begin, "http://a", "half-open"),
    ]
    assert stats.openings == {"http://a": 1}


def test_only_the_latest_changes_are_kept():
    """A circuit that flaps for a year takes no more memory than one that did so for an hour."""
    changes = [
        CircuitChanged(f"http://{number}", "closed", "half-open") for number in range(MOST_CHANGES + 5)
    ]
    stats = after(*changes)
    assert [each.url for each in stats.circuit_changes] == [each.url for each in changes[5:]]


def test_recoveries_and_moves():
    """A recovery that was begun counts for its operation, a move for the client."""
    load = CureStarted("http://a", "id", "chat.complete", "m", 1, "load", ERROR)
    stats = after(load, load, ServiceMoved("http://b", "http://a"))
    assert stats.by_call["chat.complete"].recoveries == stats.total.recoveries == {"load": 2}
    assert stats.moves == 1


def test_merging():
    """Counts are added, changes are told in the order of their times, and all of it survives JSON."""
    first = after(
        CircuitChanged("http://a", "closed", "open"),
        CureStarted("http://a", "id", "x", "m", 1, "load", ERROR),
    )
    second = after(ServiceMoved("http://b", "http://a"), CircuitChanged("http://a", "closed", "open"))
    merged = Stats.merged([second, first])
    assert merged.openings == {"http://a": 2}
    assert [each.at for each in merged.circuit_changes] == sorted(each.at for each in merged.circuit_changes)
    assert merged.total.recoveries == {"load": 1}
    assert Stats.from_dict(json.loads(json.dumps(merged.to_dict()))) == merged


def test_slots_in_use():
    """A slot that is held is in use, and one that is given back is not."""
    slots = Slots(3)
    held = slots.acquire()
    assert (slots.use.limit, slots.use.in_use, slots.use.waiting) == (3, 1, 0)
    held.release()
    assert (slots.use.in_use, slots.use.waits, slots.use.waited) == (0, 0, 0.0)


def test_waits_for_a_slot(time):
    """A call that has to wait is counted with the time it waited, also if it waits in vain."""
    slots = Slots(1)
    held = slots.acquire()
    with pytest.raises(DeadlineExceeded):
        slots.acquire(time.monotonic() + 2.0)
    assert slots.use.waits == 1
    assert slots.use.waited == pytest.approx(2.0, abs=0.6)
    held.release()


def test_a_clients_slots_and_connections(native):
    """Calls one after the other use one connection, which waits for the next one; no slot stays in use."""
    for _ in range(3):
        native.complete("Hi")
    stats = native.stats()
    assert (stats.connections.opened, stats.connections.idle) == (1, 1)
    assert stats.connections.requests >= 3
    assert (stats.slots.limit, stats.slots.in_use, stats.slots.waits) == (64, 0, 0)


def test_a_stream_holds_a_slot(native):
    """An open stream is a call under way."""
    with native.stream_complete("Hi") as stream:
        next(iter(stream))
        assert native.stats().slots.in_use == 1
    assert native.stats().slots.in_use == 0


def test_connections_of_a_given_session(server):
    """Those of the caller's own session are counted, too."""
    with (
        requests.Session() as session,
        FoundryAPIClient(server.url, model=DEMO_MODEL, session=session) as client,
    ):
        client.complete("Hi")
        assert client.stats().connections.opened == 1


def test_cache(server, tmp_path):
    """What was found, what was not, and what was taken in."""
    server.on("POST", CHAT, chat_completion("one"))
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, dialect="openai", cache=tmp_path / "answers.sqlite"
    ) as client:
        for prompt in ("a", "a", "b", "a"):
            client.complete(prompt, temperature=0)
        cache, total = client.stats().cache, client.stats().total
    assert (cache.hits, cache.stale, cache.misses, cache.kept) == (2, 0, 2, 2)
    assert (total.calls, total.cached) == (2, 2)


def test_no_count_is_lost(native):
    """Eight threads at once, whose calls, attempts and slots are all counted."""
    calls = 25

    def ask():
        for _ in range(calls):
            native.complete("Hi")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = native.stats()
    assert (stats.total.calls, stats.total.attempts, stats.total.latency.count) == (200, 200, 200)
    assert (stats.slots.in_use, stats.slots.waiting) == (0, 0)
    assert 1 <= stats.connections.opened <= 8 + 1


def test_the_table(server):
    """What happened beside the calls has a line each; what did not has none."""
    server.on("POST", CHAT, json_error(500, "broken"))
    policy = BreakerPolicy(failures=2)
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, breaker=policy, dialect="openai"
    ) as client:
        assert str(client.stats()).count("\n") == 0
        for error in (ServerError, ServerError, CircuitOpen):
            with pytest.raises(error):
                client.complete("Hi")
        lines = str(client.stats()).splitlines()
    assert lines[0].startswith("CALL")
    assert lines[1].startswith("chat.complete")
    assert f"circuit of {server.url}: opened 1 x, now open" in lines
    assert any(line.startswith("connections: 1 for 2 requests") for line in lines)
    assert not any(line.startswith(("slots", "cache", "service")) for line in lines)
