"""The ``foundry`` command as a process: found, asked within a time limit, told to start the service.

Its output goes to files, not pipes: the service that it starts inherits them and keeps them open for
hours, so that the end of a pipe would never come (issue 337). A child has a session of its own, so that
Ctrl-C in the terminal of the calling script does not end the service.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.services.discovery.command_output import Output
from foundry_rest.transport.cancellation import CancelToken, wait_watched

if TYPE_CHECKING:
    import subprocess

#: Seconds that one question may take; the command answers in about one, cold from a slow disk in five.
PATIENCE = 10.0
#: Seconds for a killed process to be gone; it takes milliseconds.
_GRACE = 1.0
#: Bytes read of what the command printed; an answer has some hundred.
_LARGEST = 65536
#: Seconds between two looks at whether a wait was cancelled.
_POLL = 0.05


class Foundry:
    """Run the ``foundry`` command of this machine.

    Args:
        until: Monotonic instant at which every wait ends.
        cancels: Any of these ends every wait.
    """

    def __init__(self, until: float = float("inf"), cancels: Iterable[CancelToken | None] = ()) -> None:
        self._until = until
        self._cancels = tuple(token for token in cancels if token is not None)

    def find(self) -> str | None:
        """Return the command's path, ``None`` when it is not on ``PATH``."""
        path = shutil.which("foundry")
        # A relative path comes from the working directory, where anybody may have put it.
        return path if path and Path(path).is_absolute() else None

    def ask(self, path: str, words: Sequence[str], seconds: float = PATIENCE) -> Output:
        """Return what the command prints; after ``seconds`` it is killed, with all that it started.

        Raises:
            Cancelled: The client was closed, or the call ended, meanwhile.
            DeadlineExceeded: The call's time is over.
        """
        try:
            with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
                has_ended = self._run([path, *words], stdout, stderr, seconds)
                trouble = "" if has_ended else f"no answer within {seconds:g} s"
                return Output(_read(stdout), _read(stderr), trouble)
        except OSError as error:
            return Output(trouble=f"cannot be run: {error}")

    def start(self, path: str, words: Sequence[str]) -> Begun:
        """Tell the command to start the service, and do not wait for it.

        Raises:
            OSError: The command cannot be run.
        """
        return Begun([path, *words])

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass.

        Raises:
            Cancelled: The client was closed, or the call ended, meanwhile.
            DeadlineExceeded: The call's time is over.
        """
        wait_watched(threading.Event(), min(seconds, self._until - clock.monotonic()), self._cancels)
        self.check()

    def _run(self, line: list[str], stdout: IO[bytes], stderr: IO[bytes], seconds: float) -> bool:
        """Tell whether the command came to its end in time."""
        import subprocess

        process = _spawn(line, stdout, stderr)
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
        """Raise Cancelled or DeadlineExceeded if there is nobody left to look for."""
        if any(token.cancelled for token in self._cancels):
            raise Cancelled("the call was ended from elsewhere while the service was looked for")
        if clock.monotonic() >= self._until:
            raise DeadlineExceeded("the deadline passed while the service was looked for", call="discover")


class Begun:
    """Hold a command that was told to start the service; it may end at once, or never.

    Nobody waits for it here, and it outlives this process. On Windows its file of words stays behind in
    the temporary directory as long as the service holds it open.
    """

    def __init__(self, line: list[str]) -> None:
        handle, name = tempfile.mkstemp(prefix="foundry_rest-start-")
        self._words = Path(name)
        try:
            with os.fdopen(handle, "wb") as words:
                process = _spawn(line, words, words)
        except OSError:
            self.forget()
            raise
        # Takes the exit code when there is one: an ended child would stay in the process table.
        threading.Thread(target=process.wait, daemon=True).start()

    def said(self) -> Output:
        """Return what it printed so far."""
        with suppress(OSError), self._words.open("rb") as words:
            return Output(_text(words.read(_LARGEST)))
        return Output()

    def forget(self) -> None:
        """Remove the file of its words."""
        with suppress(OSError):
            self._words.unlink()


def _spawn(line: list[str], stdout: IO[bytes], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    import subprocess

    return subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        creationflags=_creation_flags(),
    )


def _creation_flags() -> int:
    """Return what makes a process of its own on Windows: no console window, no Ctrl-C from ours."""
    if sys.platform == "win32":
        import subprocess

        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not ended, and what it started."""
    import signal
    import subprocess

    if process.poll() is not None:
        return
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # a process that waits for a dead disk takes no signal
        process.wait(_GRACE)


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return _text(file.read(_LARGEST))


def _text(printed: bytes) -> str:
    """Return the text; a foreign code page mangles the emoji in it, and nothing that is looked for."""
    return printed.decode("utf-8", "replace")
