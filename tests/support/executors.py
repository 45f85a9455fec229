"""Executors that fail as told, and functions for the workers of real ones."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future


class KilledWorker(Exception):
    """Stand for dask's, which is known by its name."""


class HereExecutor(Executor):
    """Run each task at once in the submitting thread, unless a script says what becomes of it.

    Args:
        script: What becomes of the first tasks: an exception is the future's, a function is called with the
            future in place of the task, ``None`` runs it. Later tasks are run.
    """

    def __init__(self, *script) -> None:
        self.functions = []
        self.tasks = []
        self.futures = []
        self._script, self._lock = list(script), threading.Lock()

    def submit(self, function, /, *arguments, **options):
        """Do what the script says."""
        future = Future()
        with self._lock:
            self.functions.append(function)
            self.tasks.append(arguments[0])
            self.futures.append(future)
            step = self._script.pop(0) if self._script else None
        if step is None:
            future.set_result(function(*arguments, **options))
        elif isinstance(step, BaseException):
            future.set_exception(step)
        else:
            step(future)
        return future


class RefusingExecutor(Executor):
    """Take no task."""

    def __init__(self, error) -> None:
        self._error = error

    def submit(self, *_, **__):
        """Refuse."""
        raise self._error


def never(future) -> None:
    """Leave a task where it is."""
