"""A client of several services: what it is given, which one it asks, and what it tells of them."""

from __future__ import annotations

import copy
import pickle
from collections import Counter

import pytest
from support.servers import CHAT

from foundry_rest import BreakerPolicy, FoundryAPIClient, ServiceSpec
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.resilience.failover import choose
from foundry_rest.services.service_spec import services_of
from foundry_rest.testing import DEMO_MODEL, FaultServer, LegacyService, dead_address

A, B, C = "http://a:1", "http://b:2", "http://c:3"


@pytest.fixture
def two():
    """Serve the same model twice."""
    with FaultServer() as one, FaultServer() as other:
        yield one, other


# ---------------------------------------------------------------- what is given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "services is empty"),
        (A, "must be a list"),
        (ServiceSpec(A), "must be a list"),
        (7, "must be a list"),
        ([A, f"{A}/v1"], f"{A} is named twice"),
        ([A, "b:2"], "http:// or https://"),
        ([A, 7], "must be text"),
    ],
)
def test_wrong_services(given, said):
    """They are refused before anything is sent."""
    with pytest.raises(ConfigError, match=said):
        FoundryAPIClient(services=given)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "nowhere"}, "http:// or https://"),
        ({"url": A, "weight": 0}, "weight must be a number above 0"),
        ({"url": A, "weight": float("nan")}, "weight"),
        ({"url": A, "model": " "}, "model"),
        ({"url": A, "api_key": "a b"}, "api_key must be printable"),
    ],
)
def test_a_wrong_spec(fields, said):
    """Each value is checked, and a key is not shown."""
    with pytest.raises(ConfigError, match=said) as caught:
        ServiceSpec(**fields)
    assert "a b" not in str(caught.value)


def test_a_spec_hides_its_key():
    """Nobody reads it in a log."""
    assert "secret" not in repr(ServiceSpec(A, api_key="secret"))
    assert repr(services_of([A])[0]) == f"ServiceSpec(url='{A}', weight=1.0, model=None)"


def test_a_client_shows_all_its_services(two):
    """Also before one has answered; a key is not among them."""
    one, other = two
    with FoundryAPIClient(services=[ServiceSpec(one.url, api_key="secret"), other.url], model="m") as client:
        assert repr(client) == f"FoundryAPIClient(services=[{one.url!r}, {other.url!r}], model='m')"


def test_a_comma_in_a_path(two):
    """It parts no addresses: only a comma before another http:// does."""
    one, other = two
    with FoundryAPIClient(f"{one.url}/v1,beta , {other.url}") as client:
        assert [each.url for each in client.targets()] == [f"{one.url}/v1,beta", other.url]
    with FoundryAPIClient(f"{one.url}/v1,beta") as client:
        assert client.url == f"{one.url}/v1,beta"
    for wrong in (f"{one.url},", f"{one.url},nowhere", ",", f",{one.url}"):
        with pytest.raises(ConfigError):
            FoundryAPIClient(wrong)


def test_one_or_the_other():
    """An address beside services, or a preference without them, is a mistake that is told."""
    with pytest.raises(ConfigError, match="not both"):
        FoundryAPIClient(A, services=[B])
    with pytest.raises(ConfigError, match="goes with several services"):
        FoundryAPIClient(A, prefer="first")
    with pytest.raises(ConfigError, match="'least' or 'first'"):
        FoundryAPIClient(services=[A, B], prefer="second")


def test_the_environment_names_them(monkeypatch, two):
    """Commas are between the addresses; what is wrong with one is told with the variable's name."""
    one, other = two
    monkeypatch.setenv("FOUNDRY_ENDPOINT", f"{one.url}, {other.url}/v1")
    with FoundryAPIClient(model=DEMO_MODEL) as client:
        assert [each.url for each in client.targets()] == [one.url, other.url]
        assert client.complete("Hi").url in {one.url, other.url}
    monkeypatch.setenv("FOUNDRY_ENDPOINT", f"{one.url},nowhere")
    with pytest.raises(ConfigError, match="FOUNDRY_ENDPOINT"):
        FoundryAPIClient()


@pytest.mark.parametrize(
    "way",
    [copy.copy, copy.deepcopy, lambda client: pickle.loads(pickle.dumps(client)), lambda c: c.with_options()],
)
def test_copies_and_views(two, way):
    """They have the same services, weights and preference."""
    one, other = two
    with FoundryAPIClient(services=[ServiceSpec(one.url, weight=3), other.url], model=DEMO_MODEL) as client:
        made = way(client)
        assert [(each.url, each.weight) for each in made.targets()] == [(one.url, 3.0), (other.url, 1.0)]
        assert made.complete("Hi").content == "Hello there"
        made.close()


# ---------------------------------------------------------------- which one is asked


class Loaded:
    """A candidate with a load."""

    def __init__(self, load):
        self.load = load


def test_the_choice():
    """The first is taken where that is wished; else one with the least to do, at random among equals."""
    busy, idle, other = Loaded(2.0), Loaded(0.5), Loaded(0.5)
    seen = []

    def pick(equals):
        seen.append(equals)
        return equals[-1]

    assert choose([busy, idle], "first") is busy
    assert choose([busy, idle], "least") is idle
    assert choose([busy], "least") is busy
    assert choose([busy, idle, other], "least", pick) is other
    assert seen == [[idle, other]]


def test_equals_are_asked_in_turn_by_chance(two):
    """Equal services get a part of the calls each."""
    one, other = two
    with FoundryAPIClient(services=[one.url, other.url], model=DEMO_MODEL) as client:
        answered = Counter(client.complete("Hi").url for _ in range(60))
    assert min(answered[one.url], answered[other.url]) > 5


def test_open_streams_are_work(two):
    """A service with a stream under way is passed over for an idle one; a heavier one bears more."""
    one, other = two
    specs = [ServiceSpec(one.url, weight=1), ServiceSpec(other.url, weight=4)]
    with FoundryAPIClient(services=specs, model=DEMO_MODEL) as client:
        streams = [client.stream_complete("Hi") for _ in range(10)]
        assert {each.url: each.in_use for each in client.targets()} == {one.url: 2, other.url: 8}
        assert Counter(stream.url for stream in streams) == {one.url: 2, other.url: 8}
        for stream in streams:
            stream.close()
        assert sum(each.in_use for each in client.targets()) == 0
        assert client.stats().slots.in_use == 0


def test_generations_are_mixed():
    """Each service is asked in its own dialect, for its own model."""
    with FaultServer() as new, FaultServer(service=LegacyService()) as old:
        with FoundryAPIClient(old.url) as client:
            model = client.models.cached()[0].id
        with FoundryAPIClient(
            services=[new.url, ServiceSpec(old.url, model=model)], model="demo", prefer="first"
        ) as client:
            assert client.complete("Hi").url == new.url
            new.stop()
            assert client.complete("Hi").url == old.url
            assert client.stream_complete("Hi").gather().url == old.url
            assert {each.generation for each in client.targets()} == {"2.x", "0.x"}


def test_models_stay_with_the_first(two):
    """What is loaded is loaded there, and the responses that are stored are there."""
    one, other = two
    with FoundryAPIClient(services=[one.url, other.url], model="demo") as client:
        client.models.unload("demo")
        assert one.loaded == ()
        assert other.loaded != ()
        client.models.load("demo")
        assert one.loaded == other.loaded
        assert client.openai_settings()["base_url"] == f"{one.url}/v1"


def test_other_endpoints_go_on_elsewhere(two):
    """Not only chat: any request that may be repeated is answered by another service."""
    one, other = two
    with FoundryAPIClient(services=[one.url, other.url], prefer="first", model="demo") as client:
        assert client.request("GET", "/v1/models").url == one.url
        one.stop()
        assert client.request("GET", "/v1/models").url == other.url


# ---------------------------------------------------------------- what is told


def test_health_of_all(two):
    """It is that of the first that answers, with those of all that do, and the addresses of the others."""
    one, other = two
    with dead_address() as gone, FoundryAPIClient(services=[gone, one.url, other.url]) as client:
        report, state = client.health_check(), client.health.state()

        assert report.url == one.url
        assert [each.url for each in report.services] == [one.url, other.url]
        assert report.unreachable == (gone,)
        assert client.health.is_alive()
        assert (state.status, state.url) == ("ready", one.url)
        assert [each.status for each in state.services] == ["offline", "ready", "ready"]


def test_health_of_none():
    """The first one's failure is raised, and tells of the others; the state is a state."""
    with dead_address() as one, dead_address() as two, FoundryAPIClient(services=[one, two]) as client:
        with pytest.raises(FoundryError) as caught:
            client.health_check()
        assert caught.value.url == one
        assert f"{two}: connection refused" in str(caught.value)
        assert not client.health.is_alive()
        assert client.health.state().status == "offline"


def test_targets(two):
    """Each has its circuit and why it is open; a client of one service tells of that one."""
    one, other = two
    policy = BreakerPolicy(failures=1, reset_after=30)
    with FoundryAPIClient(
        services=[one.url, ServiceSpec(other.url, model="own")], prefer="first", model="demo", breaker=policy
    ) as client:
        one.stop()
        with pytest.raises(FoundryError):
            client.complete("Hi", retries=0)
        first, second = client.targets()

        assert (first.circuit, second.circuit) == ("open", "closed")
        assert 0 < first.retry_in <= 30
        assert "connection refused" in first.reason
        assert (first.model, second.model) == ("demo", "own")
    with FoundryAPIClient(other.url, model="demo") as single:
        assert [(each.url, each.answered_last) for each in single.targets()] == [(other.url, True)]
    with FoundryAPIClient(model="demo") as unknown:
        assert unknown.targets() == ()


# ---------------------------------------------------------------- batch and cache


def test_a_batch_goes_on(two):
    """Each request of a batch is answered, also when a service dies in the middle."""
    one, other = two
    with FoundryAPIClient(services=[one.url, other.url], model="demo") as client:
        results = client.batch([f"Say {number}" for number in range(30)], max_concurrency=4)
        first = next(results)
        one.stop()
        assert [result.error for result in (first, *results)] == [None] * 30


def test_a_cache_knows_each_service(two, tmp_path):
    """An answer is kept for the service that gave it, and is found there again without a request."""
    one, other = two
    with FoundryAPIClient(
        services=[one.url, other.url], model="demo", prefer="first", cache=str(tmp_path / "answers.sqlite")
    ) as client:
        first, again = (client.complete("Hi", temperature=0) for _ in range(2))
        assert (first.cached, again.cached) == (False, True)
        assert len(one.asked(CHAT)) == 1
        one.stop()
        client.complete("Ho", temperature=0)
        assert len(other.asked(CHAT)) == 1
