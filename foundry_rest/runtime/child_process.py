"""One child process, as its parent sees it: from its start to its end, once.

Any thread may use it at any time. No lock is held while waiting. ``end`` sets ``_ending`` before it looks
for the process, and a start checks it after the process exists, so that an end which comes in the middle
of a start is never missed. In a process that was forked from the owner nothing here ends the child.
"""

from __future__ import annotations

import io
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, ServiceUnreachable
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.runtime import catalog, child_directory, model_links, processes
from foundry_rest.runtime.downloads import LABEL, DownloadRequest, Downloads, Mailboxes
from foundry_rest.runtime.model_folders import ModelFolder
from foundry_rest.runtime.processes import stdin_of
from foundry_rest.runtime.protocol import (
    CATALOG_FILE,
    Answer,
    Command,
    Settings,
    from_line,
    to_line,
)

#: ``-P``: the working directory is the parent's and must not shadow a module.
CHILD_COMMAND = (sys.executable, "-P", "-m", "foundry_rest.runtime.child_main")
#: Seconds between two checks whether the child ended without an answer, or is to end.
_POLL = 0.1
if sys.platform == "win32":
    _CREATION_FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _CREATION_FLAGS = 0
_ADVICE = Advice(
    Words(
        "A port that is in use: give another, or port=0 for a free one.",
        "A port that is in use: give another, or --port 0 for a free one.",
    ),
    'A broken installation: pip install --force-reinstall "foundry_rest[runtime]".',
)

#: Windows' Python does not say which; nearly always it is the C++ library that the runtime is built with.
_NEEDS_DLL = "Install the Microsoft Visual C++ Redistributable (x64)."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a child is to serve, and how long its start may take (seconds)."""

    folders: tuple[ModelFolder, ...]
    host: str
    port: int
    cache_dir: Path | None
    start_timeout: float


class Child:
    """One child process and its private directory.

    Attributes:
        owner: Id of the process that may end it.
        url: Address of the service; ``""`` until it is up.
        failure: Why it did not come up.
    """

    def __init__(self, plan: Plan, command: Sequence[str] = CHILD_COMMAND) -> None:
        self.owner = os.getpid()
        self.url = ""
        self.failure: ServiceUnreachable | ConfigError | Cancelled | None = None
        self._plan = plan
        self._command = command
        self._ready = threading.Event()
        self._ending = threading.Event()
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reported = 0
        self._mailboxes = Mailboxes()
        self._is_silent = threading.Event()

    @property
    def pid(self) -> int:
        """Return the process id; 0 when there is no process."""
        # The child's own word first: in a venv on Windows our child is a launcher, and Python a child of it.
        return self._reported or (self._process.pid if self._process else 0)

    def is_alive(self) -> bool:
        """Return whether the process exists, in the owner and in processes forked from it."""
        process = self._process
        if process is None:
            return False
        if self.owner != os.getpid():
            return processes.exists(process.pid)
        return process.poll() is None and not self._is_silent.is_set()

    def settle(self, seconds: float) -> None:
        """Wait for the end of a process that is dying; one that lives costs that long.

        A killed process closes its pipe, then its connections, and is seen to be dead milliseconds later.
        """
        if not clock.wait(self._is_silent, seconds):
            processes.wait_while_dying(self.pid)

    def is_starting(self) -> bool:
        """Return whether a thread of this process is starting it."""
        busy = not self._ready.is_set() and not self._ending.is_set()
        return busy and self.owner == os.getpid()

    def launch(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            ConfigError: The private directory cannot be made, or the models cannot be linked into it.
            ServiceUnreachable: The child reported an error, crashed, or was silent for too long.
            Cancelled: `end` was called meanwhile.
        """
        with ExitStack() as undo:
            undo.callback(self._ready.set)
            undo.callback(self._clean)
            try:
                self.url = self._launch()
            except (ServiceUnreachable, ConfigError, Cancelled) as error:
                self.failure = error
                raise
            undo.pop_all()
        self._ready.set()

    def wait(self) -> None:
        """Wait for a start that another thread has begun; raise its error."""
        clock.wait(self._ready, self._plan.start_timeout + 4 * processes.GRACE)
        if self.failure is not None:
            raise self.failure
        if not self.url:
            raise Cancelled("the start of the native runtime was interrupted in another thread")

    def end(self) -> None:
        """End the process and remove its directory; does nothing in a forked process."""
        if self.owner != os.getpid():
            return
        self._ending.set()
        self._mailboxes.wake()
        # A start in another thread sees the flag within 0.1 s. The wait is bounded because the start may
        # be this thread's own, interrupted by a signal handler.
        clock.wait(self._ready, processes.GRACE)
        self._clean()

    def download(self, name: str, request: DownloadRequest) -> None:
        """Fetch a model into the child's cache; see `LocalRuntime.download`."""
        self._downloads().run(name, request)

    def forget(self, id_: str, request: DownloadRequest) -> None:
        """Forget a model whose folder was deleted; see `LocalRuntime.forget`."""
        self._downloads().forget(id_, request)

    def _downloads(self) -> Downloads:
        if self.owner != os.getpid():
            raise ConfigError("only the process that started the runtime can download with it")
        return Downloads(self._mailboxes, self._send, self._check)

    def _send(self, command: Command) -> None:
        try:
            stdin_of(self._running()).write(to_line(command))
        except (OSError, ValueError):  # it died, or another thread closed the pipe
            self._check()
            raise self._death() from None

    def _check(self) -> None:
        if self._ending.is_set():
            raise Cancelled("close() was called on the embedded runtime during the download", call=LABEL)
        if not self.is_alive():
            raise self._death()

    def _running(self) -> subprocess.Popen[bytes]:
        return cast("subprocess.Popen[bytes]", self._process)

    def _death(self) -> ServiceUnreachable:
        process = self._running()
        with suppress(subprocess.TimeoutExpired):  # its pipe may break before it is over
            process.wait(processes.GRACE)
        what = f"the embedded runtime died during the download: {processes.how_ended(process.poll())}"
        advice = "Ask again: it is started anew, and the download goes on from what has come."
        return ServiceUnreachable(f"{what}{self._stderr_excerpt()}", call=LABEL, advice=advice)

    def _clean(self) -> None:
        if self._process is not None:
            processes.end(self._process)
        if self._directory is not None:
            child_directory.remove(self._directory)

    def _launch(self) -> str:
        self._directory = child_directory.make(self._plan.cache_dir if self._plan.folders else None)
        settings = _prepare(self._plan, self._directory)
        process = self._process = self._spawn(self._directory)
        if not self._ending.is_set():
            with suppress(OSError):  # it has ended already: its standard error says more
                stdin_of(process).write(to_line(settings))
        answer = self._first_line(process)
        if self._ending.is_set():
            raise Cancelled("close() was called while the native runtime was starting")
        return self._url_in(answer, process)

    def _spawn(self, directory: Path) -> subprocess.Popen[bytes]:
        command = [*self._command, str(os.getpid()), str(directory)]
        try:
            with child_directory.open_stderr(directory) as stderr:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    env=processes.environment(),
                    # Ctrl-C in the terminal is for the parent, which then ends the child properly.
                    start_new_session=True,
                    creationflags=_CREATION_FLAGS,
                )
        except OSError as error:
            raise ServiceUnreachable(f"{command[0]!r} cannot be run: {error}", sent=False) from error

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes | None:
        """Return the child's first line, ``b""`` when it ended without one, ``None`` when time ran out."""
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # A thread: pipes cannot be selected on Windows. It ends with the child.
        arguments = (process.stdout, lines.put, self._mailboxes, self._is_silent)
        threading.Thread(target=_read_pipe, args=arguments, daemon=True).start()
        limit = clock.monotonic() + self._plan.start_timeout
        while clock.monotonic() < limit and not self._ending.is_set():
            # Checked first: a process forked meanwhile may keep the pipe of a dead child open.
            is_over = process.poll() is not None
            with suppress(queue.Empty):
                return lines.get(timeout=_POLL)
            if is_over:
                return b""
        return None

    def _url_in(self, line: bytes | None, process: subprocess.Popen[bytes]) -> str:
        if line is None:
            raise self._start_error(f"no answer within {self._plan.start_timeout:g} s")
        try:
            answer = from_line(line, Answer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(processes.GRACE)
            raise self._start_error(processes.how_ended(process.poll())) from None
        if answer.error or not answer.url:
            raise self._start_error(answer.error or "it named no address")
        self._reported = answer.pid
        return answer.url

    def _start_error(self, how: str) -> ServiceUnreachable:
        what = f"the native runtime did not start: {how}{self._stderr_excerpt()}"
        return ServiceUnreachable(
            what, sent=False, advice=_NEEDS_DLL if "DLL load failed" in how else _ADVICE
        )

    def _stderr_excerpt(self) -> str:
        printed = child_directory.read_stderr(self._directory)
        return f"\n--- its last words:\n{printed}\n---" if printed else ""


def _prepare(plan: Plan, directory: Path) -> Settings:
    cache = plan.cache_dir
    if plan.folders:
        cache = directory / "cache"
        for folder in plan.folders:
            model_links.link_model(folder, cache)
        try:
            (directory / CATALOG_FILE).write_bytes(catalog.reply(plan.folders))
        except OSError as error:
            raise ConfigError(f"the catalog of the models cannot be written: {error}") from error
    where = str(cache) if cache else None
    return Settings(plan.host, plan.port, str(directory), where, own_catalog=bool(plan.folders))


def _read_pipe(
    pipe: io.RawIOBase,
    receive: Callable[[bytes], object],
    mailboxes: Mailboxes,
    is_silent: threading.Event,
) -> None:
    """Pass the child's first line to the thread that starts it, the others to the downloads; tell its end."""
    with io.BufferedReader(pipe) as stdout:
        receive(stdout.readline())
        for line in stdout:
            mailboxes.deliver(line)
    is_silent.set()
    mailboxes.wake()
