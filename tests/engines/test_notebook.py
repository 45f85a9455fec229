"""The notebook among the examples, run whole by a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.engines import needs

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"

pytestmark = [needs("nbclient"), needs("ipykernel"), pytest.mark.filterwarnings("default")]


def test_the_notebook_runs(in_environment, tmp_path):
    """Every cell ends well, and the answers are those of the model."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = [
        "".join(output.get("text") or output["data"]["text/plain"] for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]

    loaded, answer, story, person, end = told
    assert "demo-chat-generic-cpu:1" in loaded
    assert answer.startswith("The capital of France is Paris.\n")
    assert story.startswith("Mira was a small program")
    assert person == "('Ada', 36)"
    assert not end
