"""A model directory as services keep it: a catalog file, and a folder with files for each model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from foundry_rest.models.disk import SNAPSHOT


def put_catalog(directory: Path, models: Mapping[str, str], *, megabytes: int | None = None) -> None:
    """Write the catalog file: alias -> id, each of the same size."""
    entries = [
        {"id": id_, "alias": alias, "fileSizeMb": megabytes, "runtime": {"deviceType": "CPU"}}
        for alias, id_ in models.items()
    ]
    (directory / SNAPSHOT).write_text(json.dumps({"models": entries}), "utf-8")


def put_model(folder: Path, id_: str, *, unfinished: bool = False) -> Path:
    """Make a model's folder, perhaps one that is still being downloaded; return it."""
    folder.mkdir(parents=True)
    (folder / "inference_model.json").write_text(json.dumps({"Name": id_, "PromptTemplate": None}), "utf-8")
    (folder / "genai_config.json").write_text("{}", "utf-8")
    (folder / "model.onnx.data").write_bytes(b"weights")
    if unfinished:
        (folder / "download.tmp").touch()
    return folder
