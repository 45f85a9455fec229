"""ClientSpec: what a client is made of, and what becomes of it in views, copies and subclasses."""

from __future__ import annotations

import copy
import pickle

import pytest

from foundry_rest import BreakerPolicy, Config, FoundryAPIClient, RetryPolicy, ServiceSpec, Timeouts
from foundry_rest.cache import ResponseCache
from foundry_rest.client.arguments import ClientArguments
from foundry_rest.client.spec import _NAMES, ClientSpec
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import ConfigError
from foundry_rest.testing import DEMO_MODEL
from foundry_rest.transport.call import Options


class Labelled(FoundryAPIClient):
    """A subclass with an attribute and arguments of its own."""

    def __init__(self, label, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.label = label


COPIES = {
    "with_options": lambda client: client.with_options(retries=0),
    "pickle": lambda client: pickle.loads(pickle.dumps(client)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
def test_a_subclass_keeps_its_attributes(server, way):
    """A view or a copy is of the same class, has what the subclass added, and answers."""
    with Labelled("mine", server.url, model=DEMO_MODEL) as client:
        _ = client.embeddings, client.responses
        other = way(client)

        assert (type(other), other.label) == (Labelled, "mine")
        assert other.complete("Hi").content == "Hello there"
        assert other.responses._context is other._context is not client._context
        other.close()


def test_a_copy_is_not_closed_with_its_original(server):
    """Only a view shares what is closed."""
    client = Labelled("mine", server.url, model=DEMO_MODEL)
    other = copy.deepcopy(client)
    client.close()
    with other:
        assert other.complete("Hi").content == "Hello there"


def test_a_spec_does_not_change():
    """It is a value: equal when made alike, and nothing in it can be set."""
    one, two = (ClientSpec.of("http://h", {"model": "m", "retries": 1}) for _ in range(2))

    assert one == two
    with pytest.raises(AttributeError):
        one.policy = RetryPolicy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retries", -1),
        ("retries", True),
        ("timeout", "5"),
        ("breaker", 5),
        ("auto_load", "no"),
        ("auto_start", 1),
        ("max_concurrency", 0),
        ("dialect", "grpc"),
        ("deadline", 0),
    ],
)
def test_bad_arguments(name, value):
    """What means nothing is refused by its name before anything is made."""
    with pytest.raises(ConfigError, match=name.replace("breaker", "breaker must be BreakerPolicy")):
        FoundryAPIClient("http://h", **{name: value})


def test_an_unknown_argument():
    """A misspelt name is no setting; the near one is named."""
    with pytest.raises(ConfigError, match=r"no argument 'modle'.* Did you mean model\?") as caught:
        FoundryAPIClient("http://h", modle="m")
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Config(timeouts=5),
        lambda: Config(auto_load="no"),
        lambda: Config(max_concurrency=1.5),
        lambda: RetryPolicy(retries=True),
        lambda: RetryPolicy(base=True),
        lambda: RetryPolicy(longest=float("nan")),
        lambda: BreakerPolicy(failures=True),
    ],
)
def test_settings_of_a_wrong_type(make):
    """A value of another type is refused, also where Python would take it for a number."""
    with pytest.raises(ConfigError, match="must be"):
        make()


def test_every_argument_reaches_an_embedded_client(server, monkeypatch, tmp_path):
    """A client that starts its runtime takes every argument that a client takes."""

    class Runtime:
        """Stand for the native runtime."""

        models, url = (), server.url

        def __init__(self, model_dirs):
            """Take the folders."""

        def start(self):
            """Run."""
            return self

        def revive(self):
            """Run on."""
            return self.url

        def close(self):
            """End."""

    given = {
        "model": DEMO_MODEL,
        "api_key": "k",
        "timeout": 5,
        "deadline": 9,
        "retries": 1,
        "breaker": BreakerPolicy(failures=2),
        "breaker_state": None,
        "max_concurrency": 3,
        "auto_load": False,
        "auto_start": False,
        "observers": [print],
        "log_bodies": True,
        "headers": {"X-Team": "a"},
        "auth": None,
        "session": None,
        "dialect": "2.x",
        "cache": ResponseCache(tmp_path / "answers.sqlite"),
        "config": Config(),
        "services": [ServiceSpec("http://127.0.0.1:1", weight=2)],
        "prefer": "first",
    }
    monkeypatch.setattr("foundry_rest.runtime.LocalRuntime", Runtime)
    with FoundryAPIClient.embedded(**given) as embedded:
        assert given.keys() == ClientArguments.__annotations__.keys()
        plain = ClientSpec.beside(server.url, given)
        same = [name for name in plain.__struct_fields__ if name != "dialect"]
        assert [getattr(embedded._spec, name) for name in same] == [getattr(plain, name) for name in same]
        assert isinstance(embedded._spec.dialect, Generation2Dialect)


def test_the_names_of_the_arguments():
    """What a spec knows without importing the types are the names that these have."""
    assert set(ClientArguments.__annotations__) == _NAMES


def test_a_number_as_timeout_is_silence_alone(server):
    """The client's other bounds stay, on a view as on a call; a whole set stands for itself."""
    base = Timeouts(connect=0.5, load=60)
    with FoundryAPIClient(server.url, timeout=base) as client:
        view = client.with_options(timeout=10)
        silent = Timeouts(connect=0.5, first_token=10.0, idle=10.0, load=60)

        assert view._spec.config.timeouts == silent
        assert client._context.options(timeout=10).timeouts == silent
        assert client._context.options(timeout=Timeouts(idle=1)).timeouts == Timeouts(idle=1)
        assert client._context.options().timeouts == base


def test_a_number_as_timeout_of_a_load():
    """It is the silence that is borne while a model is loaded, too."""
    options = Options(Timeouts(load=60).with_silence(7))

    assert options.loading(7).patient().timeouts == Timeouts(first_token=7.0, idle=7.0, load=7.0)
    assert options.loading(None) == options
