"""`models.remove` on the real services of this machine: one model's folder goes, and the service lives on."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from foundry_rest import ConfigError, FoundryAPIClient, ModelNotFound, ServiceUnreachable
from foundry_rest.runtime import demo_model_dir

pytestmark = pytest.mark.runtime
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"


def own_files(cache: Path) -> None:
    """Put copies in the place of links: a model that the service itself has fetched is made of files."""
    for link in [path for path in cache.rglob("*") if path.is_symlink()]:
        target = link.resolve()
        link.unlink()
        shutil.copyfile(target, link)


@pytest.fixture(params=["1.2.4", "2.0.1", "2.1.0"])
def core(request, start_core):
    """An older service with models of its own on the disk."""
    started = start_core(f"foundry-local-sdk=={request.param}")
    own_files(started.directory / "cache")
    return started


@pytest.fixture
def core_models() -> list[dict[str, object]]:
    """Two models, of which one is to go."""
    path, task = str(demo_model_dir()), "chat-completion"
    names = (ALIAS, "other")
    return [
        {"name": f"{name}-generic-cpu", "alias": name, "version": 1, "task": task, "path": path}
        for name in names
    ]


@pytest.mark.parametrize("name", [ALIAS, ID])
def test_older_services(core, name):
    """A model in memory is unloaded and deleted; the other one answers as before."""
    cache = core.directory / "cache"
    with FoundryAPIClient(core.url) as client:
        client.models.ensure_loaded(name)
        assert client.models.remove(name).id == ID
        assert client.models.remove(name).cached is False
        assert client.models.loaded() == []
        assert [info.alias for info in client.models.cached()] == ["other"]
        assert client.complete("Say OK", model="other", temperature=0).content == "OK"
    assert not list(cache.rglob("demo-chat*"))


def test_a_model_of_the_users_own(own_runtime, own_client):
    """A directory that was given to the runtime is served by links, and stays; so does what is in memory."""
    own_client.models.load(ALIAS)
    with pytest.raises(ConfigError, match="--model-dir"):
        own_client.models.remove(ALIAS)

    assert own_client.complete("Say OK", temperature=0).content == "OK"
    assert (demo_model_dir() / "genai_config.json").is_file()
    with FoundryAPIClient.embedded([demo_model_dir()]) as client, pytest.raises(ConfigError):
        client.models.remove(ALIAS)


def test_an_unknown_name(own_client):
    """It deletes nothing, and tells the near ones."""
    with pytest.raises(ModelNotFound, match="Did you mean demo-chat"):
        own_client.models.remove("demo-chta")


def test_a_service_that_has_died(own_runtime, own_client):
    """Where nobody says which directory it is, nothing is deleted."""
    own_client.models.load(ALIAS)
    cache = Path(own_client.health_check().cache_path)
    own_files(cache)
    psutil.Process(own_runtime.pid).kill()
    with pytest.raises(ServiceUnreachable):
        own_client.models.remove(ALIAS)

    assert list(cache.rglob("inference_model.json"))


def test_the_command(command, own_runtime):
    """`models remove` deletes a model of the service's own; one of the user's is code 2."""
    refused = command("models", "remove", ALIAS, "--url", own_runtime.url)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--model-dir" in refused.stderr

    with FoundryAPIClient(own_runtime.url) as client:
        own_files(Path(client.health_check().cache_path))
        done = command("models", "remove", ALIAS, "--url", own_runtime.url)
        assert (done.returncode, done.stdout) == (0, f"{ID}\n"), done.stderr
        assert client.models.cached() == []
