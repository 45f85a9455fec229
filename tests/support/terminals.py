"""A program at a terminal of its own: what it shows, what is typed, and the keys that are signals."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

#: Colours, movements of the cursor, titles: whatever a terminal obeys and does not show.
_OBEYED = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[ -/]*[0-Z\\^-~])"
)
#: Seconds for anything to be shown; far above what it takes.
PATIENCE = 30
CTRL_C, CTRL_D, ALT_ENTER = "\x03", "\x04", "\x1b\r"


class Terminal:
    """A program whose stdin, stdout and stderr are a terminal; POSIX only.

    Args:
        line: The command line.
        environ: The environment.
        columns: Width of the terminal; it has 24 lines.
    """

    def __init__(self, line: Sequence[str], environ: Mapping[str, str], columns: int = 80) -> None:
        import fcntl
        import pty
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            line,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # The first terminal that the leader of a session opens is the one whose keys are its signals.
            preexec_fn=lambda: (os.setsid(), os.close(os.open(os.ttyname(0), os.O_RDWR))),  # noqa: PLW1509
            # Nobody here answers where the cursor is; the width is the terminal's, not what a variable says.
            env={
                **{name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")},
                "TERM": "xterm-256color",
                "PROMPT_TOOLKIT_NO_CPR": "1",
            },
        )
        os.close(theirs)
        self._shown, self._read_to = "", 0
        self._more = threading.Condition()
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def shown(self) -> str:
        """Return all that was shown, as text."""
        with self._more:
            return _OBEYED.sub("", self._shown).replace("\r\n", "\n")

    @property
    def raw(self) -> str:
        """Return all that was sent to the terminal."""
        with self._more:
            return self._shown

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def until(self, text: str) -> None:
        """Wait until a text is shown behind what was waited for before."""
        with self._more:
            assert self._more.wait_for(lambda: self._find(text) or self._is_closed, PATIENCE), self._shown
            found = self._find(text)
            assert found, f"{text!r} is not in {self._plain()[self._read_to :]!r}"
            self._read_to = found

    def end(self) -> int:
        """Wait for the program to end and return its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """End the program if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        os.close(self._ours)

    def _plain(self) -> str:
        return _OBEYED.sub("", self._shown)

    def _find(self, text: str) -> int:
        """Return where a text ends behind what was waited for; 0 if it is not there."""
        found = self._plain().find(text, self._read_to)
        return 0 if found < 0 else found + len(text)

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that the other side is gone
            while piece := os.read(self._ours, 65536):
                with self._more:
                    self._shown += piece.decode("utf-8", "replace")
                    self._more.notify_all()
        with self._more:
            self._is_closed = True
            self._more.notify_all()
