"""Build a model cache that holds links to the user's files and no copy of them.

The runtime looks for models in real directories only (it enters no linked one), so the directories
are ours and the files are links. ONNX Runtime then opens a model's external data, and refuses data
that "escapes the model directory": it compares the *resolved* paths. Measured with 2.2.1
(ONNX Runtime 1.31):

- symbolic links work where model and data really lie in one directory: an ordinary folder, and a
  Hugging Face snapshot, whose files are all links into one ``blobs``;
- hard links always work, but only within one file system, and only to the user's own files.

Therefore symbolic links are tried first, unless the weights really lie in several directories; then hard
links.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePath

from foundry_rest.errors import ConfigError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.runtime.model_folders import MARK_FILE, ModelFolder

#: The publisher of every entry in our catalog, and so the first directory of the cache.
PUBLISHER = "Local"
#: Files that are read by name and may be links to anywhere.
_TEXT = frozenset({".json", ".jinja", ".txt", ".md", ".model", ".py"})

_Link = Callable[[Path, Path], None]


def link_model(folder: ModelFolder, cache: Path) -> Path:
    """Make ``<cache>/Local/<name>`` with links to the model's files; return it.

    Raises:
        ConfigError: This file system takes no kind of link to that model.
    """
    target = cache / PUBLISHER / folder.name
    refused = []
    for kind, link in _kinds(folder):
        try:
            _link_files(folder, target, link)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            refused.append(f"{kind}: {error.strerror or error}")
        else:
            return target
    raise ConfigError(
        f"the files of {folder.path} cannot be linked into {cache} ({'; '.join(refused)})",
        advice=Advice(
            Words(
                "Give a cache_dir= on the model's own file system, or copy its files into one folder.",
                "Copy the model's files into one folder.",
            )
        ),
    )


def _kinds(folder: ModelFolder) -> list[tuple[str, _Link]]:
    hard: tuple[str, _Link] = ("hard links", _hard_link)
    return [hard] if _is_scattered(folder) else [("symbolic links", _symbolic_link), hard]


def _is_scattered(folder: ModelFolder) -> bool:
    # For each directory alone: a model in a subdirectory has its data beside it.
    real: dict[PurePath, set[Path]] = {}
    for file in folder.files:
        if file.suffix not in _TEXT:
            directory = (folder.path / file).resolve().parent
            real.setdefault(file.parent, set()).add(directory)
    return any(len(directories) > 1 for directories in real.values())


def _link_files(folder: ModelFolder, target: Path, link: _Link) -> None:
    for file in folder.files:
        path = target / file
        path.parent.mkdir(parents=True, exist_ok=True)
        link((folder.path / file).resolve(), path)
    mark = {"Name": folder.model.id, "PromptTemplate": None}
    (target / MARK_FILE).write_text(json.dumps(mark), "utf-8")


def _symbolic_link(source: Path, path: Path) -> None:
    path.symlink_to(source)
    if not path.exists():  # as under Wine, which says yes and makes nothing
        raise OSError("a link leads nowhere")


def _hard_link(source: Path, path: Path) -> None:
    os.link(source, path)
