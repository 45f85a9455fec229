"""Models by any of their names, on this machine and on another, by today's rule and the announced one."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    ModelNotFound,
    UnsupportedByService,
)
from foundry_rest.testing import (
    FaultServer,
    json_answer,
    model_list,
    model_not_found,
    unavailable,
)

SNAPSHOT = (Path(__file__).parents[1] / "samples" / "json_native_snapshot.json").read_bytes()
#: Alias -> id, as the service resolves it.
CATALOG = {"tool-chat": "tool-chat-generic-cpu:2", "phi-4": "phi-4-generic-cpu:1"}
ALL = ["tool-chat-generic-cpu:1", "tool-chat-generic-cpu:2", "tool-chat-cuda-gpu:1", "phi-4-generic-cpu:1"]
LISTED = model_list(ALL)


@pytest.fixture
def folder(tmp_path):
    """A model directory: a catalog file, and two models on disk."""
    (tmp_path / "foundry.modelinfo.json").write_bytes(SNAPSHOT)
    for id_ in CATALOG.values():
        place = tmp_path / "Local" / id_.replace(":", "-")
        place.mkdir(parents=True)
        (place / "inference_model.json").write_text(f'{{"Name":"{id_}"}}')
    return tmp_path


@pytest.fixture
def here(folder):
    """Serve from this machine: the model directory is here. Nothing is loaded."""
    with FaultServer(CATALOG, loaded=[], model_cache_path=str(folder)) as server:
        yield server.on("GET", "/v1/models", LISTED)


@pytest.fixture
def there():
    """Serve as from another machine: the model directory is not here. Nothing is loaded."""
    with FaultServer(CATALOG, loaded=[]) as server:
        yield server


@pytest.fixture
def models_of():
    """Return the models endpoint of a new client of a server; all clients are closed at the end."""
    clients: list[FoundryAPIClient] = []

    def make(server, **options):
        clients.append(FoundryAPIClient(server.url, retries=0, **options))
        return clients[-1].models

    yield make
    for client in clients:
        client.close()


def paths(server, start: str) -> list[str]:
    """Return the paths asked for below ``start``."""
    return [request.path for request in server.requests if request.path.startswith(start)]


def test_the_catalog_on_this_machine(here, models_of):
    """Each model comes with what the service's files tell of it."""
    here.loaded = ["phi-4"]
    found = {info.id: info for info in models_of(here).catalog()}

    assert list(found) == ALL
    assert [(info.cached, info.loaded) for info in found.values()] == [
        (False, False),
        (True, False),
        (False, False),
        (True, True),
    ]
    assert (found["phi-4-generic-cpu:1"].alias, found["phi-4-generic-cpu:1"].context_length) == (
        "phi-4",
        16384,
    )


def test_cached_models(here, there, models_of):
    """The list of what is on disk needs the service's disk."""
    assert [info.id for info in models_of(here).cached()] == ALL[1::2]
    with pytest.raises(UnsupportedByService, match="not on this machine") as caught:
        models_of(there).cached()
    assert (caught.value.feature, caught.value.generation) == ("cached models", "2.x")


def test_loaded_models(here, there, models_of):
    """What is in memory is listed with all that is known of it."""
    assert models_of(here).loaded() == []
    here.loaded = there.loaded = ["phi-4"]

    assert [(info.id, info.alias, info.loaded) for info in models_of(here).loaded()] == [
        ("phi-4-generic-cpu:1", "phi-4", True)
    ]
    assert [(info.id, info.loaded) for info in models_of(there).loaded()] == [("phi-4-generic-cpu:1", True)]


@pytest.mark.parametrize(
    "name",
    ["tool-chat", "Tool-Chat", "tool-chat-generic-cpu", "tool-chat-generic-cpu:2", "TOOL-chat-generic-cpu:2"],
)
def test_resolve(here, models_of, name):
    """Alias, id, id without version, any case: the variant on disk, though a GPU's is listed."""
    assert models_of(here).resolve(name).id == "tool-chat-generic-cpu:2"


def test_the_id_of_a_name(here, models_of):
    """An alias and an id stand for the same exact id; a name that the service does not know is refused."""
    models = models_of(here)

    assert models.id_of("tool-chat") == models.id_of("tool-chat-generic-cpu:2") == "tool-chat-generic-cpu:2"
    with pytest.raises(ModelNotFound):
        models.id_of("zzz")


def test_the_id_of_a_name_that_the_server_itself_reads(there, models_of):
    """A server that accepts other names than it lists decides about the name."""
    assert models_of(there, dialect="openai").id_of("zzz") == "zzz"


def test_resolve_an_exact_id(here, models_of):
    """An exact id is that one, on disk or not."""
    assert models_of(here).resolve("tool-chat-cuda-gpu:1").id == "tool-chat-cuda-gpu:1"


def test_an_unknown_name(here, models_of):
    """The error offers what comes near."""
    with pytest.raises(ModelNotFound, match=r"Did you mean phi-4\b") as caught:
        models_of(here).resolve("phi4")

    assert caught.value.suggestions[0] == "phi-4"
    with pytest.raises(ModelNotFound, match="It serves phi-4, tool-chat"):
        models_of(here).resolve("zzz")


@pytest.mark.parametrize(
    "name", ["tool-chat", "TOOL-CHAT", "tool-chat-generic-cpu:2", "tool-chat-generic-cpu"]
)
def test_load_on_this_machine(here, models_of, name):
    """2.2.1 loads by alias alone: every name becomes it."""
    info = models_of(here).load(name)

    assert (info.id, info.loaded) == ("tool-chat-generic-cpu:2", True)
    assert here.loaded == ("tool-chat-generic-cpu:2",)
    assert paths(here, "/models/load/") == ["/models/load/tool-chat"]


def test_load_by_the_announced_rule(here, models_of):
    """A service that loads by id alone is served as well: the swap is made on its 404."""
    here.on("GET", "/models/load/*", model_not_found("x"))
    here.on("GET", "/models/load/tool-chat-generic-cpu:2", json_answer({"status": "loaded"}))
    models = models_of(here)
    info = models.load("tool-chat-generic-cpu:2")

    assert info.id == "tool-chat-generic-cpu:2"
    assert paths(here, "/models/load/") == ["/models/load/tool-chat", "/models/load/tool-chat-generic-cpu:2"]


def test_load_unknown(here, there, models_of):
    """No spelling fits: the service's no, the name as it was given, and near misses."""
    with pytest.raises(ModelNotFound, match=r"model 'phi4'.*Did you mean phi-4\?") as caught:
        models_of(here).load("phi4")

    assert caught.value.model == "phi4"
    with pytest.raises(ModelNotFound, match="takes a model's alias here, which may be 'phi-4'"):
        models_of(there).load("phi-4-generic-cpu:1")
    there.on("GET", "/v1/models", unavailable())
    with pytest.raises(ModelNotFound, match="List the names"):
        models_of(there).load("phi4")


def test_load_of_another_variant(here, models_of):
    """When the service picks another variant than was thought, what it loaded counts."""
    models = models_of(here)
    assert models.resolve("tool-chat").id == "tool-chat-generic-cpu:2"
    here.on("GET", "/models/loaded", json_answer([]), json_answer(["tool-chat-cuda-gpu:1"]))

    assert models.load("tool-chat").id == "tool-chat-cuda-gpu:1"


def test_unload(here, there, models_of):
    """By any name here, by alias elsewhere; what is not loaded stays so."""
    here.loaded = there.loaded = ["tool-chat"]
    models_of(here).unload("tool-chat-generic-cpu:2")
    models_of(there).unload("tool-chat")
    models_of(there).unload("tool-chat")

    assert here.loaded == there.loaded == ()


@pytest.mark.parametrize("content", [None, b"", SNAPSHOT[:1000], b"<html>", b'{"models":[{}]}'])
def test_a_catalog_file_that_cannot_be_read(here, folder, models_of, content):
    """Missing, empty or cut, it is never needed: the folders still tell what is cached."""
    if content is None:
        (folder / "foundry.modelinfo.json").unlink()
    else:
        (folder / "foundry.modelinfo.json").write_bytes(content)
    models = models_of(here)

    assert models.load("phi-4").id == "phi-4-generic-cpu:1"
    assert [info.id for info in models.cached()] == ALL[1::2]


@pytest.mark.parametrize("name", ["own-generic-cpu:1", "OWN-generic-cpu:1", "own-generic-cpu"])
@pytest.mark.parametrize("do", ["load", "unload"])
def test_a_model_known_by_its_name_alone(there, models_of, name, do):
    """2.0 lists a model of one's own by id, without an alias, and takes the name without version alone."""
    there.on("GET", "/v1/models", json_answer({"data": [{"id": "own-generic-cpu:1"}]}))
    there.on("GET", "/models/loaded", json_answer(["own-generic-cpu:1"]))
    there.on("GET", f"/models/{do}/*", model_not_found("x"))
    there.on("GET", f"/models/{do}/own-generic-cpu", json_answer({"status": f"{do}ed"}))

    getattr(models_of(there), do)(name)
    assert paths(there, f"/models/{do}/")[-1] == f"/models/{do}/own-generic-cpu"
