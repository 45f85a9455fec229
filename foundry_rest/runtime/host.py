"""The child process: the native runtime, and a watch that ends it with its parent.

Run as ``python -m foundry_rest.runtime.host PARENT_PID RUN_DIRECTORY``. It reads `Settings` from
standard input, starts the runtime, answers on standard output, and then waits for its end.

Two watches, since each alone has a hole. A line or the end of standard input means that the parent is
done; but a process that the parent forked may hold the pipe open after the parent's death. The
parent's id changes when the parent dies; but Windows shows no such change. ``PR_SET_PDEATHSIG`` is not
used: it fires when the parent's *thread* ends.

The end is ``os._exit``: the native library's own way out takes seconds, and hangs after a
``POST /shutdown``. Nothing is lost by it; there is nothing to save.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from foundry_rest import clock
from foundry_rest.config import base_url
from foundry_rest.runtime.catalog import CatalogServer
from foundry_rest.runtime.protocol import CATALOG_FILE, Answer, Settings, from_line, to_line

#: Seconds between two looks at the parent's id, and at a ``POST /shutdown``, after which the address
#: is dead and the process would stay.
PARENT_POLL = 0.25
#: Names the runtime's data directory, ``~/.foundry_rest``.
APP_NAME = "foundry_rest"


def main(parent: int, directory: Path) -> NoReturn:
    """Serve until the parent is done or gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    answer = _take_stdout()
    if os.name == "posix":
        threading.Thread(target=_end_with_parent, args=(parent, directory), daemon=True).start()
    line = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_pipe, args=(directory,), daemon=True).start()
    is_shut_down = _start(answer, line)
    while not is_shut_down():
        clock.sleep(PARENT_POLL)
    _end(directory)


def serve(settings: Settings) -> tuple[str, Callable[[], bool]]:
    """Start the native runtime in this process; return its address, and what tells of its shutdown."""
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
    return base_url((manager.urls or [""])[0]), manager.is_shutdown_requested


def _take_stdout() -> int:
    # What the native library prints must not reach the parent as an answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _start(answer: int, line: bytes) -> Callable[[], bool]:
    try:
        url, is_shut_down = serve(from_line(line, Settings))
    except Exception as error:  # noqa: BLE001  # the child's top level: whatever it is, the parent hears it
        _say(answer, Answer(error=f"{type(error).__name__}: {error}"))
        os._exit(1)
    _say(answer, Answer(url=url, pid=os.getpid()))
    return is_shut_down


def _own_catalog(settings: Settings) -> str | None:
    if not settings.own_catalog:
        return None
    return CatalogServer(Path(settings.directory, CATALOG_FILE).read_bytes()).start().url


def _say(answer: int, what: Answer) -> None:
    os.write(answer, to_line(what))
    os.close(answer)


def _end_with_parent(parent: int, directory: Path) -> None:
    while os.getppid() == parent:
        clock.sleep(PARENT_POLL)
    _end(directory)


def _end_with_pipe(directory: Path) -> None:
    sys.stdin.buffer.read(1)
    _end(directory)


def _end(directory: Path) -> NoReturn:
    # More than once: the native library may be writing its log meanwhile.
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
