"""The soak, short; whole it is ``python benchmarks/soak.py --calls 20000 --threads 16``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "soak.py"


def test_no_answer_is_wrong_and_nothing_grows():
    """While every fifth answer fails no answer is wrong, no call hangs, no exception is foreign."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--calls", "800", "--threads", "16"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("800 calls over 16 threads"), done.stdout
