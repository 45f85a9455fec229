"""The program of the child process: the native runtime, which ends with its parent.

Run as ``python -m foundry_rest.runtime.child_main PARENT_PID RUN_DIRECTORY``. It reads `Settings` from
standard input, starts the runtime, answers on standard output, and then executes commands until its end.

The parent's end is detected in two ways, because neither suffices alone. An empty line or the end of
standard input means that the parent is done; but a process that the parent forked may keep the pipe open
after the parent's death. The parent's id changes when the parent dies; but not on Windows.
``PR_SET_PDEATHSIG`` is not used: it fires when the parent's *thread* ends.

The process ends by ``os._exit``: the native library's own shutdown takes seconds, and hangs after a
``POST /shutdown``. Nothing is lost, because there is nothing to save.
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
from foundry_rest.runtime import processes
from foundry_rest.runtime.catalog import CatalogServer
from foundry_rest.runtime.child_downloads import DownloadWorker
from foundry_rest.runtime.protocol import (
    CATALOG_FILE,
    LOGS,
    Answer,
    Command,
    Progress,
    Settings,
    from_line,
    to_line,
)

if TYPE_CHECKING:
    from foundry_local_sdk import FoundryLocalManager

#: Seconds between two checks of the parent's id, and of a ``POST /shutdown``, after which the address
#: is dead but the process would stay.
PARENT_POLL = 0.25
#: Names the runtime's data directory, ``~/.foundry_rest``.
APP_NAME = "foundry_rest"

#: Commands from the parent and progress for it; the main thread alone writes to the parent.
_Messages = queue.SimpleQueue[Command | Progress]


def main(parent: int, directory: Path) -> NoReturn:
    """Serve until the parent is done or has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    out = _take_stdout()
    if os.name == "posix":
        threading.Thread(target=_watch_parent, args=(parent, directory), daemon=True).start()
    line = sys.stdin.buffer.readline()
    messages: _Messages = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(messages, directory), daemon=True).start()
    manager = _start(out, line)
    _handle_messages(manager, messages, out)
    _end(directory)


def serve(settings: Settings) -> tuple[str, FoundryLocalManager]:
    """Start the native runtime in this process; return its address and its manager."""
    from foundry_local_sdk import Configuration, FoundryLocalManager
    from foundry_local_sdk.logging_helper import LogLevel

    catalog = _start_catalog(settings)
    manager = FoundryLocalManager(
        Configuration(
            app_name=APP_NAME,
            app_data_dir=settings.directory if catalog else None,
            model_cache_dir=settings.cache_dir,
            logs_dir=str(Path(settings.directory, LOGS)),
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
    """Return the pipe to the parent; what the native library prints goes to standard error, not there."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def _start(out: BinaryIO, line: bytes) -> FoundryLocalManager:
    try:
        url, manager = serve(from_line(line, Settings))
    except Exception as error:  # noqa: BLE001 (the child's top level: the parent is sent every error)
        _send(out, Answer(error=f"{type(error).__name__}: {error}"))
        os._exit(1)
    _send(out, Answer(url=url, pid=os.getpid()))
    return manager


def _handle_messages(manager: FoundryLocalManager, messages: _Messages, out: BinaryIO) -> None:
    """Execute commands and send their progress, until the runtime is shut down."""
    worker = DownloadWorker(manager.catalog, messages.put)
    while not manager.is_shutdown_requested():
        try:
            message = messages.get(timeout=PARENT_POLL)
        except queue.Empty:
            continue
        if isinstance(message, Command):
            worker.handle(message)
        else:
            _send(out, message)


def _send(out: BinaryIO, message: Answer | Progress) -> None:
    with suppress(OSError):  # the parent is gone: its end is detected elsewhere
        out.write(to_line(message))
        out.flush()


def _start_catalog(settings: Settings) -> str | None:
    if not settings.own_catalog:
        return None
    return CatalogServer(Path(settings.directory, CATALOG_FILE).read_bytes()).start().url


def _watch_parent(parent: int, directory: Path) -> None:
    while _lives(parent):
        clock.sleep(PARENT_POLL)
    _end(directory)


def _lives(parent: int) -> bool:
    # On Windows a process keeps the parent's number for ever, and in a venv that is a launcher's.
    return processes.exists(parent) if os.name == "nt" else os.getppid() == parent


def _read_commands(messages: _Messages, directory: Path) -> None:
    try:
        for line in sys.stdin.buffer:
            messages.put(from_line(line, Command))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    _end(directory)


def _end(directory: Path) -> NoReturn:
    # Several times: the native library may be writing its log meanwhile.
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
