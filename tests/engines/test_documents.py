"""The programs of docs/how-to/engines.md run as they stand, and LangChain's in docs/how-to/interfaces.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import needs

from foundry_rest.testing import DEMO_MODEL, FaultServer

DOCS = Path(__file__).parents[2] / "docs"


def programs(page):
    """Return the Python programs of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / "how-to" / f"{page}.md").read_text("utf-8"), re.DOTALL)


PROGRAMS = programs("engines")


def run(program, folder, **environment):
    """Run a program as a reader would; return what it printed."""
    (folder / "program.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs("distributed")
@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_programs_of_the_page_run(program, tmp_path):
    """Each says something and ends well."""
    with FaultServer() as server:
        assert run(program, tmp_path, FOUNDRY_ENDPOINT=server.url, FOUNDRY_MODEL=DEMO_MODEL)


@needs("langchain_openai")
def test_another_client(in_environment, tmp_path):
    """LangChain's program gets its answers from the real service."""
    (program,) = [each for each in programs("interfaces") if "import ChatOpenAI" in each]
    told = run(program, tmp_path, LANGSMITH_TRACING="false")

    assert told.startswith("Quantum computing uses qubits")
    assert told.endswith("\nOK")


def test_the_page_has_programs():
    """A changed fence must not make this file pass empty."""
    assert len(PROGRAMS) >= 2
