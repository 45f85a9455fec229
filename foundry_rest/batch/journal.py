"""The journal of a batch: every result, appended as soon as it is there, as JSON.

The first line names the format, each further one is a record. A record begins with its line end and is
appended in one step, so threads need no lock: under load each would wait for the interpreter while it held
one. What a crash or a full disk left of a record is a line that cannot be read, whatever follows it, and that
request is sent again. The journal is locked while it is open, and stays beside the output: a later run skips
what is in it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from foundry_rest.batch.files import Files
from foundry_rest.errors import ConfigError
from foundry_rest.file_lock import lock
from foundry_rest.private_files import check_own
from foundry_rest.raw_json import UNDECODABLE

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT, VERSION = "foundry_rest batch journal", 1


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


_HEAD = msgspec.json.encode(_Head(FORMAT, VERSION))


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
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            check_own(os.fstat(self._descriptor), path)
            self._claim()
            self._prepare()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        """Return the number of bytes so far."""
        return os.fstat(self._descriptor).st_size

    def records(self, start: int = 0) -> Iterator[Written | int]:
        """Yield every record with its place, and the place of each line that cannot be read.

        Args:
            start: Number of bytes to leave out, as ``size`` once was.
        """
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(start)
            offset = start
            for line in file:
                if offset and line.strip():
                    yield _read(offset, line)
                offset += len(line)

    def read(self, offset: int, length: int) -> Record:
        """Return the record at a place; for one thread at a time."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return msgspec.json.decode(os.read(self._descriptor, length), type=Record)

    def append(self, record: Record) -> None:
        """Append a record; from any thread."""
        content = b"\n" + msgspec.json.encode(record)
        if self._files.write(self._descriptor, content) < len(content):
            # The system has taken a part: it has no room for the rest.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Wait until every record is on the disk."""
        self._files.sync(self._descriptor)

    def _claim(self) -> None:
        try:
            lock(self._descriptor)
        except BlockingIOError:
            raise ConfigError(
                f"another run has {self._path} open",
                advice="Wait for its end, or give another output.",
            ) from None

    def _prepare(self) -> None:
        """Check the head; write it if there is none, or a crash left half of it.

        What is there is synced: a killed run may not have done it, and this one counts it as done.
        """
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        start = os.read(self._descriptor, 2 * len(_HEAD))
        if not _HEAD.startswith(start):
            self._check_head(start)
        elif len(start) < len(_HEAD):
            self._files.write_all(self._descriptor, _HEAD[len(start) :])
        self._files.sync(self._descriptor)
        self._files.sync_directory(self._path.absolute().parent)

    def _check_head(self, start: bytes) -> None:
        line = start.partition(b"\n")[0]
        try:
            head = msgspec.json.decode(line, type=_Head)
        except UNDECODABLE:
            head = _Head("", 0)
        if head.format != FORMAT:
            raise ConfigError(f"{self._path} is no journal of a batch", advice="Give another output.")
        if head.version != VERSION:
            raise ConfigError(
                f"{self._path} has version {head.version} of the journal's format, and this is {VERSION}",
                advice="Use the version of foundry_rest that wrote it, or give another output.",
            )


def _read(offset: int, line: bytes) -> Written | int:
    try:
        return Written(offset, len(line), msgspec.json.decode(line, type=Record))
    except UNDECODABLE:
        return offset
