"""Shards: a part of a batch for each of several jobs, and the outputs of all merged into one."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import msgspec

from foundry_rest.batch.files import Files
from foundry_rest.batch.output import Counts, Output
from foundry_rest.errors import ConfigError
from foundry_rest.raw_json import UNDECODABLE

if TYPE_CHECKING:
    from typing_extensions import Self


class Shard(NamedTuple):
    """One of several parts of a batch, which a request belongs to by its ``custom_id`` alone.

    Attributes:
        number: From 1 to ``total``.
        total: How many parts there are.
    """

    number: int
    total: int

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the shard that a text such as ``"2/5"`` names.

        Raises:
            ConfigError: It does not have this form.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard must be K/N with K from 1 to N, such as 2/5, not {text!r}")
        return cls(int(match[1]), int(match[2]))

    def holds(self, custom_id: str) -> bool:
        """Return whether a request belongs to it."""
        digest = hashlib.sha256(custom_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.total == self.number - 1


def merge(parts: Sequence[Path], target: Path, files: Files | None = None) -> Counts:
    """Write the lines of several outputs into one file, and return what they are.

    Raises:
        ConfigError: A part cannot be read, a line is none of an output, two parts have a result for the same
            request, or the file is an output itself, or something else than the result of an earlier merge.
        OSError: The file cannot be written.
    """
    if target.exists() and any(part.exists() and part.samefile(target) for part in parts):
        raise ConfigError(f"{target} is one of the parts", advice="Give another file to merge into.")
    if Output(target).journal.exists():
        raise ConfigError(
            f"{target} is the output of a batch itself",
            advice="Give the file to merge into before the parts.",
        )
    _check_replaceable(target)
    counts = Counts()
    with closing(sqlite3.connect("")) as seen:
        seen.executescript("PRAGMA journal_mode = OFF; CREATE TABLE seen (name TEXT PRIMARY KEY, part TEXT)")
        (files or Files()).write_whole(target, _lines(parts, seen, counts))
    return counts


def _check_replaceable(target: Path) -> None:
    """Raise ConfigError if the file to merge into has other content than the lines of an output."""
    if not target.is_file():
        return
    with target.open("rb") as file:
        first = file.readline()
    if first and _read(first) is None:
        raise ConfigError(
            f"{target} exists, and is no output of a batch",
            advice="Remove it, or give another file to merge into; it comes before the parts.",
        )


def _lines(parts: Iterable[Path], seen: sqlite3.Connection, counts: Counts) -> Iterator[bytes]:
    for part in parts:
        with _opened(part) as file:
            for number, line in enumerate(file, 1):
                custom_id = _counted(line, counts, f"{part}:{number}")
                added = seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (custom_id, str(part)))
                if not added.rowcount:
                    find = "SELECT part FROM seen WHERE name = ?"
                    (other,) = seen.execute(find, (custom_id,)).fetchone()
                    raise ConfigError(
                        f"{part}:{number}: {custom_id!r} has a result in {other}, too",
                        advice="Give each part once; the parts of one batch are those of one K/N.",
                    )
                yield line if line.endswith(b"\n") else line + b"\n"


def _opened(part: Path) -> BinaryIO:
    try:
        return part.open("rb")
    except OSError as error:
        raise ConfigError(
            f"the part {part} cannot be read: {error.strerror}", advice="Run that part first, to its end."
        ) from None


class _Response(msgspec.Struct):
    status_code: int


class _Error(msgspec.Struct):
    code: str


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


def _counted(line: bytes, counts: Counts, place: str) -> str:
    """Count a line of an output and return the name of its request."""
    read = _read(line)
    if read is None:
        raise ConfigError(f"{place} is no line of a batch's output", advice="Run that part again.")
    counts.add(
        None if read.response is None else read.response.status_code,
        None if read.error is None else read.error.code,
    )
    return read.custom_id


def _read(line: bytes) -> _Line | None:
    """Return a line of an output, which has a response or an error; ``None`` for anything else."""
    try:
        read = msgspec.json.decode(line, type=_Line)
    except UNDECODABLE:
        return None
    return None if read.response is None and read.error is None else read
