"""Run the 0.x service as a process: ``python -m foundry_rest.testing.legacy --port 0``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import psutil

from foundry_rest.testing.legacy import LegacyService
from foundry_rest.testing.server import FaultServer

#: Seconds between two checks whether the owner lives.
_POLL = 0.2


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until the owner has ended or a signal comes; the first line printed is the address."""
    parser = argparse.ArgumentParser(prog="python -m foundry_rest.testing.legacy", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument("--owner", type=int, default=0, help="process to end with; default: the parent")
    parser.add_argument("--documents", action="store_true", help="spell as the documents do")
    given = parser.parse_args(arguments)
    service = LegacyService(documents=given.documents)
    with (
        suppress(KeyboardInterrupt),
        FaultServer(service=service, port=given.port, header_limit=None) as server,
    ):
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        owner = given.owner or _parent()
        while psutil.pid_exists(owner):
            time.sleep(_POLL)


def _parent() -> int:
    parent = os.getppid()
    if sys.platform == "win32" and sys.prefix != sys.base_prefix:  # a virtual environment's launcher
        with suppress(psutil.Error):
            return psutil.Process(parent).ppid()
    return parent


if __name__ == "__main__":
    main()
