"""The client: parts put together once, shared by views and threads, closed by their owner."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from support.servers import CHAT, echo

from foundry_rest import Config, FoundryAPIClient, RetryPolicy, Timeouts
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    ServiceTimeout,
    ServiceUnreachable,
    TooManyRequests,
)
from foundry_rest.events import AttemptFailed, CallFinished
from foundry_rest.testing import (
    DEMO_MODEL,
    context_exceeded,
    dead_address,
    stall,
    too_many,
)


def test_the_readme_in_short(client):
    """The promises of the first page hold: complete, stream_complete, health_check."""
    assert client.complete("Hi", max_tokens=5).content == "Hello there"
    assert [chunk.content for chunk in client.stream_complete("Hi")] == ["", "Hello", " there", "", ""]
    assert client.health_check().status == "ok"


def test_a_configuration_in_place_of_the_environment(server, monkeypatch):
    """With ``config`` no variable is read; arguments win over it."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "nonsense")
    with pytest.raises(ConfigError, match="FOUNDRY_TIMEOUT"):
        FoundryAPIClient(server.url)
    config = Config(endpoint=server.url, model="other", retries=0)
    with FoundryAPIClient(model=DEMO_MODEL, config=config) as client:
        assert client.complete("Hi").content == "Hello there"


def test_the_environment(server, monkeypatch):
    """What is not given comes from the variables: address, model, key, and the bounds."""
    for name, text in {
        "FOUNDRY_ENDPOINT": server.url,
        "FOUNDRY_MODEL": DEMO_MODEL,
        "FOUNDRY_API_KEY": "k3y",
        "FOUNDRY_RETRIES": "0",
        "FOUNDRY_TIMEOUT": "0.3",
    }.items():
        monkeypatch.setenv(name, text)
    with FoundryAPIClient() as client:
        client.complete("Hi")
        assert server.asked(CHAT)[0].json()["model"] == DEMO_MODEL
        assert server.asked(CHAT)[0].headers.get("authorization") == "Bearer k3y"
        server.on("POST", CHAT, stall())
        with pytest.raises(ServiceTimeout):
            client.complete("Hi")
    assert len(server.asked(CHAT)) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "h"},
        {"base_url": ""},
        {"model": ""},
        {"model": "a b"},
        {"api_key": "a\nb"},
        {"timeout": 0},
        {"timeout": "5"},
        {"deadline": 0},
        {"retries": -1},
        {"retries": "3"},
        {"dialect": "grpc"},
        {"headers": {"X": "a\nb"}},
    ],
    ids=str,
)
def test_bad_settings(arguments):
    """Mistakes are found in the constructor."""
    with pytest.raises(ConfigError):
        FoundryAPIClient(**{"base_url": "http://h", **arguments})


def test_a_view_shares(server, client):
    """Other settings, the same connections, figures and knowledge; closing a view closes nothing."""
    view = client.with_options(model="demo", timeout=Timeouts(), deadline=9, retries=RetryPolicy(retries=1))
    view.complete("Hi")
    view.close()
    with view:
        client.complete("Hi")

    assert server.connections == 1
    assert view.stats() == client.stats()
    assert client.stats().by_call["chat.complete"].calls == 2
    assert client._spec.config.model == DEMO_MODEL
    assert client.models._context.names.id_of("demo") == DEMO_MODEL


def test_a_views_own_bounds(server, client):
    """Each setting of a view counts for its calls alone."""
    server.on("POST", CHAT, too_many(0), too_many(0), server.healthy)
    with pytest.raises(TooManyRequests):
        client.complete("Hi")

    assert client.with_options(retries=1).complete("Hi").content == "Hello there"
    with pytest.raises(ConfigError):
        client.with_options(timeout=0)


def test_a_closed_client(client):
    """Calls after the end say so, views included; closing twice is nothing."""
    view = client.with_options(retries=3)
    client.close()
    client.close()
    for ask in (client, view):
        with pytest.raises(Cancelled, match="closed"):
            ask.complete("Hi")


def test_observers(server, caplog):
    """They are told every fact; one that raises is logged, not felt, and hinders no other."""
    told: list[object] = []

    def broken(event):
        raise RuntimeError("observer's own fault")

    server.on("POST", CHAT, too_many(0.03), server.healthy)
    with FoundryAPIClient(server.url, model=DEMO_MODEL, observers=[broken, told.append]) as client:
        assert client.complete("Hi").content == "Hello there"

    failed, finished = (event for event in told if event.call == "chat.complete")
    assert isinstance(failed, AttemptFailed)
    assert isinstance(finished, CallFinished)
    assert (failed.wait, finished.completion_tokens, finished.error) == (0.03, 2, None)
    assert "observer's own fault" in caplog.text


def test_stats(server, client):
    """Calls, errors and tokens of streams and whole answers are counted under their labels."""
    client.complete("Hi")
    client.stream_complete("Hi").gather()
    server.on("POST", CHAT, context_exceeded())
    with pytest.raises(BadRequest):
        client.complete("Hi", max_tokens=2048)
    stats = client.stats()

    assert {label: (s.calls, s.errors) for label, s in stats.by_call.items()} == {
        "detect": (1, 0),
        "chat.complete": (2, 1),
        "chat.stream": (1, 0),
    }
    assert (stats.total.prompt_tokens, stats.total.completion_tokens) == (36, 4)
    assert stats.by_call["chat.stream"].first_token_p50 > 0
    assert stats.by_call["chat.complete"].failed_attempts == 1


def test_the_repr_hides_keys():
    """What is printed tells where and which model, and no secret."""
    client = FoundryAPIClient("http://h:1", model="m", api_key="SECRET", auth=("u", "SECRET"))

    assert repr(client) == "FoundryAPIClient(base_url='http://h:1', model='m')"
    assert "SECRET" not in repr(vars(client))


def test_one_client_in_many_threads(server, client):
    """16 threads each get their own answers."""
    server.on("POST", CHAT, echo)

    def ask(number):
        return [client.complete(f"{number}.{turn}").content for turn in range(5)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(16)))

    assert answers == [[f"{number}.{turn}" for turn in range(5)] for number in range(16)]
    assert client.stats().by_call["chat.complete"].calls == 80


def test_a_given_dialect_is_used(server):
    """Neither name nor object is checked against the service."""
    for dialect in ("2.x", Generation2Dialect()):
        with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=dialect) as client:
            client.complete("Hi")

    assert [request.path for request in server.requests] == [CHAT] * 2


def test_a_dead_service():
    """The sentence tells the address, the call, the model, the tries, and what to do."""
    once = RetryPolicy(retries=1, base=0, floor=0)
    with dead_address() as url, pytest.raises(ServiceUnreachable) as caught:
        FoundryAPIClient(url, model="m", retries=once, dialect="2.x").complete("Hi")

    assert str(caught.value) == (
        "connection refused: nothing listens there "
        f"(chat.complete at {url}, model 'm', after 2 attempts). {ServiceUnreachable.advice}"
    )


class FakeRuntime:
    """Stand for the native runtime in a child process."""

    def __init__(self, model_dirs, url="http://127.0.0.1:5273"):
        self.models = [SimpleNamespace(alias=name) for name in model_dirs]
        self.url = url
        self.closed = 0

    def start(self):
        """Record that it runs."""
        STARTED.append(self)
        return self

    def revive(self):
        """Never needed here."""
        raise AssertionError

    def close(self):
        """Count."""
        self.closed += 1


STARTED: list[FakeRuntime] = []


@pytest.mark.parametrize(
    ("folders", "model", "default"),
    [(["a", "b"], None, "a"), (["a"], "c", "c"), ([], None, "phi-4-mini")],
)
def test_an_embedded_runtime(monkeypatch, folders, model, default):
    """The client owns the runtime it started; its first model is the default; a view closes nothing."""
    monkeypatch.setattr("foundry_rest.runtime.LocalRuntime", FakeRuntime)
    client = FoundryAPIClient.embedded(folders, model=model)
    runtime = STARTED.pop()
    client.with_options(retries=0).close()

    assert repr(client) == f"FoundryAPIClient(base_url='{runtime.url}', model='{default}')"
    assert runtime.closed == 0
    client.close()
    assert runtime.closed == 1


def test_an_embedded_runtime_is_not_left_behind(monkeypatch):
    """Bad arguments are refused before it is started; when the client cannot be made after that, it ends."""
    monkeypatch.setattr("foundry_rest.runtime.LocalRuntime", FakeRuntime)
    with pytest.raises(ConfigError):
        FoundryAPIClient.embedded(["a"], retries=-1)
    assert STARTED == []
    monkeypatch.setattr(
        FakeRuntime, "start", lambda self: setattr(self, "url", "") or STARTED.append(self) or self
    )
    with pytest.raises(ConfigError):
        FoundryAPIClient.embedded(["a"])

    assert STARTED.pop().closed == 1
