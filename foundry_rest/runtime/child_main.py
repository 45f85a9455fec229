"""The child process: the native runtime, and a watch that ends it with its parent.

Run as ``python -m foundry_rest.runtime.child_main PARENT_PID RUN_DIRECTORY``. It reads `Settings` from
standard input, starts the runtime, answers on standard output, and then carries out orders until its end.

Two watches, since each alone has a hole. An empty line or the end of standard input means that the parent
is done; but a process that the parent forked may hold the pipe open after the parent's death. The
parent's id changes when the parent dies; but Windows shows no such change. ``PR_SET_PDEATHSIG`` is not
used: it fires when the parent's *thread* ends.

The end is ``os._exit``: the native library's own way out takes seconds, and hangs after a
``POST /shutdown``. Nothing is lost by it; there is nothing to save.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import msgspec

from foundry_rest import clock
from foundry_rest.config import base_url
from foundry_rest.runtime.catalog import CatalogServer
from foundry_rest.runtime.child_downloads import Fetcher
from foundry_rest.runtime.protocol import (
    CATALOG_FILE,
    Answer,
    News,
    Order,
    Settings,
    from_line,
    to_line,
)

if TYPE_CHECKING:
    from foundry_local_sdk import FoundryLocalManager

#: Seconds between two looks at the parent's id, and at a ``POST /shutdown``, after which the address
#: is dead and the process would stay.
PARENT_POLL = 0.25
#: Names the runtime's data directory, ``~/.foundry_rest``.
APP_NAME = "foundry_rest"

#: What the main thread, the only one that writes to the parent, has to see to.
_Inbox = queue.SimpleQueue[Order | News]


def main(parent: int, directory: Path) -> NoReturn:
    """Serve until the parent is done or gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    out = _take_stdout()
    if os.name == "posix":
        threading.Thread(target=_end_with_parent, args=(parent, directory), daemon=True).start()
    line = sys.stdin.buffer.readline()
    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, directory), daemon=True).start()
    manager = _start(out, line)
    _work(manager, inbox, out)
    _end(directory)


def serve(settings: Settings) -> tuple[str, FoundryLocalManager]:
    """Start the native runtime in this process; return its address and its manager."""
    from foundry_local_sdk import Configuration, FoundryLocalManager
    from foundry_local_sdk.logging_helper import LogLevel

    catalog = _own_catalog(settings)
    manager = FoundryLocalManager(
        Configuration(
            app_name=APP_NAME,
            app_data_dir=settings.directory if catalog else None,
            model_cache_dir=settings.cache_dir,
            logs_dir=str(Path(settings.directory, "logs")),
            log_level=LogLevel.WARNING,
            web=Configuration.WebService(urls=f"http://{settings.host}:{settings.port}"),
            catalog_urls=[(catalog, None)] if catalog else None,
            catalog_region="local" if catalog else None,
            disable_nonessential_telemetry=True,
        )
    )
    manager.start_web_service()
    return base_url((manager.urls or [""])[0]), manager


def _take_stdout() -> BinaryIO:
    # What the native library prints must not reach the parent as an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def _start(out: BinaryIO, line: bytes) -> FoundryLocalManager:
    try:
        url, manager = serve(from_line(line, Settings))
    except Exception as error:  # noqa: BLE001  # the child's top level: whatever it is, the parent hears it
        _say(out, Answer(error=f"{type(error).__name__}: {error}"))
        os._exit(1)
    _say(out, Answer(url=url, pid=os.getpid()))
    return manager


def _work(manager: FoundryLocalManager, inbox: _Inbox, out: BinaryIO) -> None:
    """Carry out orders and pass on their news, until somebody shuts the runtime down."""
    fetcher = Fetcher(manager.catalog, inbox.put)
    while not manager.is_shutdown_requested():
        try:
            item = inbox.get(timeout=PARENT_POLL)
        except queue.Empty:
            continue
        if isinstance(item, Order):
            fetcher.take(item)
        else:
            _say(out, item)


def _say(out: BinaryIO, what: Answer | News) -> None:
    with suppress(OSError):  # the parent is gone: the watches see to the end
        out.write(to_line(what))
        out.flush()


def _own_catalog(settings: Settings) -> str | None:
    if not settings.own_catalog:
        return None
    return CatalogServer(Path(settings.directory, CATALOG_FILE).read_bytes()).start().url


def _end_with_parent(parent: int, directory: Path) -> None:
    while os.getppid() == parent:
        clock.sleep(PARENT_POLL)
    _end(directory)


def _listen(inbox: _Inbox, directory: Path) -> None:
    try:
        for line in sys.stdin.buffer:
            inbox.put(from_line(line, Order))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    _end(directory)


def _end(directory: Path) -> NoReturn:
    # More than once: the native library may be writing its log meanwhile.
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
