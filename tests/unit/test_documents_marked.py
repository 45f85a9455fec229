"""What a page shows and nobody runs here is marked, with its source; how much of it there is, is counted.

A block for another system, or one that needs the internet, has on the line before it::

    <!-- recorded: where it was recorded, or what else holds it -->
    <!-- unverified: why it could not be run, and what it rests on -->

README's blocks for Windows have a test of their own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).parents[2] / "docs"
ROOT = DOCS.parent
#: Languages that cannot run here.
ELSEWHERE = {"powershell", "bat", "ini", "xml"}
#: Page -> how many of its blocks are recorded and how many nobody has run.
MARKS = {
    "how-to/systemd.md": (3, 2),
    "how-to/task-scheduler.md": (0, 2),
    "tutorial/first-answer.md": (3, 1),
}

_MARK = re.compile(r"<!-- (recorded|unverified): (.{10,}?) -->")
_FENCE = re.compile(
    r"^(?:(<!-- [^\n]* -->)\n)?[ \t]*```([\w-]*)\n(?:.*?\n)??[ \t]*```$", re.MULTILINE | re.DOTALL
)
_PATH = re.compile(r"(?<![\w/.])(?:tests|tools|benchmarks|\.ci)/[\w./-]*\w")


class Block(NamedTuple):
    """One fenced block: its language, and the kind and source of its mark, both empty without one."""

    language: str
    kind: str
    source: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    marks = ((language, _MARK.fullmatch(mark)) for mark, language in _FENCE.findall(text))
    return [Block(language, *(mark.groups() if mark else ("", ""))) for language, mark in marks]


def unmarked(text: str) -> list[str]:
    """Return the languages of blocks that need a mark with a source and have none."""
    return [block.language for block in blocks(text) if block.language in ELSEWHERE and not block.kind]


def counts(text: str) -> tuple[int, int]:
    """Return how many blocks are recorded and how many are unverified."""
    kinds = [block.kind for block in blocks(text)]
    return kinds.count("recorded"), kinds.count("unverified")


def pages() -> dict[str, str]:
    """Return every page: its path below docs -> its text."""
    paths = {path.relative_to(DOCS).as_posix(): path for path in sorted(DOCS.rglob("*.md"))}
    return {name: path.read_text("utf-8") for name, path in paths.items() if not name.startswith("_")}


def test_what_cannot_run_here_is_marked():
    """Each block for another system has its mark, and each mark stands before a block."""
    found = {name: unmarked(text) for name, text in pages().items() if unmarked(text)}
    loose = [name for name, text in pages().items() if len(_MARK.findall(text)) != sum(counts(text))]

    assert (found, loose) == ({}, [])


def test_the_marks_are_counted():
    """A block more that nobody runs is seen in this table, or taken out again."""
    assert {name: counts(text) for name, text in pages().items() if any(counts(text))} == MARKS


def test_sources_are_there():
    """A file that a mark names is in the repository."""
    sources = [block.source for text in pages().values() for block in blocks(text)]
    named = {path for source in sources for path in _PATH.findall(source)}

    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("text", "missing", "counted"),
    [
        ("```bat\n> dir\n```\n", ["bat"], (0, 0)),
        ("<!-- unverified: no Windows here -->\n```bat\n> dir\n```\n", [], (0, 1)),
        ("<!-- recorded: a run of the tests -->\n```console\n$ x\n```\n", [], (1, 0)),
        ("<!-- unverified: -->\n```xml\n<a/>\n```\n", ["xml"], (0, 0)),
        ("<!-- unverified: no Windows here -->\n\n```ini\na=1\n```\n", ["ini"], (0, 0)),
        ("```python\nprint()\n```\n\n```console\n$ x\n```\n", [], (0, 0)),
    ],
)
def test_the_check_can_complain(text, missing, counted):
    """A mark counts with its source and right before its block; other languages need none."""
    assert (unmarked(text), counts(text)) == (missing, counted)
