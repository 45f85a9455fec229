"""The file of a cache: private, one table, opened when it is needed and closed for a fork.

Each thread that reads or writes takes a connection out of a pool, so none waits for another and no lock is
held while the file is used. With the write-ahead log readers do not wait for a writer, a kill -9 in the
middle of a write loses that write alone, and a power cut loses the last writes at most. No connection may
be open while the process forks (https://sqlite.org/howtocorrupt.html, "Carrying an open database connection
across a fork"): a fork waits for those in use, which takes milliseconds, and closes the others.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from foundry_rest import clock
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import check_own, make_own
from foundry_rest.transport.fork import suspend_across_fork

T = TypeVar("T")

#: ``application_id`` of these files: "FRca".
APPLICATION = 0x46526361
#: Version of the table, kept in ``user_version``.
VERSION = 1
#: Connections kept open between uses.
_IDLE = 8
#: Longest wait in seconds of a fork for the connections in use, and the pause between two looks.
_FORK_PATIENCE, _PAUSE = 1.0, 0.001
#: Fewest bytes of a database.
_SMALLEST = 512
_SIDE_FILES = ("-wal", "-shm")
#: Seconds.
_NEW = 5.0

_COLUMNS = (
    "id INTEGER PRIMARY KEY",
    "key BLOB NOT NULL UNIQUE",
    "model TEXT NOT NULL",
    "created REAL NOT NULL",
    "lifetime REAL NOT NULL",
    "forgotten REAL NOT NULL",
    "used REAL NOT NULL",
    "hits INTEGER NOT NULL",
    "answer BLOB NOT NULL",
)
_SCHEMA = (
    "DROP TABLE IF EXISTS entry",
    f"CREATE TABLE entry ({', '.join(_COLUMNS)})",
    "CREATE INDEX entry_used ON entry (used)",
    "CREATE INDEX entry_forgotten ON entry (forgotten)",
    f"PRAGMA application_id = {APPLICATION}",
)


class Database:
    """One cache file and the connections to it.

    Args:
        path: The file.
        log_pages: Pages after which the write-ahead log is written back.
    """

    def __init__(self, path: Path, log_pages: int) -> None:
        self.path, self._log_pages = path, log_pages
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._used = 0
        self._is_suspended = False
        weakref.finalize(self, _close_all, self._idle)
        suspend_across_fork(self)

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of ``work(connection)``.

        Raises:
            sqlite3.Error, OSError: The file cannot be used.
            ConfigError: It is not a cache, or a newer version made it.
        """
        connection = self._take()
        try:
            connection = connection or self._connect()
            result = work(connection)
            if connection.in_transaction:
                connection.commit()
        except BaseException:  # Ctrl-C too: an open transaction would block every other process
            self._put(connection, is_sound=False)
            raise
        self._put(connection, is_sound=True)
        return result

    def close(self) -> None:
        """Close the connections that are not in use; the next use opens others."""
        _close_all(self._idle)

    def _take(self) -> sqlite3.Connection | None:
        """Return an idle connection, or ``None`` for a new one, unless the process is about to fork."""
        while True:
            with self._lock:
                if not self._is_suspended:
                    self._used += 1
                    with suppress(IndexError):
                        return self._idle.pop()
                    return None
            clock.sleep(_PAUSE)

    def _put(self, connection: sqlite3.Connection | None, *, is_sound: bool) -> None:
        if connection is not None and (not is_sound or len(self._idle) >= _IDLE):
            connection.close()  # which rolls back
            connection = None
        with self._lock:
            self._used -= 1
            if connection is not None:
                self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        _make_or_check(self.path)  # before sqlite makes it, which cannot set its mode
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:  # Ctrl-C too: an open connection would lock the file
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table in a new file or an older one; several processes may do so at once."""
        is_ours = _is_ours(connection, self.path)
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {self._log_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {self._log_pages * 4096}")
        if not is_ours:
            connection.execute("BEGIN IMMEDIATE")
            if not _is_ours(connection, self.path):  # another process may have been faster
                for statement in (*_SCHEMA, f"PRAGMA user_version = {VERSION}"):
                    connection.execute(statement)
            connection.commit()

    def suspend(self) -> None:
        """Close every connection before a fork, once it is out of use."""
        until = clock.monotonic() + _FORK_PATIENCE
        with self._lock:
            self._is_suspended = True
        while self._used and clock.monotonic() < until:
            clock.sleep(_PAUSE)
        self.close()
        self._lock.acquire()

    def resume(self) -> None:
        """Allow the use again after a fork; in parent and child alike the forking thread holds the lock."""
        self._is_suspended = False
        self._lock.release()


def _close_all(idle: list[sqlite3.Connection]) -> None:
    while idle:
        with suppress(IndexError):  # another thread took the last one
            idle.pop().close()


def check_file(path: Path) -> None:
    """Raise ConfigError unless a file is a cache of this user, of this version or an older one."""
    try:
        check_own(path.lstat(), path)
        is_database = path.lstat().st_size >= _SMALLEST
        if is_database:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
            try:
                is_database = _facts(connection)[0] == APPLICATION
            finally:
                connection.close()
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{path} cannot be read as a cache: {error}") from error
    if not is_database:
        raise _foreign(path)


def _make_or_check(path: Path) -> None:
    """Make the file, mode 0600, or check the one that is there."""
    if make_own(path):
        _remove_log(path)
    elif 0 < path.lstat().st_size < _SMALLEST:  # sqlite would take it for an empty one
        raise sqlite3.DatabaseError("file is not a database")


def is_damaged(error: Exception) -> bool:
    """Return whether an error says that a file is damaged, not that it is locked, full or kept from us."""
    return type(error) is sqlite3.DatabaseError


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file holds our table in this version.

    Raises:
        ConfigError: It is not a cache, or a newer version made it.
    """
    application, version = _facts(connection)
    if application == APPLICATION and version > VERSION:
        raise ConfigError(
            f"the cache {path} was made by a newer foundry_rest (format {version})",
            advice="Give another file, or update this installation.",
        )
    if application != APPLICATION and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise _foreign(path)
    return application == APPLICATION and version == VERSION


def _facts(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]


def _foreign(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a cache of foundry_rest", advice="Give another file; this one stays.")


def _remove_log(path: Path) -> None:
    """Remove the write-ahead log of a file that is gone, which sqlite would play into the new one.

    One that is a few seconds old may belong to a process that has just opened the new file.
    """
    for suffix in _SIDE_FILES:
        log = path.with_name(path.name + suffix)
        with suppress(OSError):
            if clock.now() - log.lstat().st_mtime > _NEW:
                log.unlink()
