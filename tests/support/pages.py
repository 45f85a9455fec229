"""The programs and commands of the documents, as tests run them."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: A block with its language. A mark on the line before says that it cannot run here.
_BLOCK = re.compile(
    r"^(?P<mark><!-- (?:recorded|unverified): [^\n]+ -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NAME = re.compile(r"# (\w+\.py)\n")


def blocks(page: str, kind: str, *, marked: bool = False) -> list[str]:
    """Return a page's blocks in one language: those to run, or those marked; ``how-to/cron`` is a page."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    found = [each for each in _BLOCK.finditer(text) if each["kind"] == kind]
    return [each["text"] for each in found if bool(each["mark"]) is marked]


def commands(page: str) -> list[str]:
    """Return the commands of a page's blocks for a shell."""
    return [line[2:] for text in blocks(page, "console") for line in text.splitlines() if line[:2] == "$ "]


def pages(kind: str) -> list[str]:
    """Return the pages that have blocks to run in a language."""
    names = [path.relative_to(DOCS).with_suffix("").as_posix() for path in sorted(DOCS.rglob("*.md"))]
    ours = [name for name in names if not name.startswith("_")]  # a build of the site has copies
    return [name for name in ours if blocks(name, kind)]


def name_of(program: str) -> str:
    """Return the file's name that the first line of a program gives."""
    named = _NAME.match(program)
    return named[1] if named else "program.py"


def lay_out(page: str, folder: Path) -> dict[str, str]:
    """Write a page's programs with names into a folder, and the two commands into ``.venv/bin``.

    Returns:
        The environment in which the commands of the page find both. Its home is the folder: a page may tell
        to delete what lies in a home.
    """
    for program in blocks(page, "python"):
        (folder / name_of(program)).write_text(program, encoding="utf-8")
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    ours = {"python": "", "foundry-rest": " -m foundry_rest"}
    for name, module in ours.items():
        program = f"PYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)}{module}"
        (bin_folder / name).write_text(f'#!/bin/sh\n{program} "$@"\n', encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    path = os.pathsep.join([str(bin_folder), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "HOME": str(folder)}
