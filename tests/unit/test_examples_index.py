"""The examples have one index, which leads to each of them in one line, and each says what it is for."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
INDEX = (EXAMPLES / "README.md").read_text(encoding="utf-8")
PROGRAMS = sorted(EXAMPLES.glob("*.py"))


def test_the_index_lists_every_example():
    """Every file has one line of the index, no line leads to a file that is not there, and each says what."""
    listed = re.findall(r"^- \[(\S+)\]\(\1\): \w.*\.$", INDEX, re.MULTILINE)
    there = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}

    assert Counter(listed) == Counter(there)
    assert INDEX.count("\n- ") == len(listed)


@pytest.mark.parametrize("program", PROGRAMS, ids=[path.stem for path in PROGRAMS])
def test_an_example_is_short_and_says_what_it_shows(program):
    """It has at most 120 lines, and its first one tells in a sentence what it shows."""
    text = program.read_text(encoding="utf-8")
    summary = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]

    assert summary.endswith((".", ":"))
    assert len(text.splitlines()) <= 120
