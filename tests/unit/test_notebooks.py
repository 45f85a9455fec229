"""The notebooks among the examples: valid, and without what somebody's run left in them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


def code_cells(path):
    """Return the cells of a notebook that are run."""
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells(path):
    """Each is a program by itself, and has neither output nor number."""
    cells = code_cells(path)

    assert all(ast.parse("".join(cell["source"])).body for cell in cells)
    assert [(cell["outputs"], cell["execution_count"], cell["metadata"]) for cell in cells] == [
        ([], None, {})
    ] * len(cells)


def test_there_is_one():
    """A folder that moved must not make this file pass empty."""
    assert [path.name for path in NOTEBOOKS] == ["notebook.ipynb"]
