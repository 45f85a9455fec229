"""`ensure_loaded`: a model on disk and in memory by one call, on every generation, each phase told."""

from __future__ import annotations

import pytest
from support.model_folders import put_catalog, put_model

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    ConfigError,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ServiceUnreachable,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.schema import DownloadStep
from foundry_rest.testing import FaultServer, json_error

CATALOG = {"phi-4": "phi-4-generic-cpu:1", "absent": "absent-generic-cpu:1"}
ABSENT = "qwen2.5-0.5b"


@pytest.fixture
def steps():
    """What was told."""
    return []


@pytest.fixture
def there():
    """Manage the models of a 2.x elsewhere, which downloads nothing: one on disk, one not, none in memory."""
    with (
        FaultServer(CATALOG, loaded=[], not_cached=["absent"]) as server,
        FoundryAPIClient(server.url, dialect="2.x", retries=0) as client,
    ):
        yield client.models, server


def phases(steps) -> list[str]:
    """Return the phases that were told, each once."""
    return list(dict.fromkeys(step.phase for step in steps))


def test_all_phases(legacy_models, legacy, steps):
    """A model that is nowhere is downloaded, then loaded; each phase is told in order, the end once."""
    info = legacy_models.ensure_loaded(ABSENT, download=True, progress=steps.append)

    assert (info.loaded, info.cached) == (True, True)
    assert info.id in legacy.cached
    assert [each.id for each in legacy_models.loaded()] == [info.id]
    assert phases(steps) == ["download", "load", "ready"]
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    fractions = [step.percent for step in steps if step.phase == "download" and not step.file]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 100


@pytest.mark.parametrize("download", [True, False])
def test_a_phase_without_need_is_left_out(legacy_models, steps, download):
    """What is on disk is only loaded; what is in memory is only ready."""
    first = legacy_models.ensure_loaded("phi-4-mini", download=download, progress=steps.append)
    assert phases(steps) == ["load", "ready"]

    steps.clear()
    assert legacy_models.ensure_loaded("phi-4-mini", download=download, progress=steps.append).id == first.id
    assert steps == [DownloadStep(phase="ready", fraction=1.0, done=True)]


def test_nothing_is_downloaded_unasked(legacy_models, legacy, steps):
    """Without ``download`` a model that is not on disk is the error that it was."""
    with pytest.raises(ModelNotCached, match="Download it first"):
        legacy_models.ensure_loaded(ABSENT, progress=steps.append)

    assert phases(steps) == ["load"]
    assert len(legacy.cached) == 1


def test_what_is_on_disk_elsewhere(there, steps):
    """Where nothing can be downloaded and no file is at hand, the load shows that it need not be."""
    models, server = there

    assert models.ensure_loaded("phi-4", download=True, progress=steps.append).id == "phi-4-generic-cpu:1"
    assert server.loaded == ("phi-4-generic-cpu:1",)
    assert phases(steps) == ["load", "ready"]


def test_what_cannot_be_downloaded(there, steps):
    """The error says who can download it; what the service itself said is its cause."""
    models, _ = there
    with pytest.raises(UnsupportedByService, match="foundry model download") as caught:
        models.ensure_loaded("absent", download=True, progress=steps.append)

    assert isinstance(caught.value.__cause__, ModelNotCached)
    assert (caught.value.model, caught.value.call) == ("absent", "models.download")
    assert "ready" not in phases(steps)


@pytest.mark.parametrize("download", [True, False])
def test_an_unknown_model(legacy_models, there, download):
    """It is the error of a load, with what there is, on every generation."""
    for models in (legacy_models, there[0]):
        with pytest.raises(ModelNotFound):
            models.ensure_loaded("nobody", download=download)


@pytest.mark.parametrize("download", [True, False])
def test_a_device(legacy_models, download):
    """A variant for the device is chosen, as by ``load``; one that there is not is an error."""
    assert legacy_models.ensure_loaded(ABSENT, download=True, device="cpu").device == "CPU"
    with pytest.raises(ModelNotFound, match="for NPU"):
        legacy_models.ensure_loaded(ABSENT, download=download, device="NPU")


@pytest.mark.parametrize(
    "bad", [{"device": "XPU"}, {"download": "yes"}, {"progress": "bar"}, {"progress": 1}, {"timeout": -1}]
)
def test_bad_arguments(there, bad):
    """They are refused before anything is sent."""
    models, server = there
    with pytest.raises(ConfigError):
        models.ensure_loaded("phi-4", **bad)

    assert server.requests == []


def test_a_download_that_breaks_off(legacy_models, legacy, steps):
    """Nothing is loaded and nothing is ready; the next call goes on to the end."""
    legacy.download_stop = 2
    with pytest.raises(StreamInterrupted):
        legacy_models.ensure_loaded(ABSENT, download=True, progress=steps.append)
    assert phases(steps) == ["download"]
    assert legacy_models.loaded() == []

    legacy.download_stop = None
    assert legacy_models.ensure_loaded(ABSENT, download=True).loaded


def test_a_load_that_fails(there, steps):
    """It is the error, and the end is not told."""
    models, server = there
    server.on("GET", "/models/load/*", json_error(500, "Load failed: no memory"))
    with pytest.raises(LoadFailed):
        models.ensure_loaded("phi-4", download=True, progress=steps.append)

    assert phases(steps) == ["load"]


@pytest.mark.parametrize("phase", ["download", "load"])
def test_a_service_that_goes(legacy_models, legacy_server, phase):
    """One that ends in the middle is the error of that phase; nothing is ready."""
    told = []

    def end(step: DownloadStep) -> None:
        told.append(step.phase)
        if step.phase == phase:
            legacy_server.close()

    with pytest.raises((StreamInterrupted, ServiceUnreachable)):
        legacy_models.ensure_loaded(ABSENT, download=True, progress=end)
    assert told[-1] == phase


def test_a_listener_that_raises(legacy_models):
    """The caller's own exception is the caller's, in every phase."""

    def complain(step: DownloadStep) -> None:
        if step.phase == "load":
            raise LookupError("enough")

    with pytest.raises(LookupError):
        legacy_models.ensure_loaded(ABSENT, download=True, progress=complain)


def test_the_embedded_runtime(steps, tmp_path):
    """It fetches the exact variant that the service lists, once; what it tells at its end is no end yet."""
    fetched = []
    put_catalog(tmp_path, CATALOG)

    def fetch(name, progress, options):
        fetched.append(name)
        put_model(tmp_path / "absent-1", name)
        progress(DownloadStep(fraction=1.0))
        progress(DownloadStep(fraction=1.0, done=True))

    with (
        FaultServer(CATALOG, loaded=[], model_cache_path=str(tmp_path)) as server,
        FoundryAPIClient(server.url, retries=0) as client,
    ):
        client._context.fetch = fetch
        info = client.models.ensure_loaded("absent", download=True, progress=steps.append)
        client.models.unload("absent")
        client.models.ensure_loaded("absent-generic-cpu", download=True)

    assert (info.id, fetched) == ("absent-generic-cpu:1", ["absent-generic-cpu:1"])
    assert [(step.phase, step.done) for step in steps] == [
        ("download", False),
        ("load", False),
        ("ready", True),
    ]
