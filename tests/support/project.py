"""The project's own files, as its tests read and import them."""

from __future__ import annotations

import configparser
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    """Return a file of the project's root as text."""
    return (ROOT / name).read_text(encoding="utf-8")


def setup_cfg() -> configparser.ConfigParser:
    """Return setup.cfg, parsed."""
    parser = configparser.ConfigParser()
    parser.read_string(read("setup.cfg"))
    return parser


def load_module(path: Path, name: str) -> ModuleType:
    """Import a file that lies in no package, anew and under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
