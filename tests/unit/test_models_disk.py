"""What a service's own files tell, when it is on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foundry_rest.models.disk import SNAPSHOT, cached_ids, local_folder, read_snapshot_file

HERE = "http://127.0.0.1:5273"


def put(folder, name: object = "m:1", *more: str) -> None:
    """Make a model's folder, with further files."""
    folder.mkdir(parents=True)
    content = name if isinstance(name, bytes) else json.dumps({"Name": name, "PromptTemplate": None}).encode()
    (folder / "inference_model.json").write_bytes(content)
    for file in more:
        (folder / file).touch()


@pytest.mark.parametrize(
    ("url", "here"), [(HERE, True), ("http://localhost:1", True), ("http://10.0.0.9:1", False), ("", False)]
)
def test_only_this_machines_files_are_read(tmp_path, url, here):
    """A path that a service elsewhere names means nothing here."""
    assert local_folder(str(tmp_path), url) == (tmp_path if here else None)


@pytest.mark.parametrize("path", ["", "/no/such/directory", "bad\0path"])
def test_a_folder_that_is_not_here(path):
    """A service in a container or behind a forwarded port names a folder that is not here."""
    assert local_folder(path, HERE) is None


def test_a_file_is_no_folder(tmp_path):
    """A model directory is a directory."""
    (tmp_path / "x").touch()

    assert local_folder(str(tmp_path / "x"), HERE) is None


def test_the_catalog_file(tmp_path):
    """It is read whole; a missing one, or a folder in its place, is empty."""
    assert read_snapshot_file(tmp_path) == b""
    (tmp_path / SNAPSHOT).write_bytes(b"{}")
    assert read_snapshot_file(tmp_path) == b"{}"
    (tmp_path / "other" / SNAPSHOT).mkdir(parents=True)
    assert read_snapshot_file(tmp_path / "other") == b""


def test_cached_models(tmp_path):
    """A marked folder is a model, at any of the usual depths; anything else is not."""
    put(tmp_path / "a", "a:1")
    put(tmp_path / "Microsoft" / "b-1", "b:1")
    put(tmp_path / "Microsoft" / "b" / "v2", "b:2")
    put(tmp_path / "1" / "2" / "3" / "4" / "5", "deep:1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()

    assert cached_ids(tmp_path) == {"a:1", "b:1", "b:2"}


@pytest.mark.parametrize("mark", [b"", b"{", b'{"Name":7}', b"[]", b"\xff", b'{"Name":"\xff"}', b"[" * 10**5])
def test_a_broken_mark(tmp_path, mark):
    """One folder that cannot be read hides no other."""
    put(tmp_path / "bad", mark)
    put(tmp_path / "good", "good:1")

    assert cached_ids(tmp_path) == {"good:1"}


def test_a_half_downloaded_model_is_not_cached(tmp_path):
    """The mark is written early; ``download.tmp`` lies beside it until the model is whole."""
    put(tmp_path / "half", "half:1", "download.tmp")

    assert cached_ids(tmp_path) == set()


def test_a_folder_without_permission(tmp_path, monkeypatch):
    """What cannot be looked into is left out, and hides nothing else."""
    put(tmp_path / "closed", "closed:1")
    put(tmp_path / "open", "open:1")
    real = os.scandir

    def scandir(place):
        if Path(place).name == "closed":
            raise PermissionError(place)
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)

    assert cached_ids(tmp_path) == {"open:1"}


def test_a_missing_folder():
    """A folder that is gone holds nothing."""
    assert cached_ids(Path("/no/such/directory")) == set()
