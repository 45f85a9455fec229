"""One process's connection to a file of circuits: a private file, one thread at a time, closed for a fork.

The file uses a write-ahead log with ``synchronous=NORMAL``: readers never wait for a writer, a commit takes
some microseconds because nothing is synced to the disk, kill -9 at any point loses nothing that was
committed, and a power cut loses the last reports at most, never the file. A rollback journal would need a
sync to the disk in each commit to be as safe. The price: the file must be on a local disk, not on a network
share. sqlite gives ``-wal`` and ``-shm`` the mode of the file itself, which is 0600.

An open connection must not exist during a ``fork``: sqlite in the child would treat the parent's locks as its
own (https://sqlite.org/howtocorrupt.html, "Carrying an open database connection across a fork"), and the
parent would remove a log that the child still writes. So every connection is closed before a fork, and parent
and child each open their own when they need it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from foundry_rest import clock
from foundry_rest.errors import ConfigError
from foundry_rest.private_files import make_own
from foundry_rest.resilience.breaker.storage.outage import Outage, StoreFailed
from foundry_rest.transport.fork import suspend_across_fork

T = TypeVar("T")

#: Seconds to wait for another process's transaction, which takes microseconds unless it hangs.
_PATIENCE = 1.0
#: Seconds between two tries; a transaction takes a tenth of that.
_PAUSE = 0.001
#: Version of the table, kept in ``user_version``.
_VERSION = 1

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS circuit (
    address TEXT PRIMARY KEY, state TEXT NOT NULL, failures INTEGER NOT NULL, successes INTEGER NOT NULL,
    opened_at REAL, epoch INTEGER NOT NULL, trips INTEGER NOT NULL, opened_until REAL NOT NULL,
    claimed_until REAL NOT NULL, probes INTEGER NOT NULL, touched REAL NOT NULL
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class SqliteFile:
    """One connection to a file of circuits, for a process and its threads.

    Args:
        path: The file; it is made, mode 0600, with its folder, mode 0700, if it does not exist.
        patience: Seconds to wait for another process's transaction.

    Raises:
        ConfigError: The file cannot be made, opened or read.
    """

    def __init__(self, path: str | os.PathLike[str], patience: float = _PATIENCE) -> None:
        self.path = Path(path).expanduser().absolute()
        self._patience = patience
        self._outage = Outage(str(self.path), "Look at the file, or delete it while nothing uses it.")
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            self._run(lambda connection: None)
        except (sqlite3.Error, OSError) as error:
            raise ConfigError(
                f"breaker state cannot be kept in {self.path}: {error}",
                advice="Give a path in a folder of this user's own, on a local disk; delete a damaged file.",
            ) from error
        suspend_across_fork(self)

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of ``work(connection)``; repeat it while another process writes.

        Raises:
            StoreFailed: The file cannot be used, or could not a moment ago.
        """
        try:
            with self._outage.guard(sqlite3.Error, OSError, OverflowError, ValueError):
                return self._run(work)
        except StoreFailed:
            self.close()  # the next use may find a file that was repaired or replaced
            raise

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Try until ``patience`` is over; sqlite's own waiting is unfair, and would hold our lock."""
        began = clock.monotonic()
        while True:
            try:
                with self._lock:
                    return work(self._connection or self._connect())
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or clock.monotonic() - began >= self._patience:
                    raise
            clock.sleep(_PAUSE)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> sqlite3.Connection:
        make_own(self.path)  # before sqlite does, which cannot set its mode
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        self._closer = weakref.finalize(self, connection.close)
        try:
            _prepare(connection)
        except BaseException:  # Ctrl-C too: an open connection would lock the file
            self._closer()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._closer()
            self._connection = None

    def suspend(self) -> None:
        """Close the connection before a fork, once the thread that uses it is done, within microseconds."""
        self._lock.acquire()
        self._disconnect()

    def resume(self) -> None:
        """Release the lock after a fork; in parent and child alike the forking thread holds it."""
        self._lock.release()


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table unless it exists, in one transaction, since several processes may start at once."""
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise sqlite3.NotSupportedError(f"it was made by a newer foundry_rest (table version {version})")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    connection.execute("SELECT count(*) FROM circuit").fetchone()
