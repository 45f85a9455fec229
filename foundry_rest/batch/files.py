"""The files of a batch: the one place that writes, syncs and replaces them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from foundry_rest.private_files import patiently

#: Bytes that are gathered before they are written.
_BUFFER = 1 << 20


class Files:
    """The operations on files, each of which can fail; tests let each fail once."""

    def write(self, descriptor: int, content: bytes) -> int:
        """Write bytes and return how many were written."""
        return os.write(descriptor, content)

    def sync(self, descriptor: int) -> None:
        """Wait until what was written is on the disk."""
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        """Put a file in the place of another in one step."""
        patiently(lambda: source.replace(target))

    def sync_directory(self, directory: Path) -> None:
        """Wait until the names in a directory are on the disk; Windows does it by itself."""
        if sys.platform == "win32":
            return
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write_all(self, descriptor: int, content: bytes) -> None:
        """Write all bytes."""
        view = memoryview(content)
        while view:
            view = view[self.write(descriptor, bytes(view)) :]

    def write_whole(self, target: Path, pieces: Iterable[bytes]) -> None:
        """Write a file that is there as a whole or not at all, for this user alone."""
        made = target.with_name(f".{target.name}.part")
        with suppress(FileNotFoundError):  # a run that was killed has left it
            made.unlink()
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            try:
                for piece in _gathered(pieces):
                    self.write_all(descriptor, piece)
                self.sync(descriptor)
            finally:
                os.close(descriptor)
            self.replace(made, target)
        except BaseException:
            with suppress(OSError):
                made.unlink()
            raise
        self.sync_directory(target.parent)


def _gathered(pieces: Iterable[bytes]) -> Iterable[bytes]:
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= _BUFFER:
            yield bytes(held)
            held.clear()
    yield bytes(held)
