"""The programs of docs/engines.md run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import needs

from foundry_rest.testing import DEMO_MODEL, FaultServer

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = needs("distributed")


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_programs_of_the_page_run(program, tmp_path):
    """Each says something and ends well."""
    (tmp_path / "program.py").write_text(program, "utf-8")
    with FaultServer() as server:
        done = subprocess.run(
            [sys.executable, "program.py"],
            env={**os.environ, "FOUNDRY_ENDPOINT": server.url, "FOUNDRY_MODEL": DEMO_MODEL},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_page_has_programs():
    """A changed fence must not make this file pass empty."""
    assert len(PROGRAMS) >= 2
