"""One story on every generation: find the service, look around, ask, lose the model, ask again, clean up.

2.x (2.2.1, 2.1.0 and 2.0.1) and 1.x are the real runtimes with the demo model; 0.x, of which there is no
binary here, is the fake that Microsoft's own client 0.5.1 takes for the real one (test_legacy_client.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from foundry_rest import (
    FoundryAPIClient,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    UnsupportedByService,
    clock,
)
from foundry_rest.events import CureStarted
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.services.discovery.registry_file import Entry, write
from foundry_rest.testing import FaultServer, LegacyService

pytestmark = pytest.mark.runtime
PROMPT, ANSWER = "Say OK", "OK"


@dataclass(frozen=True)
class Generation:
    """A service of one generation, to be found, with one model on its disk and none in memory.

    ``absent`` is in the catalog and not on the disk, ``near`` a misspelt alias.
    """

    name: str
    url: str
    alias: str
    id: str
    absent: str
    near: str


@pytest.fixture
def native(own_runtime: LocalRuntime) -> Generation:
    """2.2.1, told by the registry file that ``foundry-rest serve`` writes."""
    write(Entry(url=own_runtime.url, pid=own_runtime.pid, started=clock.now()))
    return Generation("2.x", own_runtime.url, "demo-chat", "demo-chat-generic-cpu:1", "", "demo-chap")


def _older(start_core, version: str) -> Generation:
    """Return an older 2.x, told by the same file; its catalog is the one that 1.x asks, too."""
    runtime = start_core(f"foundry-local-sdk=={version}")
    write(Entry(url=runtime.url, pid=runtime.process.pid, started=clock.now()))
    return Generation("2.x", runtime.url, "demo-chat", "demo-chat-generic-cpu:1", "phantom", "demo-chap")


@pytest.fixture
def native_2_1(start_core) -> Generation:
    """2.1.0."""
    return _older(start_core, "2.1.0")


@pytest.fixture
def native_2_0(start_core) -> Generation:
    """2.0.1."""
    return _older(start_core, "2.0.1")


@pytest.fixture
def core_models() -> list[dict[str, object]]:
    """The models of the older services: the demo model, and one that is not on the disk."""
    demo = {"alias": "demo-chat", "task": "chat-completion", "path": str(demo_model_dir())}
    return [
        {**demo, "name": "demo-chat-generic-cpu", "version": 1},
        {**demo, "name": "phantom-generic-cpu", "version": 1, "alias": "phantom", "path": None},
    ]


@pytest.fixture
def core(own_core_runtime, fake_foundry) -> Generation:
    """1.2.4, told by the command of the preview, whose daemon is a 1.x."""
    fake_foundry(cli="0.10", url=own_core_runtime.url, running=True, noise="Starting ...\n")
    return Generation(
        "1.x", own_core_runtime.url, "demo-chat", "demo-chat-generic-cpu:1", "phantom", "demo-chap"
    )


@pytest.fixture
def legacy(fake_foundry: Callable[..., object], tmp_path: Path) -> Iterator[Generation]:
    """0.8, told by its command."""
    cached = ["Phi-4-mini-instruct-generic-cpu:5"]
    service = LegacyService(cached=cached, reply=ANSWER, model_dir=str(tmp_path))
    with FaultServer(service=service) as server:
        fake_foundry(url=server.url)
        yield Generation("0.x", server.url, "phi-4-mini", cached[0], "qwen2.5-0.5b", "phi-4-mimi")


FIXTURES = {
    "2.2.1": "native",
    "2.1.0": "native_2_1",
    "2.0.1": "native_2_0",
    "1.2.4": "core",
    "0.x": "legacy",
}


@pytest.fixture(params=FIXTURES)
def there(request: pytest.FixtureRequest) -> Generation:
    """Each version in turn."""
    return request.getfixturevalue(FIXTURES[request.param])


@pytest.fixture
def cures() -> list[str]:
    """The cures that were begun."""
    return []


@pytest.fixture
def client(there: Generation, cures: list[str]) -> Iterator[FoundryAPIClient]:
    """A client that has to find the service by itself."""

    def note(event: object) -> None:
        if isinstance(event, CureStarted):
            cures.append(event.cure)

    with FoundryAPIClient(model=there.alias, observers=[note]) as made:
        yield made


def spellings(there: Generation) -> list[str]:
    """Return every way to write the model's name."""
    name = there.id.partition(":")[0]
    return [there.alias, there.alias.upper(), name, name.swapcase(), there.id, there.id.upper()]


def test_the_story(there, client, cures, within):
    """The same calls mean the same on every generation."""
    report = client.health_check()
    assert (report.generation, report.url, report.loaded_models) == (there.name, there.url, ())
    assert report.status == "ok"

    (info,) = [each for each in client.models.catalog() if each.cached]
    assert (info.id, info.alias, info.device, info.task) == (there.id, there.alias, "CPU", "chat-completion")
    assert (info.loaded, info.version) == (False, there.id.partition(":")[2])
    assert client.models.cached() == [info]
    assert client.models.resolve(there.alias).id == there.id

    reply = client.complete(PROMPT, temperature=0)  # not loaded: healed
    assert (reply.content, reply.finish_reason, cures[-1]) == (ANSWER, "stop", "load")
    assert cures.count("load") == 1

    assert [each.id for each in client.models.loaded()] == [there.id]
    assert client.models.load(there.id).loaded  # again, by the other name: stays as it is
    assert client.models.ensure_loaded(there.alias).id == there.id
    report = client.health_check()
    assert report.loaded_models == (there.id,)
    assert (report.memory_usage or 0) > 0

    with client.chat.stream(PROMPT, temperature=0) as stream:
        assert "".join(chunk.content for chunk in stream) == ANSWER
    assert stream.finish_reason == "stop"

    assert within(2, lambda: _unloads(client, there.alias))
    assert client.models.loaded() == []
    client.models.unload(there.id)  # again: stays as it is


def _unloads(client: FoundryAPIClient, name: str) -> bool:
    client.models.unload(name)
    return True


@pytest.mark.parametrize("ask", ["complete", "stream"])
def test_a_model_that_was_unloaded_behind_our_back(there, client, cures, ask, within):
    """It is loaded again and the call succeeds; one event says so."""
    client.complete(PROMPT, temperature=0)
    with FoundryAPIClient(there.url) as another:
        assert within(2, lambda: _unloads(another, there.id))
    cures.clear()

    if ask == "complete":
        text = client.complete(PROMPT, temperature=0).content
    else:
        text = client.chat.stream(PROMPT, temperature=0).gather().content

    assert (text, cures) == (ANSWER, ["load"])


def test_every_spelling_leads_to_the_model(there):
    """Alias, name, and id, in any case: for resolving, loading, asking and unloading."""
    for name in spellings(there):
        with FoundryAPIClient(there.url) as client:
            assert client.models.resolve(name).id == there.id, name
            assert client.complete(PROMPT, model=name, temperature=0).content == ANSWER, name
    for name in spellings(there):
        with FoundryAPIClient(there.url) as client:
            assert client.models.load(name).id == there.id, name


def test_a_model_on_the_disk_is_there(there):
    """Downloading it succeeds by every name and fetches nothing; so does what brings it into memory."""
    for name in spellings(there):
        with FoundryAPIClient(there.url) as client:
            steps = []
            assert client.models.download(name, progress=steps.append).id == there.id, name
            assert [(step.done, step.percent) for step in steps] == [(True, 100)], name
    for name in spellings(there):
        with FoundryAPIClient(there.url) as client:
            client.models.unload(there.id)
            steps = []
            info = client.models.ensure_loaded(name, download=True, progress=steps.append)
            assert (info.id, [step.phase for step in steps]) == (there.id, ["load", "ready"]), name
            again = client.models.ensure_loaded(name, download=True, device="cpu", progress=steps.append)
            assert (again.id, [step.phase for step in steps[2:]]) == (there.id, ["ready"]), name


# Of 2.2.1 the embedded runtime's own catalog holds only what is on the disk.
@pytest.mark.parametrize("there", ["2.1.0", "2.0.1", "1.2.4"], indirect=True)
def test_a_model_that_must_be_downloaded_elsewhere(there, client):
    """The error of `ensure_loaded` and of `download` says who can; what is not asked for is the old error."""
    for attempt in (client.models.download, lambda name: client.models.ensure_loaded(name, download=True)):
        with pytest.raises(UnsupportedByService, match=r"foundry model download.*embedded"):
            attempt(there.absent)
    with pytest.raises(ModelNotCached):
        client.models.ensure_loaded(there.absent)


def test_an_unknown_name_lists_near_misses(there, client):
    """Nothing guesses: the error names what comes near."""
    for attempt in (
        client.models.resolve,
        client.models.load,
        lambda name: client.complete("Hi", model=name),
    ):
        with pytest.raises(ModelNotFound) as caught:
            attempt(there.near)
        assert there.alias in caught.value.suggestions
        assert there.alias in str(caught.value)


# Of 2.2.1 the embedded runtime's own catalog holds only what is on the disk.
@pytest.mark.parametrize("there", ["2.1.0", "2.0.1", "1.2.4", "0.x"], indirect=True)
def test_a_model_that_is_not_on_the_disk(there, client):
    """The catalog has it, the disk has not: the error says what to do."""
    with pytest.raises(ModelNotCached, match="Download it first"):
        client.models.load(there.absent)
    with pytest.raises(ModelNotCached):
        client.complete("Hi", model=there.absent)


def test_nothing_is_loaded_unasked(there, client):
    """With ``auto_load=False`` the refusal is the answer, whatever name was given."""
    with FoundryAPIClient(there.url, auto_load=False) as modest:
        for name in (there.alias, there.id):
            with pytest.raises(ModelNotLoaded):
                modest.complete(PROMPT, model=name)
    assert client.models.loaded() == []


def test_an_alias_needs_no_loading_to_be_understood(there, client):
    """A model that is in memory answers to its alias although nothing may be loaded."""
    client.models.load(there.id)
    with FoundryAPIClient(there.url, auto_load=False) as modest:
        assert modest.complete(PROMPT, model=there.alias, temperature=0).content == ANSWER


def test_tokens_are_counted(there, client):
    """They are as many as an answer reports, and the model is loaded for it, as for every call."""
    counted = client.chat.count_tokens(PROMPT)
    assert there.id in [model.id for model in client.models.loaded()]
    reported = client.complete(PROMPT, max_tokens=5).usage.prompt_tokens
    assert counted == reported if there.name != "0.x" else counted > 0


def test_nothing_is_unloaded_under_a_running_answer(there, client):
    """The service survives, the answer comes whole; 2.x refuses, the others are asked after its end."""
    client.models.load(there.alias)
    stream = client.chat.stream("Write a story about AI", temperature=0)
    next(stream)
    refusals: list[LoadFailed] = []

    def unload() -> None:
        try:
            client.models.unload(there.alias)
        except LoadFailed as error:
            refusals.append(error)

    going = threading.Thread(target=unload, daemon=True)
    going.start()

    assert stream.gather().finish_reason == "stop"
    going.join(30)
    assert not going.is_alive()
    assert not refusals or there.name == "2.x"
    assert client.health.is_alive()
