"""The ``foundry`` command as a process: find it, run it within a time limit, start the service with it.

Its output goes to files, not pipes: the service that it starts inherits them and keeps them open for hours,
so a pipe would never reach its end (docs/reference/service.md, section 3). A child has a session of its own,
so that Ctrl-C in the terminal of the calling script does not end the service.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.services.discovery.command_output import Output
from foundry_rest.transport.cancellation import CancelToken, wait_watched

if TYPE_CHECKING:
    import subprocess

#: Longest run in seconds; the command takes about one, or five at first from a slow disk.
PATIENCE = 10.0
#: Longest wait in seconds for a killed process to end; it takes milliseconds.
_GRACE = 1.0
#: Most bytes of output that are read; an output has some hundred.
_MAX_BYTES = 65536
#: Seconds between two checks whether a wait was cancelled.
_POLL = 0.05


def on_path(command: str) -> Iterator[str]:
    """Yield the paths of a command in the folders of ``PATH``, the one that is run first."""
    # Folder by folder: Windows would look into the working directory first, where anybody may have put
    # one. A relative folder is there, too.
    folders = (Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = (shutil.which(str(folder / command)) for folder in folders if folder.is_absolute())
    return (path for path in found if path)


class Foundry:
    """A runner of this machine's ``foundry`` command.

    Args:
        until: Monotonic time at which every wait ends.
        cancels: Tokens each of which ends every wait.
    """

    def __init__(self, until: float = float("inf"), cancels: Iterable[CancelToken] = ()) -> None:
        self._until = until
        self._cancels = tuple(cancels)

    def find(self) -> str | None:
        """Return the command's path; ``None`` when it is not on ``PATH``."""
        return next(on_path("foundry"), None)

    def ask(self, path: str, arguments: Sequence[str], seconds: float = PATIENCE) -> Output:
        """Run the command and return its output; after ``seconds`` it is killed with all its children.

        Raises:
            Cancelled: The client was closed, or the call was cancelled, meanwhile.
            DeadlineExceeded: The call's deadline passed.
        """
        try:
            with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
                has_ended = self._run([path, *arguments], stdout, stderr, seconds)
                trouble = "" if has_ended else f"no answer within {seconds:g} s"
                return Output(_read(stdout), _read(stderr), trouble)
        except DeadlineExceeded:  # an OSError, too, by descent
            raise
        except OSError as error:
            return Output(trouble=f"cannot be run: {error}")

    def start(self, path: str, arguments: Sequence[str]) -> StartedCommand:
        """Start the service with the command, without waiting for it.

        Raises:
            OSError: The command cannot be run.
        """
        return StartedCommand([path, *arguments])

    def pause(self, seconds: float) -> None:
        """Wait for a number of seconds.

        Raises:
            Cancelled: The client was closed, or the call was cancelled, meanwhile.
            DeadlineExceeded: The call's deadline passed.
        """
        wait_watched(threading.Event(), min(seconds, self._until - clock.monotonic()), self._cancels)
        self.check()

    def _run(self, command_line: list[str], stdout: IO[bytes], stderr: IO[bytes], seconds: float) -> bool:
        """Run the command; return whether it ended in time."""
        import subprocess

        process = _spawn(command_line, stdout, stderr)
        until = clock.monotonic() + seconds
        try:
            while clock.monotonic() < until:
                self.check()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
                    return True
            return False
        finally:
            _kill(process)

    def check(self) -> None:
        """Raise Cancelled or DeadlineExceeded if the call that needs the service has ended."""
        if any(token.cancelled for token in self._cancels):
            raise Cancelled("the call was ended from elsewhere while the service was looked for")
        if clock.monotonic() >= self._until:
            raise DeadlineExceeded("the deadline passed while the service was looked for", call="discover")


class StartedCommand:
    """A running command that starts the service; it may end at once, or never.

    It is not waited for, and it outlives this process. On Windows its output file cannot be removed from the
    temporary directory while the service holds it open.
    """

    def __init__(self, command_line: list[str]) -> None:
        handle, name = tempfile.mkstemp(prefix="foundry_rest-start-")
        self._file = Path(name)
        try:
            with os.fdopen(handle, "wb") as arguments:
                process = _spawn(command_line, arguments, arguments)
        except OSError:
            self.discard_output()
            raise
        # Collects the exit code: an ended child would stay in the process table.
        threading.Thread(target=process.wait, daemon=True).start()

    def output(self) -> Output:
        """Return the output so far."""
        with suppress(OSError), self._file.open("rb") as arguments:
            return Output(_text(arguments.read(_MAX_BYTES)))
        return Output()

    def discard_output(self) -> None:
        """Remove the output file."""
        with suppress(OSError):
            self._file.unlink()


def _spawn(command_line: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    import subprocess

    return subprocess.Popen(
        command_line,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        creationflags=_creation_flags(),
    )


def _creation_flags() -> int:
    """Return the flags that separate a process on Windows: no console window, no Ctrl-C from ours."""
    if sys.platform == "win32":
        import subprocess

        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not ended, and its children."""
    import signal
    import subprocess

    if process.poll() is not None:
        return
    with suppress(OSError):
        if sys.platform == "win32":
            _kill_tree(process)
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # a process that is blocked by a dead disk ignores signals
        process.wait(_GRACE)


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started: a ``.cmd`` is run by a shell, which leaves its children."""
    import psutil

    started = []
    with suppress(psutil.Error):
        started = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in started:
        with suppress(psutil.Error):
            child.kill()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return _text(file.read(_MAX_BYTES))


def _text(printed: bytes) -> str:
    """Return the output as text; another code page damages its emoji, but nothing that is searched for."""
    return printed.decode("utf-8", "replace")
