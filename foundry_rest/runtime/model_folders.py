"""Read a directory as a model, and refuse what the runtime could not serve, before anything starts.

A model directory is whatever ONNX Runtime GenAI loads: ``genai_config.json`` and the files it names.
Nothing here writes.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from foundry_rest.errors import ConfigError

ModelDir: TypeAlias = "str | os.PathLike[str]"

#: The file that makes a directory a model.
CONFIG_FILE = "genai_config.json"
#: The runtime's own mark of a model in its cache; ours replaces one that exists already.
MARK_FILE = "inference_model.json"
#: The runtime takes a directory that holds this for a download which has not finished.
UNFINISHED = "download.tmp"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class LocalModel:
    """The names of a model that a runtime serves from a directory.

    Attributes:
        alias: What the 2.x service takes for load and unload; the directory's name.
        id: What it takes for inference, ``name:version``.
        path: The directory, absolute.
    """

    alias: str
    id: str
    path: Path


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model directory, read.

    Attributes:
        path: The directory, absolute; links in it are not resolved.
        alias: The directory's name in the letters that a URL path takes.
        config: The whole of ``genai_config.json``.
        files: Every file to serve, relative to ``path``, sorted.
    """

    path: Path
    alias: str
    config: dict[str, object]
    files: tuple[PurePath, ...]

    @property
    def name(self) -> str:
        """Return the catalog name; its suffix marks a CPU variant for the runtime."""
        return f"{self.alias}-generic-cpu"

    @property
    def model(self) -> LocalModel:
        """Return the names under which the model is served."""
        return LocalModel(self.alias, f"{self.name}:{_VERSION}", self.path)

    def section(self, name: str) -> dict[str, object]:
        """Return one section of the configuration; an empty one when it is missing."""
        value = self.config.get(name)
        return value if isinstance(value, dict) else {}


def read_folders(model_dirs: ModelDir | Iterable[ModelDir]) -> tuple[ModelFolder, ...]:
    """Read model directories, in the order given; one path counts as a list of one.

    Raises:
        ConfigError: A directory holds no model, or two would be served under one alias.
    """
    given = [model_dirs] if isinstance(model_dirs, (str, os.PathLike)) else _listed(model_dirs)
    folders = tuple(read_folder(path) for path in given)
    _check_aliases(folders)
    return folders


def read_folder(path: ModelDir) -> ModelFolder:
    """Read one model directory.

    Raises:
        ConfigError: It is not a directory, has no readable ``genai_config.json``, lacks a model file that
            this one names, or is a download that has not finished.
    """
    root = _absolute(path)
    config = _read_config(root)
    files = tuple(sorted(_files(root)))
    _check_files(root, config, files)
    return ModelFolder(root, alias_of(root.name), config, files)


def alias_of(name: str) -> str:
    """Return a directory's name in the characters ``[A-Za-z0-9._-]``; the service decodes no others.

    >>> alias_of("Qwen 2.5 für mich"), alias_of("模型")
    ('Qwen-2.5-fur-mich', 'model')
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or "model"


def _listed(model_dirs: Iterable[ModelDir]) -> list[ModelDir]:
    try:
        return list(model_dirs)
    except TypeError:
        raise ConfigError(f"model_dirs must be a list of directories, not {model_dirs!r}") from None


def _absolute(path: object) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ConfigError(f"model_dirs must hold paths of directories, not {path!r}")
    # Not resolve(): the alias is the name that the caller gave, even where that is a link.
    root = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100
    if not root.is_dir():
        what = "is a file, not a directory" if root.exists() else "does not exist"
        raise ConfigError(f"the model directory {root} {what}")
    return root


def _read_config(root: Path) -> dict[str, object]:
    file = root / CONFIG_FILE
    if not file.is_file():
        raise ConfigError(
            f"{root} is not a model directory: it has no {CONFIG_FILE}",
            advice="Give the directory in which that file lies; onnxruntime-genai's model builder makes one.",
        )
    try:
        config = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise ConfigError(f"{file} describes no model: its section 'model' is missing")
    return config


def _files(root: Path) -> Iterator[PurePath]:
    seen = {os.path.realpath(root)}
    for here, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if _is_new(Path(here, name), seen)]
        for name in names:
            file = Path(here, name)
            if name != MARK_FILE and file.is_file():
                yield file.relative_to(root)


def _is_new(folder: Path, seen: set[str]) -> bool:
    # Hidden directories are left by tools (.git, .cache); a link to a parent would be followed for ever.
    real = os.path.realpath(folder)
    is_new = not folder.name.startswith(".") and real not in seen
    seen.add(real)
    return is_new


def _check_files(root: Path, config: dict[str, object], files: tuple[PurePath, ...]) -> None:
    if any(file.name == UNFINISHED for file in files):
        raise ConfigError(f"{root} holds {UNFINISHED}: its download has not finished")
    existing, folded = set(files), {_folded(file) for file in files}
    for name in _named_files(config["model"]):
        path = PurePath(os.path.normpath(name))
        # macOS finds a file by its name in any case and either way to write an accent.
        if path not in existing and not (_folded(path) in folded and (root / path).is_file()):
            raise ConfigError(f"{root / CONFIG_FILE} names {name!r}, which is not in that directory")


def _folded(path: PurePath) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _named_files(section: object) -> Iterator[str]:
    if isinstance(section, list):
        for item in section:
            yield from _named_files(item)
    elif isinstance(section, dict):
        for key, value in section.items():
            if key == "filename" and isinstance(value, str) and value:
                yield value
            else:
                yield from _named_files(value)


def _check_aliases(folders: tuple[ModelFolder, ...]) -> None:
    taken: dict[str, Path] = {}
    for folder in folders:
        # Not every file system distinguishes two directories by case.
        other = taken.setdefault(folder.alias.lower(), folder.path)
        if other is not folder.path:
            raise ConfigError(
                f"{other} and {folder.path} would both be served as {folder.alias!r}",
                advice="A model is served under its directory's name: rename one of the two.",
            )
