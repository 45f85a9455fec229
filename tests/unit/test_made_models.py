"""The models that the tests bring along: what they are taken for, and how much room they take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foundry_rest.runtime.catalog import task_of
from foundry_rest.runtime.demo_model import demo_model_dir
from foundry_rest.runtime.model_folders import read_folder

MODELS = Path(__file__).parents[1] / "models"
#: An output of an ONNX graph with a name of 13 letters: field 12, its length, field 1, the name, field 2.
OUTPUT = b"weights\x62\x11\x0a\x0dhidden_states\x12\x00rest"


@pytest.mark.parametrize(
    ("folder", "task"),
    [
        (MODELS / "tiny-embeddings", "embeddings"),
        (MODELS / "tiny-whisper", "automatic-speech-recognition"),
        (demo_model_dir(), "chat-completion"),
    ],
)
def test_what_a_model_is_taken_for(folder, task):
    """A model as the builder makes it is known by its type, or by what its graph gives."""
    assert task_of(read_folder(folder)) == task


@pytest.mark.parametrize(
    ("content", "task"),
    [
        (OUTPUT, "embeddings"),
        (OUTPUT.replace(b"\x62\x11", b"\x62\x91\x01"), "embeddings"),
        (OUTPUT + b"\0" * 9 * 1024 * 1024, "chat-completion"),
        (OUTPUT.replace(b"\x62", b"\x6a"), "chat-completion"),
        (OUTPUT.replace(b"hidden_states", b"hidden_statez"), "chat-completion"),
        (b"", "chat-completion"),
    ],
    ids=["an output", "a long one", "before the weights", "something inside", "another name", "nothing"],
)
def test_a_graph_with_hidden_states(tmp_path, content, task):
    """An output of that name makes a model for embeddings; a name in the graph does not."""
    config = {"model": {"type": "qwen2", "decoder": {"filename": "model.onnx"}}}
    (tmp_path / "genai_config.json").write_text(json.dumps(config), "utf-8")
    (tmp_path / "model.onnx").write_bytes(content)

    assert task_of(read_folder(tmp_path)) == task


@pytest.mark.parametrize("decoder", [None, {"sliding_window": {}}])
def test_a_model_whose_graph_is_elsewhere(tmp_path, decoder):
    """A configuration without a decoder, or of one in several files, says nothing of embeddings."""
    (tmp_path / "genai_config.json").write_text(json.dumps({"model": {"decoder": decoder}}), "utf-8")

    assert task_of(read_folder(tmp_path)) == "chat-completion"


def test_they_are_small():
    """Together they stay below what a repository may carry: 3 MB."""
    assert 0 < sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 3_000_000
