"""The journal of a batch: every result, appended as soon as it is there, in lines of JSON.

The first line names the format. A record is complete when its line has an end: what a crash left of the last
one is cut off, and a line in the middle that cannot be read is left out, so its request is sent again. The
journal is locked while it is open, and stays beside the output: a later run skips what is in it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from foundry_rest.batch.files import Files
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import check_own
from foundry_rest.raw_json import UNDECODABLE

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT, VERSION = "foundry_rest batch journal", 1
#: The first byte that Windows locks: far behind any record, because a locked one cannot be read there.
_LOCKED = 1 << 62


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One result in the journal.

    Attributes:
        custom_id: Name of the request.
        key: Key of the request: its body, its model and the service's generation.
        line: The line of the output, as JSON.
        ok: Whether it is an answer.
        transient: Whether the same request may succeed later.
    """

    custom_id: str
    key: str
    line: msgspec.Raw
    ok: bool = True
    transient: bool = False


class Written(NamedTuple):
    """One record with its place in the file."""

    offset: int
    length: int
    record: Record


class _Head(msgspec.Struct):
    format: str
    version: int


_HEAD = msgspec.json.encode(_Head(FORMAT, VERSION)) + b"\n"


class Journal:
    """An open journal; any thread may append to it.

    Args:
        path: Its place.
        files: Writes and syncs it.

    Raises:
        ConfigError: Another run has it open, it is of a newer version, or it is no journal.
        OSError: It cannot be opened, or is not this user's.
    """

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self._path, self._files = path, files or Files()
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)
        try:
            check_own(os.fstat(self._descriptor), path)
            self._claim()
            self._end = self._repair()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def records(self) -> Iterator[Written | int]:
        """Yield every record with its place, and the number of each line that cannot be read."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            offset = len(file.readline())
            for number, line in enumerate(file, 2):
                try:
                    yield Written(offset, len(line), msgspec.json.decode(line, type=Record))
                except UNDECODABLE:
                    yield number
                offset += len(line)

    def read(self, offset: int, length: int) -> Record:
        """Return the record at a place."""
        with self._lock:  # the position of the file is everybody's
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            content = os.read(self._descriptor, length)
        return msgspec.json.decode(content, type=Record)

    def append(self, record: Record) -> tuple[int, int]:
        """Append a record and return its place; what could be written of it only in part is cut off again."""
        content = msgspec.json.encode(record) + b"\n"
        with self._lock:
            offset = self._end
            try:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                self._files.write_all(self._descriptor, content)
            except BaseException:
                os.ftruncate(self._descriptor, offset)
                raise
            self._end += len(content)
        return offset, len(content)

    def sync(self) -> None:
        """Wait until every record is on the disk."""
        self._files.sync(self._descriptor)

    def _claim(self) -> None:
        try:
            _lock(self._descriptor)
        except (BlockingIOError, PermissionError):
            raise ConfigError(
                f"another run has {self._path} open",
                advice="Wait for its end, or give another output.",
            ) from None

    def _repair(self) -> int:
        """Check the head, or write it; cut off half a line; return the end of the file."""
        start, size = self._start(), os.fstat(self._descriptor).st_size
        if _HEAD.startswith(start):  # new, or a crash left half of the head
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self._files.write_all(self._descriptor, _HEAD)
            self._files.sync(self._descriptor)
            self._files.sync_directory(self._path.absolute().parent)
            return len(_HEAD)
        self._check_head(start)
        end = _last_line_end(self._descriptor, size)
        if end < size:
            os.ftruncate(self._descriptor, end)
        return end

    def _start(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, 2 * len(_HEAD))

    def _check_head(self, start: bytes) -> None:
        line, end, _ = start.partition(b"\n")
        try:
            head = msgspec.json.decode(line, type=_Head)
        except UNDECODABLE:
            head = _Head("", 0)
        if head.format != FORMAT or not end:
            raise ConfigError(f"{self._path} is no journal of a batch", advice="Give another output.")
        if head.version != VERSION:
            raise ConfigError(
                f"{self._path} has version {head.version} of the journal's format, and this is {VERSION}",
                advice="Use the version of foundry_rest that wrote it, or give another output.",
            )


def _last_line_end(descriptor: int, size: int) -> int:
    """Return the place behind the last line end; 0 if there is none."""
    end = size
    while end:
        start = max(0, end - 65_536)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed, in this process or by its death; raise OSError if another has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _LOCKED, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
