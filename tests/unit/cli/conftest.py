"""The command run in this process: its code, its stdout, its stderr; and a service for it."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from foundry_rest.cli.main import main
from foundry_rest.testing import FaultServer


@pytest.fixture(autouse=True)
def _logging():
    """Take back what `configure_logging` did: its handler holds this test's stderr."""
    logger = logging.getLogger("foundry_rest")
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


@pytest.fixture
def server(monkeypatch):
    """Return a service that the command finds by the environment; nothing is retried."""
    with FaultServer() as started:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", started.url)
        monkeypatch.setenv("FOUNDRY_MODEL", "demo")
        monkeypatch.setenv("FOUNDRY_RETRIES", "0")
        yield started


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function that runs a command here; gives its code, stdout and stderr."""

    def call(*arguments, stdin=b""):
        given = stdin if isinstance(stdin, io.IOBase) else io.TextIOWrapper(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", given)
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
        return (code, *capsys.readouterr())

    return call
