"""`models.remove`: one model's own folder goes, and never anything else."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from support.model_folders import put_catalog, put_model
from support.platforms import ports, posix

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, ModelInUse, ModelNotFound, UnsupportedByService
from foundry_rest.models import removal
from foundry_rest.models.disk import SNAPSHOT
from foundry_rest.models.folders import delete, obstacle
from foundry_rest.models.removal import is_named, runs_here
from foundry_rest.schema import ModelInfo
from foundry_rest.testing import FaultServer, LegacyService, json_error

CATALOG = {"phi": "phi-generic-cpu:1", "phi-big": "phi-big-generic-cpu:1", "absent": "absent-generic-cpu:1"}
ID = CATALOG["phi"]
#: What looks up whose a port is.
PIDS_AT = removal.pids_at


@pytest.fixture(autouse=True)
def _seen(monkeypatch):
    """Every port is seen to be this process's, also where the system does not tell."""
    monkeypatch.setattr(removal, "pids_at", lambda url: {os.getpid()})


@pytest.fixture
def directory(tmp_path):
    """A model directory with two models, a file of the catalog, and something beside it."""
    made = tmp_path / "models"
    put_model(made / "Microsoft" / "phi-generic-cpu-1", ID)
    put_model(made / "Microsoft" / "phi-big-generic-cpu-1", CATALOG["phi-big"])
    put_catalog(made, CATALOG)
    (tmp_path / "beside").write_text("mine", "utf-8")
    return made


@pytest.fixture
def server(directory):
    """A 2.x of this process that serves them, the first in memory."""
    with FaultServer(
        CATALOG, loaded=["phi"], model_cache_path=str(directory), pid=os.getpid(), not_cached=["absent"]
    ) as running:
        yield running


@pytest.fixture
def models(server):
    """Manage its models."""
    with FoundryAPIClient(server.url, retries=0) as client:
        yield client.models


def tree(directory: Path) -> set[str]:
    """Return all that lies below the directory's parent."""
    parent = directory.parent
    return {str(path.relative_to(parent)) for path in parent.rglob("*")}


@pytest.fixture
def untouched(directory, server):
    """Check at the end that nothing was deleted and nothing unloaded."""
    before = tree(directory)
    yield
    assert tree(directory) == before
    assert server.loaded == (ID,)


@pytest.mark.parametrize("name", ["phi", "PHI", ID, ID.upper(), "phi-generic-cpu"])
def test_removed(models, server, directory, name):
    """The model is unloaded, its folder goes with all in it, and all else stays as it is."""
    before = tree(directory)
    info = models.remove(name)

    assert (info.id, info.cached, info.loaded) == (ID, False, False)
    assert server.loaded == ()
    gone = before - tree(directory)
    assert {Path(path).parts[2] for path in gone} == {"phi-generic-cpu-1"}
    assert len(gone) == 4
    assert [info.id for info in models.cached()] == [CATALOG["phi-big"]]


def test_what_is_not_on_disk(models, untouched):
    """There is nothing to do; so it is the second time."""
    assert models.remove("absent").cached is False


def test_twice(models):
    """The second time there is nothing to do."""
    models.remove("phi")

    assert models.remove("phi").cached is False


def test_an_unknown_name(models, untouched):
    """It removes nothing, and near names are told."""
    with pytest.raises(ModelNotFound, match="Did you mean phi"):
        models.remove("phy")


@pytest.mark.parametrize("name", ["phi-generic-cpu:2", "phi-generic-cpu:", "ph", "phi-generic"])
def test_a_near_name_means_no_model(models, untouched, name):
    """Another version, or a part of a name, is another name."""
    with pytest.raises(ModelNotFound):
        models.remove(name)


def test_a_version_counts():
    """A service without versions takes any for its model; what is deleted has to be the very one."""
    bare = ModelInfo(id="phi", alias="p")

    assert bare.has_name("phi:2")
    assert not is_named(bare, "phi:2")
    assert is_named(bare, "Phi")
    assert is_named(bare, "P")


def test_several_variants(directory):
    """An alias of two on the disk removes neither; an id does."""
    put_model(directory / "Microsoft" / "phi-cuda-gpu-1", "phi-cuda-gpu:1")
    two = {"phi": ID, "other": "phi-cuda-gpu:1"}
    entries = [{"id": id_, "alias": "phi"} for id_ in two.values()]
    (directory / SNAPSHOT).write_text(json.dumps({"models": entries}), "utf-8")
    with (
        FaultServer(two, loaded=[], model_cache_path=str(directory), pid=os.getpid()) as server,
        FoundryAPIClient(server.url) as client,
    ):
        before = tree(directory)
        with pytest.raises(ConfigError, match=f"several models.*{ID}, phi-cuda-gpu:1.*Give the id of one"):
            client.models.remove("phi")
        assert tree(directory) == before
        client.models.remove("phi-cuda-gpu:1")
        assert (directory / "Microsoft" / "phi-generic-cpu-1").is_dir()
        assert not (directory / "Microsoft" / "phi-cuda-gpu-1").exists()


def test_two_folders_of_one_model(models, directory, server):
    """Which one is the model's own cannot be seen, so neither goes."""
    put_model(directory / "copy", ID)
    before = tree(directory)
    with pytest.raises(ConfigError, match="several folders"):
        models.remove("phi")

    assert tree(directory) == before
    assert server.loaded == (ID,)


def test_in_use(models, server, untouched):
    """A model that the service keeps in memory for a request stays on the disk."""
    busy = json_error(500, "Unload failed: cannot unload model 'x': 1 session(s) still using it")
    server.on("GET", "/models/unload/*", busy)
    with pytest.raises(ModelInUse):
        models.remove("phi")


def test_a_learned_name_is_forgotten(models):
    """What was removed is not taken for loaded or on disk by any of its names."""
    models.load("phi")
    models.remove(ID)

    assert models._context.names.get("phi") is None
    assert models._context.names.get(ID) is None


# ---------------------------------------------------------------- where the service is


def test_a_directory_elsewhere(tmp_path):
    """A service whose model directory is not here is not helped; the advice says where to go."""
    with (
        FaultServer(CATALOG, model_cache_path=str(tmp_path / "no"), pid=os.getpid()) as server,
        FoundryAPIClient(server.url) as client,
        pytest.raises(UnsupportedByService, match="foundry cache remove") as caught,
    ):
        client.models.remove("phi")

    assert (caught.value.feature, caught.value.url) == ("removal of a model", server.url)


def test_another_process(directory):
    """A forwarded port leads to a service elsewhere, whose directory may have the name of one here."""
    before = tree(directory)
    for pid in (1, os.getpid() + 1):
        with (
            FaultServer(CATALOG, loaded=[], model_cache_path=str(directory), pid=pid) as server,
            FoundryAPIClient(server.url) as client,
            pytest.raises(UnsupportedByService),
        ):
            client.models.remove("phi")
    assert tree(directory) == before


@ports
def test_who_listens(server, monkeypatch):
    """A service that tells no process is believed where one listens that is no forwarder."""
    monkeypatch.setattr(removal, "pids_at", PIDS_AT)
    assert runs_here(server.url, None)
    assert runs_here(server.url, os.getpid())
    assert not runs_here("http://127.0.0.1:9", None)
    monkeypatch.setattr(removal, "_FORWARDERS", frozenset((psutil.Process().name().removesuffix(".exe"),)))
    assert not runs_here(server.url, None)

    def hidden(url):
        raise psutil.AccessDenied

    monkeypatch.setattr(removal, "pids_at", hidden)
    assert not runs_here(server.url, os.getpid())


@ports
def test_0x(tmp_path):
    """The disk of a 0.x on this machine allows it, too."""
    id_ = "Phi-4-mini-instruct-generic-cpu:5"
    put_model(tmp_path / "Microsoft" / "Phi-4-mini-instruct-generic-cpu-5" / "v5", id_)
    service = LegacyService(cached=[id_], model_dir=str(tmp_path), loaded=[id_])
    with FaultServer(service=service) as server, FoundryAPIClient(server.url) as client:
        client.models.remove("phi-4-mini")

    assert service.loaded == ()
    assert list(tmp_path.iterdir()) == []


@ports
def test_0x_without_a_folder(tmp_path):
    """A model whose folder does not say its id is left to the service's own command."""
    service = LegacyService(cached=["Phi-4-mini-instruct-generic-cpu:5"], model_dir=str(tmp_path))
    put_model(tmp_path / "somewhere", "Phi-4-mini-instruct-generic-cpu")
    with (
        FaultServer(service=service) as server,
        FoundryAPIClient(server.url) as client,
        pytest.raises(UnsupportedByService, match=r"no folder in.*foundry cache remove"),
    ):
        client.models.remove("phi-4-mini")

    assert (tmp_path / "somewhere" / "model.onnx.data").exists()


def test_the_embedded_runtime_forgets(models, directory):
    """It is told once the folder is gone, by the exact id."""
    told = []

    def forget(id_, options):
        told.append((id_, (directory / "Microsoft" / "phi-generic-cpu-1").exists()))

    models._context.forget = forget
    models.remove("phi")
    models.remove("absent")

    assert told == [(ID, False)]


# ---------------------------------------------------------------- the folder


@posix
def test_a_linked_folder(models, directory, tmp_path, untouched):
    """A folder that only a link leads to lies elsewhere: neither it nor the link goes."""
    own = directory / "Microsoft" / "phi-generic-cpu-1"
    shutil.move(own, tmp_path / "elsewhere")
    own.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(ConfigError, match="leads over a link"):
        models.remove("phi")

    assert (tmp_path / "elsewhere" / "model.onnx.data").exists()
    own.unlink()
    shutil.move(tmp_path / "elsewhere", own)


@posix
def test_a_linked_parent(tmp_path, directory):
    """The same holds for a link anywhere on the way."""
    (tmp_path / "outside").mkdir()
    model = put_model(tmp_path / "outside" / "model", "a:1")
    (directory / "Linked").symlink_to(tmp_path / "outside", target_is_directory=True)

    assert "over a link" in obstacle(directory / "Linked" / "model", directory)
    assert model.exists()


@posix
def test_a_linked_directory(tmp_path, directory):
    """The model directory itself may be a link: what lies in it is the service's own."""
    (tmp_path / "link").symlink_to(directory, target_is_directory=True)

    assert obstacle(tmp_path / "link" / "Microsoft" / "phi-generic-cpu-1", tmp_path / "link") == ""


@posix
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_model_of_links(models, directory, tmp_path, untouched, link):
    """A model of --model-dir is a folder of links to the user's files: it stays, and so do they."""
    data = directory / "Microsoft" / "phi-generic-cpu-1" / "model.onnx.data"
    own = tmp_path / "beside"
    data.unlink()
    getattr(data, link)(own)
    with pytest.raises(ConfigError, match="--model-dir"):
        models.remove("phi")

    assert own.read_text("utf-8") == "mine"


@posix
def test_of_another_user(models, directory, untouched, monkeypatch):
    """What another user owns stays."""
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        models.remove("phi")


def test_a_junction(directory, monkeypatch):
    """On Windows a folder may stand for one elsewhere: it is a link as any other, and is not looked into."""
    folder = directory / "Microsoft" / "phi-generic-cpu-1"
    inside = folder / "elsewhere"
    inside.mkdir()
    real = Path.lstat

    def lstat(path):
        status = real(path)
        if path != inside:
            return status
        facts = {name: getattr(status, name) for name in ("st_mode", "st_uid", "st_nlink")}
        return SimpleNamespace(**facts, st_reparse_tag=0xA0000003)

    monkeypatch.setattr(Path, "lstat", lstat)
    assert "is a link" in obstacle(folder, directory)


def test_a_mounted_file_system(directory, monkeypatch):
    """What is mounted within the folder is not the model's."""
    folder = directory / "Microsoft" / "phi-generic-cpu-1"
    (folder / "elsewhere").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "elsewhere")

    assert "another file system" in obstacle(folder, directory)


def test_a_model_within_a_model(directory):
    """A folder that holds another model's is not deleted."""
    inner = put_model(directory / "Microsoft" / "phi-generic-cpu-1" / "adapters", "adapter:1")

    assert "another model lies in it" in obstacle(inner.parent, directory)
    assert obstacle(inner, directory) == ""


@pytest.mark.parametrize("place", [".", "..", "../beside", "../models"])
def test_outside(directory, place):
    """The model directory itself, what is above it and what is beside it are no model's folders."""
    assert "does not lie inside" in obstacle(directory / place, directory)


def test_a_name_that_begins_with_dots(directory):
    """Only ``..`` itself leads out."""
    folder = put_model(directory / "..model", "dots:1")

    assert obstacle(folder, directory) == ""


def test_what_cannot_be_looked_into(directory):
    """A folder that is not there, or is hidden, is not deleted."""
    assert "cannot be looked into" in obstacle(directory / "nowhere", directory)


def test_a_deletion_that_fails(models, directory, monkeypatch):
    """What the system says is told; what is left is no model any more, so nobody takes it for whole."""

    def refuse(path, *args, **more):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(ConfigError, match=r"not deleted, or not as a whole.*Permission denied.*by hand"):
        models.remove("phi")

    assert (directory / "Microsoft" / "phi-generic-cpu-1" / "model.onnx.data").exists()
    assert ID not in [info.id for info in models.cached()]


def test_what_becomes_empty(tmp_path):
    """Folders that held nothing but the model go with it, the model directory stays."""
    folder = put_model(tmp_path / "models" / "Publisher" / "m-1" / "v1", "m:1")
    delete(folder, tmp_path / "models")

    assert list(tmp_path.iterdir()) == [tmp_path / "models"]
    assert list((tmp_path / "models").iterdir()) == []


def test_removed_by_two(models, directory):
    """Of two threads that remove one model, none harms anything else."""
    before = tree(directory)

    def remove():
        with suppress(ConfigError, UnsupportedByService):  # the other one was faster
            models.remove("phi")

    threads = [threading.Thread(target=remove) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {Path(path).parts[2] for path in before - tree(directory)} == {"phi-generic-cpu-1"}
