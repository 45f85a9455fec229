"""Breaker state in a file that the processes of one machine share.

Times are wall-clock seconds: what one process writes another reads, after a suspended night too. A clock
that stepped back is noticed by the breaker (more is left than there ever was to wait) and ends the wait.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.resilience.breaker.record import STATES, UNKNOWN, Record
from foundry_rest.resilience.breaker.storage.file import SqliteFile
from foundry_rest.resilience.breaker.storage.outage import StoreFailed

if TYPE_CHECKING:
    import pybreaker

T = TypeVar("T")

#: Seconds after which an address that nobody reported on is forgotten: ports change at each restart.
_FORGET_AFTER = 7 * 24 * 3600.0

_COLUMNS = ", ".join(Record.__struct_fields__)
_READ = f"SELECT {_COLUMNS} FROM circuit WHERE address = ?"  # noqa: S608 (no value of anybody's in it)
_WRITE = f"INSERT OR REPLACE INTO circuit (address, {_COLUMNS}, touched) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
_FORGET = "DELETE FROM circuit WHERE touched < ?"


class SqliteState:
    """One address's record in a file.

    Args:
        path: The file, or one that is open already.
        address: Base URL; one file holds many.

    Raises:
        ConfigError: The file cannot be made, opened or read.
    """

    def __init__(self, path: str | os.PathLike[str] | SqliteFile, address: str) -> None:
        self._file = path if isinstance(path, SqliteFile) else SqliteFile(path)
        self._address = address

    def read(self) -> Record:
        """Return the record as it is in the file; ``UNKNOWN`` when the file is out of order."""
        try:
            return self._file.run(self._load)
        except StoreFailed:
            return UNKNOWN

    def now(self) -> float:
        """Return wall-clock seconds, which all processes of a machine share."""
        return clock.now()

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return what ``decide(record, now)`` returns, and write what it changed, in one transaction."""

        def transact(connection: sqlite3.Connection) -> T:
            with _transaction(connection):
                record = self._load(connection)
                before = copy.copy(record)
                result = decide(record, self.now())
                if record != before:
                    self._save(connection, record)
            return result

        try:
            return self._file.run(transact)
        except StoreFailed:
            return None

    def storage(self) -> pybreaker.CircuitBreakerStorage:
        """Return the record as a storage for a ``pybreaker.CircuitBreaker`` of your own.

        Each access is a transaction of its own, each increment atomic. What such a breaker decides holds
        for all who share the file; how long an open circuit stays open is then its ``reset_timeout``.
        """
        from foundry_rest.resilience.breaker.pybreaker_adapter import SharedStorage

        return SharedStorage(self)

    def close(self) -> None:
        """Close the file, for all of its addresses; the next use opens it again."""
        self._file.close()

    def _load(self, connection: sqlite3.Connection) -> Record:
        row = connection.execute(_READ, (self._address,)).fetchone()
        return Record() if row is None else _record(*row)

    def _save(self, connection: sqlite3.Connection, record: Record) -> None:
        state, failures, successes, date, *admission = msgspec.structs.astuple(record)
        opened_at = None if date is None else date.timestamp()
        connection.execute(
            _WRITE, (self._address, state, failures, successes, opened_at, *admission, self.now())
        )
        connection.execute(_FORGET, (self.now() - _FORGET_AFTER,))


def _record(state: str, failures: int, successes: int, opened_at: float | None, *admission: float) -> Record:
    """Return a row as a record; what no breaker can have written is refused like a damaged file."""
    numbers = (failures, successes, opened_at or 0.0, *admission)
    if state not in STATES or not all(isinstance(number, (int, float)) for number in numbers):
        raise sqlite3.DataError(f"a row says {(state, *numbers)!r}")
    epoch, trips, opened_until, claimed_until, probes = admission
    date = None if opened_at is None else datetime.fromtimestamp(opened_at, timezone.utc)
    return Record(
        state, failures, successes, date, int(epoch), int(trips), opened_until, claimed_until, int(probes)
    )


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.commit()
    except BaseException:  # Ctrl-C too: a transaction left open would lock every process out
        connection.rollback()
        raise


class SqliteBreakers:
    """The file by which the processes of one machine share breaker state.

    Give it as ``FoundryAPIClient(breaker_state=...)``. It opens the file once for all addresses; pickled,
    it is its path.

    Args:
        path: The file, on a local disk; it is made, mode 0600, with its folder, mode 0700.

    Raises:
        ConfigError: The file cannot be made, opened or read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SqliteFile(path)

    def __call__(self, address: str) -> SqliteState:
        """Return the state of one address."""
        return SqliteState(self._file, address)

    def __reduce__(self) -> tuple[type[SqliteBreakers], tuple[str]]:
        return SqliteBreakers, (str(self._file.path),)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()
