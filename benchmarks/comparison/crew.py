"""The processes of the subjects, as the one who gives the orders sees them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from comparison.measures import Figures

HERE = Path(__file__).resolve().parent
#: Users import what was compiled before.
_SLOWING = ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "PYTHONDEVMODE")
#: Seconds that one order may take; the longest is 100,000 calls.
PATIENCE = 900.0


class WorkerFailed(Exception):
    """Tell that a subject could not do what it was told, with its own words."""


def clean_environment() -> dict[str, str]:
    """Return the environment without what steers a client or slows an import, with this checkout first."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("FOUNDRY_")
        and not name.upper().endswith("_PROXY")
        and name not in _SLOWING
    }
    path = [str(HERE.parent), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path)}


class Worker:
    """Run one subject in a process of its own; used in a ``with`` statement.

    Args:
        subject: Its name.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._process = subprocess.Popen(
            [sys.executable, "-m", "comparison.worker", subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )

    def ask(self, measure: str, **arguments: object) -> Figures:
        """Have a measure taken.

        Raises:
            WorkerFailed: The subject raised, died, or took longer than it may.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps([measure, arguments]) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(f"{self.subject} died") from None
        is_there = os.name == "nt" or select.select([process.stdout], [], [], PATIENCE)[0]
        line = process.stdout.readline() if is_there else ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "died or hangs"}
        if "error" in answer:
            raise WorkerFailed(f"{self.subject}, {measure}: {answer['error']}")
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Crew:
    """Keep one worker for each subject, started when first needed.

    Args:
        note: Told of a subject that failed: it is left out, and the run goes on.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._workers: dict[str, Worker] = {}
        self._open = ExitStack()
        self.note = note

    def ask(self, subject: str, measure: str, *, fresh: bool, **arguments: object) -> Figures | None:
        """Return the figures of one turn; ``None`` for one that failed."""
        try:
            if fresh:
                with Worker(subject) as worker:
                    return worker.ask(measure, **arguments)
            if subject not in self._workers:
                self._workers[subject] = self._open.enter_context(Worker(subject))
            return self._workers[subject].ask(measure, **arguments)
        except WorkerFailed as error:
            self.note(str(error))
            return None

    def close(self) -> None:
        """End all workers."""
        self._open.close()
