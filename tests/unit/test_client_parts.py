"""The client as a whole: copies of it, and its bounds."""

from __future__ import annotations

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.discovery import register
from support.servers import CHAT

from foundry_rest import RetryPolicy, Timeouts
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import (
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    ServerError,
    ServiceUnreachable,
)
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.breaker.record import MemoryState
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, dead_address, unavailable

KEY = "sk-0123456789"
SEEN: list[object] = []
STATES: list[str] = []


def observe(event) -> None:
    """Note an event; a function of a module, so that it can be pickled."""
    SEEN.append(event)


def make_state(address: str) -> MemoryState:
    """Note for which address a state is made."""
    STATES.append(address)
    return MemoryState()


# ---------------------------------------------------------------- pickle


def test_a_copy_is_a_client_of_its_own(server):
    """It has the same settings, and neither the connections nor the figures."""
    policy = RetryPolicy(retries=7)
    with FoundryAPIClient(
        server.url,
        model=DEMO_MODEL,
        api_key=KEY,
        timeout=5,
        deadline=9,
        retries=policy,
        breaker=BreakerPolicy(failures=2),
        breaker_state=make_state,
        max_concurrency=3,
        headers={"X-Team": "a"},
        observers=[observe],
    ) as client:
        client.complete("Hi")
        with pickle.loads(pickle.dumps(client)) as copy:
            SEEN.clear()
            assert server.connections == 1
            assert copy.complete("Hi").content == "Hello there"
            assert server.connections == 2
            assert (copy._spec.config, copy._spec.policy) == (client._spec.config, policy)
            assert copy._spec == client._spec
            assert copy._core.bounds.slots.free == 3
            assert copy.stats().by_call["chat.complete"].calls == 1
            assert copy._owned == (copy._core,)

    request = server.requests[-1]
    assert (request.headers.get("authorization"), request.headers.get("x-team")) == (f"Bearer {KEY}", "a")
    assert SEEN


def test_a_copy_hides_its_key_too(server):
    """The key travels in the pickle, which is the caller's to guard, and shows in no repr."""
    copy = pickle.loads(pickle.dumps(FoundryAPIClient(server.url, api_key=KEY, headers={"X-Key": KEY})))

    assert copy._spec.config.api_key == KEY
    for shown in (repr(copy), repr(copy._spec), repr(copy._spec.config), repr(vars(copy))):
        assert KEY not in shown


def test_a_pickle_holds_no_socket(server):
    """A client in use pickles, and its bytes name nothing of the network but the address."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        client.complete("Hi")
        data = pickle.dumps(client)

    assert b"socket" not in data
    assert b"urllib3" not in data


def test_a_closed_client_pickles_open(server):
    """The copy is a new client."""
    client = FoundryAPIClient(server.url, model=DEMO_MODEL)
    client.close()
    with pickle.loads(pickle.dumps(client)) as copy:
        assert copy.complete("Hi").content == "Hello there"


def test_a_view_pickles_as_a_client(server):
    """With the view's settings; closing it closes its own connections only."""
    with FoundryAPIClient(server.url, model="other") as client:
        view = client.with_options(model=DEMO_MODEL, timeout=Timeouts(first_token=4), deadline=8, retries=0)
        copy = pickle.loads(pickle.dumps(view))
        assert (copy._spec.config, copy._spec.policy) == (view._spec.config, view._spec.policy)
        assert copy.complete("Hi").content == "Hello there"
        copy.close()
        with pytest.raises(Cancelled):
            copy.complete("Hi")

        assert view.complete("Hi").content == "Hello there"


def test_a_copy_of_a_class_of_the_callers_own(server):
    """It stays of that class."""
    assert type(pickle.loads(pickle.dumps(Own(server.url)))) is Own


class Own(FoundryAPIClient):
    """Stand for a subclass."""


# ---------------------------------------------------------------- bounds


def test_max_concurrency(server):
    """So many calls and open streams at a time; the next one waits for its slot, within its deadline."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, max_concurrency=1) as client:
        server.on("POST", CHAT, chat_stream("one two"))
        view = client.with_options(deadline=0.02)
        with client.stream_complete("Hi") as stream:
            with pytest.raises(DeadlineExceeded) as caught:
                view.complete("Hi")
            assert caught.value.limit == "slot"
            list(stream)

        assert client._core.bounds.slots.free == 1
        client.complete("Hi")


@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_max_concurrency_is_checked(value):
    """A bound that lets nobody in is refused."""
    with pytest.raises(ConfigError):
        FoundryAPIClient("http://h", max_concurrency=value)


def test_max_concurrency_from_a_configuration(server):
    """The pool is as large as the bound."""
    client = FoundryAPIClient(server.url, max_concurrency=5)

    assert client._core.transport._pool_size == client._core.bounds.slots.free == 5


def test_without_a_breaker():
    """Every call is tried, however many failed."""
    with (
        dead_address() as url,
        FoundryAPIClient(url, model=DEMO_MODEL, breaker=None, retries=0, dialect="2.x") as client,
    ):
        for _ in range(9):
            with pytest.raises(ServiceUnreachable):
                client.complete("Hi")

        assert client._core.breakers is None


def test_without_a_breaker_another_process_may_answer():
    """There is no circuit to close then."""
    with FaultServer(pid=101) as server, FoundryAPIClient(server.url, breaker=None) as client:
        client.health_check()
        server._service._pid = 102

        assert client.health_check().pid == 102


def test_the_breakers_state_is_the_callers_choice():
    """It is made once for the address, and views share the circuit."""
    STATES.clear()
    with (
        dead_address() as url,
        FoundryAPIClient(
            url,
            model=DEMO_MODEL,
            breaker=BreakerPolicy(failures=1),
            breaker_state=make_state,
            retries=0,
            dialect="2.x",
        ) as client,
    ):
        with pytest.raises(ServiceUnreachable):
            client.complete("Hi")
        with pytest.raises(CircuitOpen) as caught:
            client.with_options(retries=3).complete("Hi")

    assert [url] == STATES
    assert caught.value.retry_in == pytest.approx(30, abs=5)


def test_health_checks_pass_an_open_circuit(server):
    """They are how one learns that the service is back."""
    with FoundryAPIClient(server.url) as client:
        client._core.breakers.of(server.url).force_open()

        assert client.health_check().status == "ok"


def test_no_pool_is_full(server, caplog):
    """64 threads at once get a connection each and keep it: urllib3 throws none away."""
    gate = threading.Barrier(64)

    def answer(request):
        gate.wait(5)
        return chat_stream("ok")

    with caplog.at_level(logging.DEBUG, "urllib3"), FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        client.complete("warm")
        server.on("POST", CHAT, answer)
        with ThreadPoolExecutor(64) as pool:
            answers = [reply.content for reply in pool.map(client.complete, ["Hi"] * 64)]

    assert answers == ["ok"] * 64
    assert not [
        record for record in caplog.records if "pool" in record.message.lower() and record.levelno > 10
    ]
    assert server.connections == 64


def test_the_breaker_can_be_moved_by_hand():
    """A person may leave a service alone, and believe it again; the figures tell the state."""
    with FaultServer() as server, FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        client.complete("Hello")
        before = client.stats().circuits
        client.breaker.force_open()
        with pytest.raises(CircuitOpen):
            client.complete("Hello")
        opened = client.stats().circuits
        client.breaker.close()

        assert client.complete("Hello").content == "Hello there"
        assert (before, opened) == ({server.url: "closed"}, {server.url: "open"})


def test_the_breaker_of_a_service_that_is_gone():
    """Nobody is looked for in order to tell of the circuit: the handler of an error asks for it, too."""
    with FoundryAPIClient(model=DEMO_MODEL, retries=0) as client:
        with FaultServer() as server:
            register(server.url)
            client.complete("Hello")
            breaker = client.breaker
        with pytest.raises(ServiceUnreachable):
            client.complete("Hello")
        assert client.breaker is breaker


def test_a_client_without_a_breaker():
    """There is none to move and none to tell of."""
    with FoundryAPIClient("http://127.0.0.1:1", breaker=None) as client:
        assert client.breaker is None
        assert client.stats().circuits == {}


@pytest.mark.parametrize("retries", [0, 2])
def test_retries_of_one_call(retries):
    """A call's own number wins over the client's."""
    with FaultServer() as server, FoundryAPIClient(server.url, retries=5, dialect="2.x") as client:
        server.on("GET", "/status", unavailable(0))
        with pytest.raises(ServerError) as caught:
            client.request("GET", "/status", retries=retries)

        assert len(caught.value.attempts) == retries + 1


def test_retries_of_one_call_are_checked():
    """A number that means nothing is refused before anything is sent."""
    with FoundryAPIClient("http://127.0.0.1:1") as client, pytest.raises(ConfigError, match="retries"):
        client.complete("Hello", retries=-1)
