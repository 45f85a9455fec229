"""A download is not begun where the disk has no room for the model."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
from support.model_folders import put_catalog, put_model
from support.platforms import posix

from foundry_rest import ConfigError, FoundryAPIClient, ModelInfo, ModelNotCached
from foundry_rest.models.disk import unfinished_size
from foundry_rest.models.room import amount, check_room, free_bytes
from foundry_rest.testing import FaultServer, LegacyService

ID = "phi-4-generic-cpu:1"
MODEL = ModelInfo(id=ID, size=2_000_000)


@pytest.fixture
def free(monkeypatch):
    """Return a function that says how many bytes are free; nothing is before."""

    def say(number):
        monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=number))

    say(0)
    return say


def test_too_little(free, tmp_path):
    """The error has what is needed, what is there, where, and what to do."""
    free(1_999_999)
    with pytest.raises(ConfigError) as caught:
        check_room(MODEL, tmp_path)

    said = str(caught.value)
    assert f"needs 2.0 MB, and 2.0 MB are free at {tmp_path}" in said
    assert "models.remove(name)" in said
    assert "foundry-rest models remove NAME" in caught.value.for_command()
    assert (caught.value.model, caught.value.call) == (ID, "models.download")


@pytest.mark.parametrize("number", [2_000_000, 10**12])
def test_enough(free, tmp_path, number):
    """As much as the model needs is enough."""
    free(number)
    check_room(MODEL, tmp_path)


def test_what_is_not_known(free, tmp_path, monkeypatch):
    """A size that nobody tells, a directory elsewhere and a disk that does not tell keep nobody from it."""
    check_room(ModelInfo(id=ID), tmp_path)
    check_room(MODEL, None)
    monkeypatch.undo()
    assert free_bytes(tmp_path / "nowhere") is None
    check_room(MODEL, tmp_path / "nowhere")


def test_what_has_come_already(free, tmp_path):
    """An unfinished download needs room for its rest only; no other model's counts."""
    half = put_model(tmp_path / "Microsoft" / "phi-4-generic-cpu-1", ID, unfinished=True)
    (half / "weights").write_bytes(b"x" * 1_500_000)
    other = put_model(tmp_path / "Microsoft" / "phi-4-mini-generic-cpu-1", "other:1", unfinished=True)
    (other / "weights").write_bytes(b"x" * 1_500_000)
    whole = put_model(tmp_path / "Elsewhere" / "phi-4-generic-cpu-1", ID)
    (whole / "weights").write_bytes(b"x" * 1_500_000)

    assert 1_500_000 <= unfinished_size(tmp_path, ID) < 1_600_000
    free(500_000)
    check_room(MODEL, tmp_path)
    free(300_000)
    with pytest.raises(ConfigError, match=r"needs 0\.5 MB"):
        check_room(MODEL, tmp_path)


@posix
def test_a_file_that_only_looks_long(tmp_path):
    """A download may make a file as long as it will be at once: what is still to come counts as needed."""
    half = put_model(tmp_path / "Microsoft" / "phi-4-generic-cpu-1", ID, unfinished=True)
    with (half / "weights").open("wb") as file:
        file.truncate(1_500_000)

    assert unfinished_size(tmp_path, ID) < 100_000


def test_a_service_that_downloads_over_rest(free, tmp_path):
    """0.x on this machine is not asked to download; elsewhere nobody knows better than the service."""
    for model_dir, fits in ((str(tmp_path), False), ("/no/such/directory", True)):
        service = LegacyService(cached=(), model_dir=model_dir)
        with FaultServer(service=service) as server, FoundryAPIClient(server.url) as client:
            for get in (
                client.models.download,
                lambda name: client.models.ensure_loaded(name, download=True),
            ):
                if fits:
                    assert get("qwen2.5-0.5b").cached
                else:
                    with pytest.raises(ConfigError, match="are free at"):
                        get("qwen2.5-0.5b")
            assert bool(server.asked("/openai/download")) == fits


def test_the_embedded_runtime(free, tmp_path):
    """It is not asked to fetch; with room it is, and what it then has not on its disk is no success."""
    put_catalog(tmp_path, {"phi-4": ID}, megabytes=2)
    fetched = []
    with (
        FaultServer({"phi-4": ID}, loaded=[], model_cache_path=str(tmp_path)) as server,
        FoundryAPIClient(server.url) as client,
    ):
        client._context.fetch = lambda name, progress, options: fetched.append(name)
        with pytest.raises(ConfigError, match=r"needs 2\.1 MB, and 0\.0 MB are free"):
            client.models.download("phi-4")
        assert fetched == []

        free(10**9)
        with pytest.raises(ModelNotCached, match="not on its disk"):
            client.models.download("phi-4")
        assert fetched == [ID]


def test_amounts():
    """Numbers are for people."""
    assert [amount(number) for number in (0, 999_999_999, 12_345_000_000)] == [
        "0.0 MB",
        "1,000.0 MB",
        "12.3 GB",
    ]
