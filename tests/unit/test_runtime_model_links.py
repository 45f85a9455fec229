"""The cache holds links and no copies, of the kind that ONNX Runtime can follow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.platforms import links

from foundry_rest.errors import ConfigError
from foundry_rest.runtime import model_links
from foundry_rest.runtime.model_folders import read_folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model directory with external data in a subdirectory."""
    path = tmp_path / "phi"
    (path / "cpu").mkdir(parents=True)
    config = {"model": {"decoder": {"filename": "cpu/model.onnx"}}}
    (path / "genai_config.json").write_text(json.dumps(config), "utf-8")
    (path / "inference_model.json").write_text("another runtime's", "utf-8")
    (path / "cpu" / "model.onnx").write_bytes(b"graph")
    (path / "cpu" / "model.onnx.data").write_bytes(b"weights")
    return path


def refuse(*_: object) -> None:
    """Refuse a link as Windows does without the privilege."""
    raise OSError(1314, "A required privilege is not held by the client")


@links
def test_layout(model, tmp_path):
    """Real directories, linked files, and a mark of our own with the model's id."""
    target = model_links.link_model(read_folder(model), tmp_path / "cache")

    assert target == tmp_path / "cache" / "Local" / "phi-generic-cpu"
    assert not (target / "cpu").is_symlink()
    assert (target / "cpu" / "model.onnx").readlink() == model / "cpu" / "model.onnx"
    mark = json.loads((target / "inference_model.json").read_text("utf-8"))
    assert mark == {"Name": "phi-generic-cpu:1", "PromptTemplate": None}
    assert (model / "inference_model.json").read_text("utf-8") == "another runtime's"


@links
def test_snapshot_of_a_hub(model, tmp_path):
    """Files that are links into one directory are linked symbolically, to where they really lie."""
    (tmp_path / "blobs").mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (model / "cpu" / name).rename(tmp_path / "blobs" / f"sha-{name}")
        (model / "cpu" / name).symlink_to(tmp_path / "blobs" / f"sha-{name}")
    target = model_links.link_model(read_folder(model), tmp_path / "cache")

    assert (target / "cpu" / "model.onnx").readlink() == tmp_path / "blobs" / "sha-model.onnx"


@links
def test_scattered_weights(model, tmp_path):
    """Weights in another directory than the model need hard links: ONNX Runtime refuses to follow there."""
    data = model / "cpu" / "model.onnx.data"
    data.rename(tmp_path / "big.data")
    data.symlink_to(tmp_path / "big.data")
    target = model_links.link_model(read_folder(model), tmp_path / "cache")

    assert not (target / "cpu" / "model.onnx.data").is_symlink()
    assert (target / "cpu" / "model.onnx.data").samefile(tmp_path / "big.data")


@links
def test_texts_may_lie_anywhere(model, tmp_path):
    """A configuration in another directory does no harm: it is read by its name."""
    config = model / "genai_config.json"
    config.rename(tmp_path / "shared.json")
    config.symlink_to(tmp_path / "shared.json")
    target = model_links.link_model(read_folder(model), tmp_path / "cache")

    assert (target / "cpu" / "model.onnx").is_symlink()


@pytest.mark.parametrize("symlink_to", [refuse, lambda *_: None], ids=["refused", "nothing made"])
def test_hard_links_where_no_others_are_allowed(model, tmp_path, monkeypatch, symlink_to):
    """Where symbolic links are refused, or promised and not made, hard links stand in."""
    monkeypatch.setattr(Path, "symlink_to", symlink_to)
    target = model_links.link_model(read_folder(model), tmp_path / "cache")

    assert (target / "cpu" / "model.onnx").samefile(model / "cpu" / "model.onnx")


def test_no_kind_of_link(model, tmp_path, monkeypatch):
    """Where nothing works nothing is copied: the error names both refusals and what helps."""
    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(ConfigError, match=r"symbolic links: A required .* hard links: .* cache_dir="):
        model_links.link_model(read_folder(model), tmp_path / "cache")
    assert not (tmp_path / "cache" / "Local" / "phi-generic-cpu").exists()
