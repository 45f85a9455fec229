"""A process with one subject in it, so that no subject pays for another one's modules and threads.

Orders come as lines of JSON on standard input, figures leave the same way; the run ends with the input.
"""

from __future__ import annotations

import json
import os
import sys

from comparison.measures import MEASURES, Desk
from comparison.subjects import SUBJECTS


def work(subject: str) -> None:
    """Follow orders until there are no more."""
    desk = Desk(SUBJECTS[subject])
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no figure
    for line in sys.stdin:
        measure, arguments = json.loads(line)
        try:
            figures: dict[str, object] = dict(MEASURES[measure](desk, **arguments))
        except Exception as error:  # noqa: BLE001 (whatever a peer raises is told, and the run goes on)
            figures = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(figures) + "\n")
        answers.flush()
    os._exit(0)  # some peers leave threads that would not end


if __name__ == "__main__":
    work(sys.argv[1])
