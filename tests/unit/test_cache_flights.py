"""Equal calls at once: one asks, the others get its answer, and none pays for another's failure."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.caches import SURE, asked, at_once, cached_client, numbered
from support.servers import CHAT
from support.waits import until

from foundry_rest import CancelToken, clock
from foundry_rest.cache.flights import End, Flights, Lead
from foundry_rest.cache.recording import Answer
from foundry_rest.errors import Cancelled, DeadlineExceeded, InferenceFailed
from foundry_rest.testing import chat_completion, chat_stream, hold, inference_failed
from foundry_rest.transport.call import Options


@pytest.fixture
def client(server, tmp_path):
    """A client with a cache."""
    with cached_client(server, tmp_path, breaker=None) as made:
        yield made


@pytest.fixture
def gate(server):
    """A gate that holds every chat until it is opened."""
    opened = threading.Event()

    def answer(request):
        opened.wait(5)
        return chat_stream("one two") if request.json().get("stream") else chat_completion("one two")

    server.on("POST", CHAT, answer)
    yield opened
    opened.set()


def waiting(client):
    """Return how many calls wait for another one."""
    return sum(len(flight._waiting) for flight in client._core.caching._flights._under_way.values())


def begin(pool, client, gate, count, **call):
    """Begin so many equal calls; return when all but one wait for that one."""
    calls = [pool.submit(client.complete, "Hi", **SURE, **call) for _ in range(count)]
    until(lambda: waiting(client) == count - 1)
    return calls


@pytest.mark.parametrize("dialect", ["2.x", "openai"])
def test_a_hundred_equal_calls_ask_once(server, tmp_path, gate, dialect):
    """A hundred at once make one request; all get its answer, and one of them its cost."""
    with cached_client(server, tmp_path, dialect=dialect) as client, ThreadPoolExecutor(100) as pool:
        calls = begin(pool, client, gate, 100)
        gate.set()
        replies = [call.result(10) for call in calls]

    assert asked(server) == 1
    assert {reply.content for reply in replies} == {"one two"}
    assert sorted(reply.cached for reply in replies) == [False] + [True] * 99


@pytest.mark.parametrize("leaders", [1, 5])
def test_a_cancelled_leader_costs_one_more_call(server, client, gate, leaders):
    """When the call that asks is cancelled, one other asks anew; the rest go on waiting."""
    with ThreadPoolExecutor(100) as pool:
        tokens, ended = [], []
        for number in range(leaders):
            token = CancelToken()
            ended.append(pool.submit(client.complete, "Hi", cancel=token, **SURE))
            tokens.append(token)
            until(lambda number=number: asked(server) + waiting(client) == number + 1)
        others = [pool.submit(client.complete, "Hi", **SURE) for _ in range(90)]
        until(lambda: waiting(client) == 89 + leaders)
        for number, token in enumerate(tokens):
            token.cancel()
            with pytest.raises(Cancelled):
                ended[number].result(5)
        until(lambda: asked(server) >= 2)
        gate.set()
        assert {call.result(10).content for call in others} == {"one two"}

    assert asked(server) <= leaders + 1


def test_each_gets_its_own_error(server, client):
    """Calls that fail do so each with an error of its own, and nobody waits for more than three."""
    server.on("POST", CHAT, inference_failed())
    errors = at_once(20, lambda number: client.complete("Hi", **SURE))

    assert all(isinstance(error, InferenceFailed) for error in errors)
    assert len({id(error) for error in errors}) == 20
    assert asked(server) == 20


def test_a_failed_leader_costs_one_more_call(server, client):
    """After one failure the others get the answer of the next."""
    count, both = [], threading.Event()

    def answer(request):
        count.append(request)
        both.wait(5)
        return inference_failed() if len(count) == 1 else chat_stream("one two")

    server.on("POST", CHAT, answer)
    with ThreadPoolExecutor(20) as pool:
        calls = begin(pool, client, None, 20)
        both.set()
        ended = [call.exception(10) for call in calls]

    assert sum(error is not None for error in ended) == 1
    assert asked(server) == 2


def test_an_answer_that_is_not_kept_is_not_waited_for_again(server, client, gate):
    """When the answer is not worth keeping, all that waited ask at once, and not one after the other."""
    server.on("POST", CHAT, lambda request: gate.wait(5) and chat_stream("cut", "length"))
    with ThreadPoolExecutor(10) as pool:
        calls = begin(pool, client, gate, 10)
        gate.set()
        replies = [call.result(10) for call in calls]

    assert [reply.finish_reason for reply in replies] == ["length"] * 10
    assert not any(reply.cached for reply in replies)
    assert asked(server) == 10


def test_waiting_ends_with_the_waiting_call(server, client, gate):
    """Each call's own deadline and token bound its wait."""
    token = CancelToken()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(client.complete, "Hi", **SURE)
        until(lambda: asked(server) == 1)
        late = pool.submit(client.complete, "Hi", deadline=0.02, **SURE)
        ended = pool.submit(client.complete, "Hi", cancel=token, **SURE)
        assert isinstance(late.exception(5), DeadlineExceeded)
        token.cancel()
        assert isinstance(ended.exception(5), Cancelled)
        gate.set()
        assert first.result(5).content == "one two"

    assert asked(server) == 1


def test_a_closed_client_ends_every_wait(server, client, gate):
    """Closing the client ends those that wait for another call."""
    with ThreadPoolExecutor(5) as pool:
        calls = begin(pool, client, gate, 5)
        client.close()
        assert all(isinstance(call.exception(5), Cancelled) for call in calls)


@pytest.mark.parametrize("leave", ["pause", "close", "drop"])
def test_a_stream_whose_reader_leaves(server, client, leave):
    """A reader that pauses, closes or drops its stream holds up nobody for long."""
    server.on("POST", CHAT, chat_stream("one two"))
    stream = client.chat.stream("Hi", **SURE)
    next(stream)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(client.complete, "Hi", **SURE) for _ in range(4)]
        until(lambda: waiting(client) == 4)
        if leave == "close":
            stream.close()
        elif leave == "drop":
            del stream
            gc.collect()
        assert {call.result(5).content for call in calls} == {"one two"}

    assert asked(server) == 2


def test_a_thread_that_waits_for_itself(server, client):
    """A call inside the loop over an equal stream asks by itself soon."""
    server.on("POST", CHAT, chat_stream("one two"))
    with client.chat.stream("Hi", **SURE) as stream:
        next(stream)
        before = clock.monotonic()
        assert client.complete("Hi", **SURE).content == "one two"

    assert clock.monotonic() - before < 2
    assert asked(server) == 2


def test_a_stream_that_is_read_is_shared(server, client):
    """Calls that wait for a stream get its events when it has ended."""
    gate = threading.Event()
    server.on("POST", CHAT, chat_stream("one two")[:3] + hold(gate) + chat_stream("one two")[3:])
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.complete, "Hi", **SURE) for _ in range(3)]
        until(lambda: waiting(client) == 2)
        gate.set()
        assert {call.result(10).content for call in calls} == {"one two"}

    assert asked(server) == 1


def test_views_share(server, client, gate):
    """Calls through a view and through its client are equal calls."""
    view = client.with_options(retries=2)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(each.complete, "Hi", **SURE) for each in (client, view)]
        until(lambda: waiting(client) == 1)
        gate.set()
        assert [call.result(5).content for call in calls] == ["one two"] * 2

    assert asked(server) == 1


def test_clients_of_one_cache_share(server, client, gate):
    """So are those of two clients that were given the same cache."""
    with cached_client(server, None, cache=client._spec.cache) as other, ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(each.complete, "Hi", **SURE) for each in (client, other)]
        until(lambda: waiting(client) == 1)
        gate.set()
        assert [call.result(5).content for call in calls] == ["one two"] * 2

    assert asked(server) == 1


def test_without_a_file(server, client, tmp_path, caplog):
    """Equal calls share also where nothing can be kept."""
    client._spec.cache._store.keep = lambda *row: (_ for _ in ()).throw(
        OSError(28, "No space left on device")
    )
    numbered(server)
    at_once(10, lambda number: client.complete("Hi", **SURE))

    assert asked(server) < 10
    assert len([each for each in caplog.records if "cannot be written" in each.getMessage()]) == 1


# ---------------------------------------------------------------- the flights themselves


def test_a_dropped_lead_ends_its_flight():
    """Whatever happens to the call that asks, nobody waits for it for ever."""
    flights = Flights()
    lead = flights.enter(b"k")
    flight = flights.enter(b"k")

    assert isinstance(lead, Lead)
    assert lead.flight is flight
    del lead
    assert flight.wait(Options(), CancelToken()) is End.GIVEN_UP
    assert isinstance(flights.enter(b"k"), Lead)


def test_an_answer_is_there_until_it_is_kept():
    """Who comes between the answer and its write gets it; the first end counts."""
    flights = Flights()
    lead, answer = flights.enter(b"k"), Answer()
    assert lead.flight.land(answer)
    assert not lead.flight.land(End.FAILED)
    assert flights.enter(b"k").wait(Options(), CancelToken()) is answer
    lead.flight.leave()
    assert isinstance(flights.enter(b"k"), Lead)


def test_a_forked_child_forgets_the_parents_flights():
    """In a child nobody will ever end them."""
    flights = Flights()
    lead = flights.enter(b"k")
    flights.renew()

    assert isinstance(flights.enter(b"k"), Lead)
    del lead
