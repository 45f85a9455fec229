"""The service dies, moves, comes back under a client: the calls go on."""

from __future__ import annotations

import pickle

import pytest
from support.discovery import moved, register
from support.servers import CHAT

from foundry_rest import RetryPolicy, clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import Cancelled, ServiceUnreachable
from foundry_rest.events import AttemptFailed, CureStarted
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_completion, cut, dead_address, inference_failed
from foundry_rest.transport.call import Replay

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
SOON = RetryPolicy(retries=3, base=0.01, floor=0.001)


@pytest.fixture
def client(told):
    """Return a client that discovers its service."""
    with FoundryAPIClient(model="demo", retries=SOON, observers=[told.append]) as made:
        yield made


def test_the_same_call_goes_on_elsewhere(client, told):
    """The service is killed and is back at another port: the caller notices nothing."""
    with FaultServer(reply="first") as old, FaultServer({"demo": "other:2"}, [], reply="second") as new:
        register(old.url)
        assert client.complete("Hi").content == "first"
        old.stop()
        register(new.url)
        assert client.complete("Hi").content == "second"

        assert moved(told) == [(old.url, new.url)]
        assert "rediscover" in [event.cure for event in told if isinstance(event, CureStarted)]
        # The id was learnt anew: the new service has another one for the alias.
        assert [request.json()["model"] for request in new.asked(CHAT)][-1] == "other:2"


def test_back_after_a_while(client, told):
    """It is nowhere when it is missed, and found by the tries after that."""
    with FaultServer(reply="first") as old, FaultServer(reply="second") as new:
        register(old.url)
        client.complete("Hi")
        old.stop()

        def come_back(event):
            if isinstance(event, AttemptFailed) and event.number == 2:
                register(new.url)

        client._core.emit, real = come_back, client._core.emit
        view = client.with_options()
        client._core.emit = real

        assert view.complete("Hi").content == "second"
        assert moved(told) == [(old.url, new.url)]


def test_gone_and_not_back(client):
    """After the retries the error says where was looked."""
    with FaultServer() as server:
        register(server.url)
        client.complete("Hi")
    with pytest.raises(ServiceUnreachable, match=r"the service is gone: .*registry file") as caught:
        client.complete("Hi")

    assert len(caught.value.attempts) == 4


def test_a_call_that_begins_while_the_service_is_away(client, told):
    """It has its name in the error, the events and the figures, as one has whose service was there."""
    with FaultServer() as server:
        register(server.url)
        client.complete("Hi")
    client._core.targets.miss(server.url)
    with pytest.raises(ServiceUnreachable, match=r"chat\.complete at http") as caught:
        client.complete("Hi", model="demo")

    failed = [event for event in told if isinstance(event, AttemptFailed)]
    assert (caught.value.call, caught.value.model) == ("chat.complete", "demo")
    assert {(event.call, event.model) for event in failed} == {("chat.complete", "demo")}
    assert "" not in client.stats().by_call


def test_an_open_circuit_does_not_follow():
    """Each address has a circuit of its own: the old one's says nothing about the new one."""
    policy = BreakerPolicy(failures=1)
    with FaultServer() as old, FaultServer(reply="second") as new:
        register(old.url)
        with FoundryAPIClient(model=DEMO_MODEL, retries=SOON, breaker=policy) as client:
            client.complete("Hi")
            old.stop()
            register(new.url)

            assert client.complete("Hi").content == "second"
            assert client._core.breakers.of(new.url).current == "closed"


def test_a_named_service_that_died(told):
    """A registry file full of others is not looked at."""
    with FaultServer() as other, dead_address() as url:
        register(other.url)
        with (
            FoundryAPIClient(url, model=DEMO_MODEL, retries=SOON, observers=[told.append]) as client,
            pytest.raises(ServiceUnreachable),
        ):
            client.complete("Hi")

    assert other.requests == []
    assert moved(told) == []


def test_another_process_at_the_same_address():
    """The health check sees its pid: names are forgotten, the circuit is closed."""
    with FaultServer(pid=101) as server, FoundryAPIClient(server.url, model="demo", retries=0) as client:
        client.complete("Hi")
        client.health_check()
        breaker = client._core.breakers.of(server.url)
        breaker.force_open()
        client.health_check()
        assert breaker.current == "open"
        assert client._context.names.get("demo") is not None
        server._service._pid = 102
        client.health_check()

        assert breaker.current == "closed"
        assert client._context.names.get("demo") is None
        assert client.complete("Hi").content == "Hello there"


def test_what_the_breaker_counts_of_an_answer():
    """A call that was answered 500 three times counts once; five such calls open the circuit."""
    once = RetryPolicy(retries=3, base=0, floor=0)
    with FaultServer() as server, FoundryAPIClient(server.url, model=DEMO_MODEL, retries=once) as client:
        server.on("POST", CHAT, inference_failed())
        for _ in range(4):
            with pytest.raises(Exception, match="out of memory"):
                client.complete("Hi")

        assert client._core.breakers.of(server.url)._state.read().failures == 4
        assert len(server.asked(CHAT)) == 12


# ---------------------------------------------------------------- kept connections


def test_a_kept_connection_that_dies(told):
    """Cut before the head of its second answer, it is replaced at once; the call is not a retry."""
    with (
        FaultServer() as server,
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=1, observers=[told.append]) as client,
    ):
        client.complete("Hi")
        server.on("GET", "/again", cut(), chat_completion("ok"))
        client.request("GET", "/again", replay=Replay.ALWAYS)

        failed = [event for event in told if isinstance(event, AttemptFailed)]
        assert [(event.cure, event.wait, event.error.stale) for event in failed] == [("reconnect", 0.0, True)]
        assert server.connections == 2


@pytest.mark.parametrize("replay", list(Replay))
def test_a_new_connection_that_dies(told, replay):
    """It was not kept, so the request may be what killed it: no free try."""
    with (
        FaultServer() as server,
        FoundryAPIClient(server.url, retries=0, observers=[told.append]) as client,
    ):
        server.on("GET", "/x", cut())
        with pytest.raises(ServiceUnreachable) as caught:
            client.request("GET", "/x", replay=replay)

        assert not caught.value.stale
        assert len(server.asked("/x")) == 1


def test_connections_that_the_service_closes_unannounced():
    """A service that ends each connection after one answer costs connections, not calls."""
    with (
        FaultServer(close_after=1) as server,
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=1, breaker=None) as client,
    ):
        assert [client.complete("Hi").content for _ in range(10)] == ["Hello there"] * 10


# ---------------------------------------------------------------- an embedded runtime


class Runtime:
    """Stand for the native runtime: it serves by a FaultServer that can be killed."""

    def __init__(self, model_dirs=()):
        self.models, self.servers, self.closed = (), [], False

    def start(self):
        """Serve."""
        self.servers.append(FaultServer(reply=f"life {len(self.servers) + 1}"))
        self.servers[-1].start()
        return self

    @property
    def url(self):
        """Return the address of this life."""
        return self.servers[-1].url

    def revive(self):
        """Serve again, elsewhere."""
        if self.closed:
            raise Cancelled("the embedded runtime is closed")
        return self.start().url

    def close(self):
        """End."""
        self.closed = True
        for server in self.servers:
            server.close()


@pytest.fixture
def embedded(monkeypatch, told):
    """Return a client that owns a runtime."""
    monkeypatch.setattr("foundry_rest.runtime.LocalRuntime", Runtime)
    with FoundryAPIClient.embedded(model="demo", retries=SOON, observers=[told.append]) as made:
        yield made


def test_a_dead_child_is_started_again(embedded, told):
    """The next call restarts it and is answered by the new one."""
    runtime = embedded._owned[1]
    assert embedded.complete("Hi").content == "life 1"
    runtime.servers[0].stop()

    assert embedded.complete("Hi").content == "life 2"
    assert moved(told) == [(runtime.servers[0].url, runtime.servers[1].url)]


def test_a_copy_of_a_client_with_a_runtime(embedded):
    """It asks the same service, and does not own it."""
    runtime = embedded._owned[1]
    with pickle.loads(pickle.dumps(embedded)) as copy:
        assert copy.complete("Hi").content == "life 1"

    assert not runtime.closed
    assert embedded.complete("Hi").content == "life 1"


def test_a_closed_runtime_is_not_started_again(embedded):
    """Whoever closed it meant it: the call is cancelled."""
    runtime = embedded._owned[1]
    embedded.complete("Hi")
    runtime.close()
    begun = clock.monotonic()
    with pytest.raises(Cancelled, match="the embedded runtime is closed"):
        embedded.complete("Hi")

    assert len(runtime.servers) == 1
    assert clock.monotonic() - begun < 1


def test_a_service_that_is_away_for_a_moment_costs_retries_not_calls(told):
    """A call that begins while the service is away tries again as one that it left does."""
    with FaultServer(reply="first") as old, FaultServer(reply="second") as new:
        register(old.url)

        def come_back(event):
            if isinstance(event, AttemptFailed) and event.attempt == 2:
                register(new.url)

        with FoundryAPIClient(model="demo", retries=SOON, observers=[told.append, come_back]) as client:
            client.complete("Hi")
            old.stop()
            assert not client._core.targets.has_moved(old.url)
            assert client._core.targets.current is None

            assert client.complete("Hi").content == "second"
