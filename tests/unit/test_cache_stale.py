"""serve_stale: an expired answer while the circuit is open, and never otherwise."""

from __future__ import annotations

import pytest
from support.caches import SURE, asked, cache_in, cached_client, numbered
from support.servers import CHAT

from foundry_rest import BreakerPolicy, clock
from foundry_rest.errors import CircuitOpen, FoundryError, InferenceFailed
from foundry_rest.events import CallFinished
from foundry_rest.testing import inference_failed


@pytest.fixture
def now(monkeypatch):
    """The wall clock, in a list of one."""
    value = [1e9]
    monkeypatch.setattr(clock, "now", lambda: value[0])
    return value


@pytest.fixture
def events():
    """Every event of the client."""
    return []


@pytest.fixture
def client(server, tmp_path, now, events):
    """A client whose answers are fresh for 10 s, and stale for 100 s more; one failure opens its circuit."""
    cache = cache_in(tmp_path, max_age=10, serve_stale=100)
    given = {"cache": cache, "breaker": BreakerPolicy(failures=1), "observers": [events.append]}
    with cached_client(numbered(server), tmp_path, **given) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
def test_an_open_circuit(client, server, now, stream):
    """An expired answer is given, and says for how long it has been expired."""
    client.complete("Hi", **SURE)
    now[0] += 15
    client.breaker.force_open()
    ask = client.chat.stream if stream else client.complete
    reply = ask("Hi", **SURE)

    assert (reply.cached, reply.stale_for) == (True, pytest.approx(5))
    assert (reply.gather() if stream else reply).content == "answer 1"
    assert asked(server) == 1


def test_it_is_told_once(client, events, now):
    """The call ends as cached, without a failed attempt."""
    client.complete("Hi", **SURE)
    now[0] += 15
    client.breaker.force_open()
    del events[:]
    client.complete("Hi", **SURE)

    assert [(type(each), each.outcome) for each in events] == [(CallFinished, "cached")]


def test_a_closed_circuit(client, server, now):
    """A service that may be asked is asked."""
    client.complete("Hi", **SURE)
    now[0] += 15
    reply = client.complete("Hi", **SURE)

    assert (reply.content, reply.cached, reply.stale_for) == ("answer 2", False, 0.0)


def test_too_old(client, now):
    """Past its age and the bound nothing is given."""
    client.complete("Hi", **SURE)
    now[0] += 111
    client.breaker.force_open()
    with pytest.raises(CircuitOpen):
        client.complete("Hi", **SURE)


def test_fresh_ones_need_no_service(client, now):
    """An answer that is fresh is given whatever the circuit does, and is not stale."""
    client.complete("Hi", **SURE)
    client.breaker.force_open()

    assert client.complete("Hi", **SURE).stale_for == 0.0


def test_without_serve_stale(server, tmp_path, now):
    """By default an expired answer is never given."""
    with cached_client(numbered(server), tmp_path, cache=cache_in(tmp_path, max_age=10)) as client:
        client.complete("Hi", **SURE)
        now[0] += 11
        client.breaker.force_open()
        with pytest.raises(CircuitOpen):
            client.complete("Hi", **SURE)


def test_other_errors(client, server, now):
    """An error that is no open circuit is raised."""
    client.complete("Hi", **SURE)
    now[0] += 15
    server.on("POST", CHAT, inference_failed())
    with pytest.raises(InferenceFailed):
        client.complete("Hi", **SURE)


def test_the_circuit_opens_in_the_call(server, tmp_path, now):
    """The call whose own attempt opens the circuit, and which is refused then, gets the stale answer."""
    cache = cache_in(tmp_path, max_age=10, serve_stale=100)
    given = {"cache": cache, "breaker": BreakerPolicy(failures=1), "retries": 2}
    with cached_client(numbered(server), tmp_path, **given) as client:
        client.complete("Hi", **SURE)
        now[0] += 15
        server.on("POST", CHAT, inference_failed())
        reply = client.complete("Hi", **SURE)

    assert (reply.content, reply.stale_for) == ("answer 1", pytest.approx(5))


def test_the_circuit_is_tried_again(server, tmp_path, time):
    """Stale answers do not keep an open circuit from its probe."""
    cache = cache_in(tmp_path, max_age=10, serve_stale=100)
    with cached_client(numbered(server), tmp_path, cache=cache) as client:
        client.complete("Hi", **SURE)
        time.advance(15)
        client.breaker.force_open()
        assert client.complete("Hi", **SURE).stale_for
        time.advance(40)
        assert client.complete("Hi", **SURE).content == "answer 2"
        assert client.breaker.current == "closed"


def test_a_call_of_chance(client, now):
    """An unmarked call of chance gets no stale answer either."""
    client.complete("Hi", cache=True)
    client.breaker.force_open()
    with pytest.raises(FoundryError):
        client.complete("Hi")
    now[0] += 15
    assert client.complete("Hi", cache=True).stale_for
