"""The checked requests of one run, in a temporary database, so that a million of them need no memory.

It is made anew for each run and removed with it: what has to survive is in the journal. It is also a copy of
the input, so nothing that happens to the file while the batch runs changes what is sent.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from foundry_rest.schema.batch import BatchRequest

if TYPE_CHECKING:
    from typing_extensions import Self

#: Requests that are read from the database at a time; each may be large.
_CHUNK = 64
_TABLE = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE request (
        line INTEGER PRIMARY KEY, custom_id TEXT NOT NULL UNIQUE, url TEXT NOT NULL, model INTEGER NOT NULL,
        digest BLOB NOT NULL, body BLOB NOT NULL,
        offset INTEGER, length INTEGER, ok INTEGER, again INTEGER NOT NULL DEFAULT 0, changed INTEGER
    );
"""


class Identity(NamedTuple):
    """What makes a request the same one as in an earlier run.

    Attributes:
        line: Number of its line in the input.
        model: Name of its model.
        digest: Digest of its route and its body without the model's name.
    """

    line: int
    model: str
    digest: bytes

    def key(self, meaning: str) -> str:
        """Return the key of its result.

        Args:
            meaning: What the model's name stands for: its exact id, and the service's generation.
        """
        return hashlib.sha256(self.digest + meaning.encode()).hexdigest()[:32]


class IndexedRequest(NamedTuple):
    """One request as the index holds it.

    Attributes:
        identity: Its line, its model and its digest.
        custom_id: Its name.
        url: Its route.
        body: The body as JSON.
    """

    identity: Identity
    custom_id: str
    url: str
    body: bytes

    @property
    def request(self) -> BatchRequest:
        """Return the request itself."""
        return BatchRequest(self.custom_id, self.url, msgspec.json.decode(self.body))


class Place(NamedTuple):
    """Where the journal has the result of a request; a request without a result has no place.

    Attributes:
        offset: First byte of the record.
        length: Bytes of the record.
        ok: Whether the result is an answer.
    """

    offset: int
    length: int
    ok: bool


class RequestIndex:
    """The requests of one run by their lines and names, and the places of their results; for one thread."""

    def __init__(self) -> None:
        # "" is a file without a name, which sqlite removes; the pages that are not in use lie on the disk.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_TABLE)
        self._models: dict[str, int] = {}
        self._names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def models(self) -> dict[str, int]:
        """Return the number of requests of each model, in the order in which they first came."""
        rows = self._database.execute("SELECT model, count(*) FROM request GROUP BY model")
        counts = dict(rows.fetchall())
        return {name: counts[number] for name, number in self._models.items() if number in counts}

    def __len__(self) -> int:
        return self._count("TRUE")

    def answered(self) -> int:
        """Return how many requests have a result that holds."""
        return self._count("offset IS NOT NULL AND NOT again")

    def changed(self) -> int:
        """Return how many requests have a result for another body or model alone."""
        return self._count("changed AND offset IS NULL")

    def add(self, line: int, request: BatchRequest) -> int | None:
        """Add a request; return the line of another one that has the same name, and then add nothing."""
        body = {name: value for name, value in request.body.items() if name != "model"}
        digest = hashlib.sha256(f"{request.url}\n".encode() + _canonical(body)).digest()
        model = self._models.setdefault(request.model, len(self._models))
        if model == len(self._names):
            self._names.append(request.model)
        values = (line, request.custom_id, request.url, model, digest, msgspec.json.encode(request.body))
        added = self._database.execute(
            "INSERT OR IGNORE INTO request (line, custom_id, url, model, digest, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
        if added.rowcount:
            return None
        find = "SELECT line FROM request WHERE custom_id = ?"
        return int(self._database.execute(find, (request.custom_id,)).fetchone()[0])

    def find(self, custom_id: str) -> Identity | None:
        """Return what tells the request of this name from others, or ``None``."""
        find = "SELECT line, model, digest FROM request WHERE custom_id = ?"
        row = self._database.execute(find, (custom_id,)).fetchone()
        return None if row is None else self._identity(*row)

    def pending(self) -> Iterator[IndexedRequest]:
        """Yield the requests that are to be sent: model by model, each in the order of the lines."""
        after = (-1, -1)
        while rows := self._database.execute(_PENDING, (*after, _CHUNK)).fetchall():
            for line, model, digest, custom_id, url, body in rows:
                yield IndexedRequest(self._identity(line, model, digest), custom_id, url, body)
            after = (rows[-1][1], rows[-1][0])

    def note(self, line: int, place: Place, *, again: bool = False) -> None:
        """Record where the result of a request is.

        Args:
            line: Line of the request.
            place: Place of its latest result.
            again: Whether it is to be sent again nevertheless.
        """
        self._database.execute(
            "UPDATE request SET offset = ?, length = ?, ok = ?, again = ? WHERE line = ?",
            (*place, again, line),
        )

    def note_changed(self, line: int) -> None:
        """Record that a result was for another body or model."""
        self._database.execute("UPDATE request SET changed = 1 WHERE line = ?", (line,))

    def places(self, *, ordered: bool) -> Iterator[tuple[str, Place | None]]:
        """Yield the name of every request and the place of its result.

        Args:
            ordered: Whether in the order of the lines, else of the results, with those without one last.
        """
        order = "line" if ordered else "offset IS NULL, offset"
        rows = self._database.execute(f"SELECT custom_id, offset, length, ok FROM request ORDER BY {order}")  # noqa: S608 (one of two constants)
        for name, offset, length, ok in rows:
            yield name, None if offset is None else Place(offset, length, bool(ok))

    def _count(self, condition: str) -> int:
        found = self._database.execute(f"SELECT count(*) FROM request WHERE {condition}")  # noqa: S608 (ours)
        return int(found.fetchone()[0])

    def _identity(self, line: int, model: int, digest: bytes) -> Identity:
        return Identity(line, self._names[model], digest)


_PENDING = """
    SELECT line, model, digest, custom_id, url, body FROM request
    WHERE (offset IS NULL OR again) AND (model, line) > (?, ?) ORDER BY model, line LIMIT ?
"""


def _canonical(value: Mapping[str, object]) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
