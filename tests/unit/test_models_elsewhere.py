"""Models of a service on another machine: no file tells anything, so names are learnt by loading."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    BadRequest,
    ConfigError,
    DeadlineExceeded,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ServiceTimeout,
    UnsupportedByService,
)
from foundry_rest.testing import FaultServer, hold, json_answer, json_error, model_list, stall, unavailable

#: Alias -> id, as the service resolves it.
CATALOG = {"tool-chat": "tool-chat-generic-cpu:2", "phi-4": "phi-4-generic-cpu:1"}


@pytest.fixture
def there():
    """Serve as from another machine: the model directory is not here. Nothing is loaded."""
    with FaultServer(CATALOG, loaded=[]) as server:
        yield server


@pytest.fixture
def models(there):
    """Manage that server's models."""
    with FoundryAPIClient(there.url, retries=0) as client:
        yield client.models


def loads(server) -> int:
    """Count the requests to load a model."""
    return len(server.asked("/models/load/*"))


def test_the_catalog(there, models):
    """Ids and what is loaded are known; of the rest nobody tells whether it is on the disk."""
    there.loaded = ["phi-4"]
    found = models.list()

    assert [(info.id, info.loaded, info.cached, info.alias) for info in found] == [
        ("tool-chat-generic-cpu:2", False, None, ""),
        ("phi-4-generic-cpu:1", True, True, ""),
    ]


def test_an_alias_elsewhere_is_learnt_by_loading(there, models):
    """Another machine shows no aliases; loading one shows what it stands for."""
    with pytest.raises(ModelNotFound):
        models.resolve("phi-4")
    info = models.load("phi-4")

    assert (info.id, info.alias, info.loaded, info.cached) == ("phi-4-generic-cpu:1", "phi-4", True, True)
    assert models.resolve("phi-4").id == "phi-4-generic-cpu:1"
    assert models.loaded()[0].alias == "phi-4"


@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (json_error(400, "Model not cached: Model must be downloaded before loading"), ModelNotCached),
        (json_error(500, "Load failed: no memory"), LoadFailed),
        (json_error(400, "Invalid request"), BadRequest),
    ],
)
def test_load_refused(there, models, answer, cls):
    """The service's reason is the error, after one request."""
    there.on("GET", "/models/load/*", answer)
    with pytest.raises(cls):
        models.load("phi-4")

    assert loads(there) == 1


def test_an_alias_that_stays_unclear_is_not_learnt(there, models):
    """Two loaded models could be it: the name stays as given, to be asked for again."""
    there.on("GET", "/models/loaded", json_answer(["x:1", "y:1"]))

    assert models.load("phi-4").id == "phi-4"
    assert models._context.names.get("phi-4") is None


def test_unload_in_use(there, models):
    """A running answer keeps its model: a conflict, not repeated."""
    busy = json_error(500, "Unload failed: cannot unload model 'x': 1 session(s) still using it")
    there.on("GET", "/models/unload/*", busy)
    with pytest.raises(LoadFailed, match="still using it"):
        models.unload("phi-4")

    assert len(there.asked("/models/unload/*")) == 1


def test_ensure_loaded(there, models):
    """A model known to be in memory is not loaded again; one that was dropped is."""
    assert models.ensure_loaded("phi-4").id == models.ensure_loaded("phi-4").id == "phi-4-generic-cpu:1"
    assert loads(there) == 1

    there.loaded = []
    models.ensure_loaded("phi-4")
    assert loads(there) == 2


def test_download(there, models):
    """No route: the error tells what to do instead."""
    with pytest.raises(UnsupportedByService, match="Download with the command `foundry model") as caught:
        models.download("phi-4")

    assert caught.value.feature == "download over REST"


@pytest.mark.parametrize("method", ["resolve", "load", "unload", "ensure_loaded", "download"])
def test_a_bad_name_is_never_sent(there, models, method):
    """What is no name is refused before any I/O."""
    with pytest.raises(ConfigError, match="is no alias or id"):
        getattr(models, method)("phi 4")

    assert there.requests == []


def test_a_stranger_has_no_memory_to_manage():
    """An OpenAI-like server's list is its catalog; nothing more is known."""
    with FaultServer() as server:
        server.otherwise(unavailable()).on("GET", "/v1/models", model_list(["a", "b:2"]))
        models = FoundryAPIClient(server.url, retries=0, dialect="openai").models

        assert [(info.id, info.loaded, info.cached) for info in models.catalog()] == [
            ("a", False, None),
            ("b:2", False, None),
        ]
        assert models.resolve("B:2").id == "b:2"
        for call in (models.loaded, lambda: models.load("a"), lambda: models.unload("a")):
            with pytest.raises(UnsupportedByService):
                call()


def test_a_load_has_its_own_patience(there, models):
    """``timeout`` bounds this load; ``deadline`` the whole call, other requests included."""
    there.on("GET", "/models/load/*", stall())
    with pytest.raises(DeadlineExceeded):
        models.load("phi-4", deadline=0.05)
    models.loaded()
    with pytest.raises(ServiceTimeout):
        models.load("phi-4", timeout=0.03)


def test_many_threads_load_at_once(there, models):
    """Threads that load two models meanwhile each learn their own."""
    gate = threading.Event()
    arrived = threading.Barrier(8, action=gate.set)

    def load(name):
        arrived.wait()
        return models.load(name).id

    there.on("GET", "/models/load/*", lambda request: (hold(gate), there.healthy(request)))
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(load, ["phi-4", "tool-chat"] * 4))

    assert ids == ["phi-4-generic-cpu:1", "tool-chat-generic-cpu:2"] * 4
