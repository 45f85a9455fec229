"""Breaker state in a file that the processes of one machine share.

Times are wall-clock seconds, which mean the same in every process, also after the machine was suspended. The
breaker notices a clock that stepped back (more is left than the longest possible wait) and ends the wait.
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

#: Seconds after the last report until an address is deleted: ports change at each restart.
_FORGET_AFTER = 7 * 24 * 3600.0

_COLUMNS = ", ".join(Record.__struct_fields__)
_READ = f"SELECT {_COLUMNS} FROM circuit WHERE address = ?"  # noqa: S608 (only our own column names)
_WRITE = f"INSERT OR REPLACE INTO circuit (address, {_COLUMNS}, touched) VALUES (?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608
_FORGET = "DELETE FROM circuit WHERE touched < ?"


class SqliteState:
    """One address's record in a file.

    Args:
        path: The file, or a file that is open already.
        address: Base URL; one file holds many.

    Raises:
        ConfigError: The file cannot be made, opened or read.
    """

    def __init__(self, path: str | os.PathLike[str] | SqliteFile, address: str) -> None:
        self._file = path if isinstance(path, SqliteFile) else SqliteFile(path)
        self._address = address

    def read(self) -> Record:
        """Return the record in the file; ``UNKNOWN`` when the file cannot be read."""
        try:
            return self._file.run(self._load)
        except StoreFailed:
            return UNKNOWN

    def now(self) -> float:
        """Return wall-clock seconds, which are the same for all processes of a machine."""
        return clock.now()

    def change(self, decide: Callable[[Record, float], T]) -> T | None:
        """Return the result of ``decide(record, now)``, and store its changes, in one transaction."""

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

        Each access is a transaction of its own, and each increment is atomic. The decisions of such a breaker
        hold for all that share the file; an open circuit then stays open for its ``reset_timeout``.
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
    """Return a row as a record; refuse one that no breaker can have written, as for a damaged file."""
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
    except BaseException:  # Ctrl-C too: an open transaction would block every other process
        connection.rollback()
        raise


class SqliteBreakers:
    """Breaker state in a file, which the processes of one machine share.

    Give it as ``FoundryAPIClient(breaker_state=...)``. It opens the file once for all addresses, and
    pickles as the path.

    Args:
        path: The file, on a local disk; it is made, mode 0600, with its folder, mode 0700. Others may write
            in neither: not in a folder such as ``/tmp``.

    Raises:
        ConfigError: The file cannot be made, opened or read, or others may write it.
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
