"""The prompt of ``chat``: the words of the command line, the document on stdin, or both joined."""

from __future__ import annotations

import codecs
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from foundry_rest.cli.streams import print_note
from foundry_rest.errors import ConfigError

#: Seconds of silence on stdin after which a note says what is waited for.
_SILENCE = 2.0


def read_prompt(given: str | None) -> str:
    """Return the words and the document, with an empty line between them.

    stdin is read unless it is a terminal beside words. A cron job's is empty.

    Raises:
        ConfigError: There is neither, or one of them is not text.
    """
    words = "" if given in (None, "-") else _checked_text(str(given))
    is_needed = given in (None, "-")
    return "\n\n".join(part for part in (words, _read_document(is_needed=is_needed)) if part.strip())


def _read_document(*, is_needed: bool) -> str:
    if sys.stdin is None or sys.stdin.closed:
        if is_needed:
            raise ConfigError("there is no prompt: give it as an argument or on stdin")
        return ""
    if sys.stdin.isatty():
        if not is_needed:
            return ""
        print_note("Reading the prompt from the terminal; end it with Ctrl-D (Windows: Ctrl-Z, Enter).")
        return _decoded(_read_all())
    with _note_after_silence("Waiting for the end of stdin; without a document, add: < /dev/null"):
        return _decoded(_read_all())


def _read_all() -> bytes:
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise ConfigError(f"stdin cannot be read: {error.strerror}") from error


def _decoded(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        # The line end comes from the shell (``echo``) and is no part of the prompt.
        return content.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        if sys.platform == "win32" and encoding != "utf-16":
            # A program there may write the console's code page.
            return content.decode("oem", "replace").rstrip("\r\n")
        name = encoding.removesuffix("-sig").upper()
        raise ConfigError(f"the prompt on stdin is not {name} (byte {error.start})") from None


def _checked_text(given: str) -> str:
    """Return the prompt, or raise ConfigError: Python decodes undecodable bytes to lone surrogates."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"the prompt is not text in this terminal's encoding (character {error.start})"
        ) from None
    return given


@contextmanager
def _note_after_silence(text: str) -> Iterator[None]:
    """Print a note when the block takes long: a pipe that nobody closes would look like a slow model."""
    timer = threading.Timer(_SILENCE, print_note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
