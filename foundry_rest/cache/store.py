"""The entries of a cache file: found by key, bounded in bytes and age, the least recently used removed first.

A hit writes nothing: that an entry was used is noted in memory and written in groups, with the next answer
that is kept or after so many notes. A file that is damaged is left alone, and a new one beside it takes its
place.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.cache.database import Database, is_damaged
from foundry_rest.checks import is_number

T = TypeVar("T")

_logger = logging.getLogger("foundry_rest")

#: Share of the whole that one answer may take, and the most bytes of one.
_SHARE, LARGEST_ANSWER = 8, 8 * 1024 * 1024
#: Seconds to wait for another process's write, which takes milliseconds, and the pause between two tries.
_PATIENCE, _PAUSE = 0.5, 0.002
#: Uses, and seconds, noted in memory until they are written.
_NOTES, _NOTE_SECONDS = 512, 60.0
#: Bytes of a page, and of an entry without its answer.
_PAGE, _ENTRY = 4096, 512
#: Files that may be damaged, one after the other, until nothing is kept.
_MOST_FILES = 9

_FIND = "SELECT answer, created, lifetime FROM entry WHERE key = ?"
_KEEP = "INSERT OR REPLACE INTO entry VALUES (NULL, ?, ?, ?, ?, ?, ?, 0, ?)"
_NOTE = "UPDATE entry SET used = max(used, ?), hits = hits + ? WHERE key = ?"
_FORGET = "DELETE FROM entry WHERE forgotten < ?"
_SHRINK = "DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY used LIMIT ?)"
_BY_MODEL = "SELECT model, count(*), total(hits) FROM entry GROUP BY model ORDER BY model"


class Kept(msgspec.Struct, frozen=True):
    """One entry as it is found.

    Attributes:
        answer: The answer's bytes.
        created: When it was kept, in seconds since the epoch.
        lifetime: Seconds for which it is fresh.
    """

    answer: bytes
    created: float
    lifetime: float


class Figures(msgspec.Struct, frozen=True):
    """The figures of a file.

    Attributes:
        bytes: Bytes in use.
        oldest: When the oldest answer was kept, in seconds since the epoch; ``None`` without any.
        models: Model, its number of entries, and how often they were used.
    """

    bytes: int
    oldest: float | None
    models: tuple[tuple[str, int, int], ...]


class Store:
    """The entries of one cache file.

    Args:
        path: The file.
        max_bytes: Most bytes of all entries.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.largest = min(LARGEST_ANSWER, max_bytes // _SHARE)
        self._log_pages = max(8, min(1000, max_bytes // _SHARE // _PAGE))
        self._path, self._number = path, 1
        self._database = Database(path, self._log_pages)
        self._used: dict[bytes, tuple[float, int]] = {}
        self._noted = clock.now()

    @property
    def path(self) -> Path:
        """Return the file in use."""
        return self._database.path

    def find(self, key: bytes) -> Kept | None:
        """Return the entry of a key, and note its use."""
        row = self._run(lambda connection: connection.execute(_FIND, (key,)).fetchone())
        if row is None or not isinstance(row[0], bytes) or not all(is_number(value) for value in row[1:]):
            return None  # nothing, or nothing that was written here
        return Kept(*row)

    def note(self, key: bytes) -> None:
        """Note that an entry was used."""
        now, (_, hits) = clock.now(), self._used.get(key, (0.0, 0))
        self._used[key] = (now, hits + 1)
        if len(self._used) >= _NOTES or not 0 <= now - self._noted < _NOTE_SECONDS:
            self._noted = now
            self.flush(patience=0.0)

    def flush(self, patience: float = _PATIENCE) -> None:
        """Write the notes about used entries; where another process writes for so long, later."""
        if self._used:
            with suppress(sqlite3.OperationalError):  # they are kept in memory
                self._run(lambda connection: self._write(connection, ()), patience)

    def keep(self, key: bytes, model: str, kept: Kept, forgotten: float) -> None:
        """Keep an answer until ``forgotten``, in seconds since the epoch, in place of an earlier one."""
        row = (key, model, kept.created, kept.lifetime, forgotten, clock.now(), kept.answer)
        self._run(lambda connection: self._write(connection, row))

    def clear(self, before: float) -> int:
        """Remove what was kept before an instant, in seconds since the epoch; return how many there were."""

        def remove(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM entry WHERE created < ?", (before,)).rowcount

        removed = self._run(remove)
        with suppress(sqlite3.OperationalError):  # another process uses the file: it will use the pages again
            self._run(
                lambda connection: connection.execute("VACUUM")
            )  # else the answers stay in unused pages
            self._run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return removed

    def figures(self) -> Figures:
        """Return the figures of the file, with what is noted in memory."""
        self.flush()

        def read(connection: sqlite3.Connection) -> Figures:
            oldest = connection.execute("SELECT min(created) FROM entry").fetchone()[0]
            rows = connection.execute(_BY_MODEL).fetchall()
            return Figures(
                _live_bytes(connection), oldest, tuple((str(name), n, int(hits)) for name, n, hits in rows)
            )

        return self._run(read)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._database.close()

    def _write(self, connection: sqlite3.Connection, row: tuple[object, ...]) -> None:
        """Write the notes, and the row unless it is empty, in one transaction."""
        connection.execute("BEGIN IMMEDIATE")
        notes = list(self._take_notes())
        try:
            connection.executemany(_NOTE, notes)
            if row:
                connection.execute(_FORGET, (clock.now(),))
                self._make_room(connection, len(row[-1]) + _ENTRY)  # type: ignore[arg-type]
                connection.execute(_KEEP, row)
            connection.commit()
        except BaseException:
            for used, hits, key in notes:
                self._used.setdefault(key, (used, hits))
            raise

    def _take_notes(self) -> Iterator[tuple[float, int, bytes]]:
        while self._used:
            try:
                key, (used, hits) = self._used.popitem()
            except KeyError:  # another thread took the last one
                return
            yield used, hits, key

    def _make_room(self, connection: sqlite3.Connection, size: int) -> None:
        needed, step = (size // _PAGE + 2) * _PAGE, 1
        while _live_bytes(connection) + needed > self._max_bytes:
            if not connection.execute(_SHRINK, (step,)).rowcount:
                return
            step *= 2

    def _run(self, work: Callable[[sqlite3.Connection], T], patience: float = _PATIENCE) -> T:
        """Return what ``work`` returns; wait for other processes, and go on in a new file if one is damaged.

        sqlite's own waiting is unfair, and cannot be told from a hang.
        """
        began = clock.monotonic()
        while True:
            database = self._database
            try:
                return database.run(work)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or clock.monotonic() - began >= patience:
                    raise
            except sqlite3.DatabaseError as error:
                if not is_damaged(error) or self._number >= _MOST_FILES:
                    raise
                self._move_on(database, error)
                continue
            clock.sleep(_PAUSE)

    def _move_on(self, damaged: Database, error: Exception) -> None:
        """Go on in the next file; of several threads the first one does it."""
        if self._database is not damaged:
            return
        self._number += 1
        new = self._path.with_name(f"{self._path.name}.{self._number}")
        self._database = Database(new, self._log_pages)
        damaged.close()
        _logger.warning(
            "The cache %s is damaged (%s) and left as it is: delete it. Answers are kept in %s.",
            damaged.path,
            error,
            new,
        )


def _live_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages in use; those of removed entries are used again."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int(pages - free) * _PAGE
