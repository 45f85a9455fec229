"""Downloads over REST: every step is told, and what fails or breaks off is an error."""

from __future__ import annotations

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    ServiceError,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.schema import DownloadStep
from foundry_rest.testing import FaultServer

CPU = "Phi-4-mini-instruct-generic-cpu:5"


def test_download(legacy_models, legacy):
    """Each step is told; the model is on the disk afterwards, and is not fetched again."""
    steps: list[DownloadStep] = []

    info = legacy_models.download("qwen2.5-0.5b", progress=steps.append)
    assert info.cached
    assert info.id in legacy.cached
    assert steps[-1] == DownloadStep(fraction=1.0, done=True)
    assert [step.done for step in steps].count(True) == 1
    assert len(steps) > 2

    steps.clear()
    assert legacy_models.download("qwen2.5-0.5b", progress=steps.append) == info
    assert steps == [DownloadStep(fraction=1.0, done=True)]


def test_a_download_that_breaks_off(legacy_models, legacy):
    """It is no success: the error says that it can go on."""
    legacy.download_stop = 2
    with pytest.raises(StreamInterrupted):
        legacy_models.download("qwen2.5-0.5b")
    assert len(legacy.cached) == 1


def test_a_download_that_fails(legacy_models, legacy):
    """The service's own word is in the error."""
    legacy.download_error = "disk full"
    with pytest.raises(ServiceError, match="disk full"):
        legacy_models.download("qwen2.5-0.5b")


def test_a_progress_that_raises(legacy_models, legacy):
    """The caller's own exception ends the download and is the caller's."""
    with pytest.raises(ZeroDivisionError):
        legacy_models.download("qwen2.5-0.5b", progress=lambda step: 1 / 0)


def test_no_download_where_there_is_no_route():
    """2.x from another client: the error tells the way out."""
    with (
        FaultServer() as server,
        FoundryAPIClient(server.url) as client,
        pytest.raises(UnsupportedByService, match="foundry model download"),
    ):
        client.models.download("demo")


SPELLINGS = [
    "demo-generic-cpu:1",
    "demo-generic-cpu",
    "DEMO-generic-cpu:1",
    "Demo-Generic-CPU",
    "demo-GENERIC-cpu:1",
]


@pytest.mark.parametrize("dialect", ["2.x", "auto"])
@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("embedded", [False, True])
def test_download_of_a_model_that_is_there(name, dialect, embedded):
    """It succeeds where the model is there, in any spelling, also where nothing can be downloaded."""
    steps = []
    with FaultServer() as server, FoundryAPIClient(server.url, dialect=dialect) as client:
        if embedded:
            client._context.fetch = lambda name, progress, options: progress(DownloadStep(done=True))
        found = client.models.download(name, progress=steps.append)

    assert found.id == "demo-generic-cpu:1"
    assert steps[-1].done
