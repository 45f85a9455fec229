"""The output of a batch, put together from the journal: one line for each request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from foundry_rest.batch.files import Files
from foundry_rest.batch.journal import Journal
from foundry_rest.batch.output_lines import CANCELLED, EXPIRED, unsent
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.errors import ConfigError


class Counts(msgspec.Struct):
    """How many lines of an output are answers, failures, and requests without a result."""

    succeeded: int = 0
    failed: int = 0
    unsent: int = 0

    def add(self, status: int | None, code: str | None) -> None:
        """Count a line by its HTTP status, or by the code of its error."""
        if status is not None and status < 300:
            self.succeeded += 1
        elif code in (CANCELLED, EXPIRED):
            self.unsent += 1
        else:
            self.failed += 1


class Output(msgspec.Struct, frozen=True):
    """Where the results go.

    Attributes:
        path: File of the answers, and of everything else unless ``errors`` is given.
        errors: File of what is no answer, or ``None``.
        ordered: Whether the lines are in the order of the input, else as the results came.
        files: Writes them.
    """

    path: Path
    errors: Path | None = None
    ordered: bool = False
    files: Files = msgspec.field(default_factory=Files)

    @property
    def journal(self) -> Path:
        """Return the place of the journal."""
        return self.path.with_name(f"{self.path.name}.journal")

    def check(self, source: Path | None, report: Path | None = None) -> None:
        """Raise ConfigError if a file cannot be written, or is one that is needed.

        Args:
            source: File of the requests; ``None`` for stdin.
            report: File of the report, or ``None``.
        """
        used = [] if source is None else [source]
        for path in filter(None, (self.path, self.errors, self.journal, report)):
            if not path.absolute().parent.is_dir():
                raise ConfigError(f"there is no directory {path.absolute().parent}", advice="Make it first.")
            if path.is_dir():
                raise ConfigError(f"{path} is a directory", advice="Name a file in it.")
            if any(_is_same(path, other) for other in used):
                raise ConfigError(f"{path} is used twice: each file of a batch needs a place of its own")
            used.append(path)
        if self.journal.exists():
            return
        for path in filter(None, (self.path, self.errors)):
            if path.exists():
                raise ConfigError(
                    f"{path} exists, and no journal is beside the output that knows of it",
                    advice="Remove it, or give another file.",
                )

    def write(self, index: RequestIndex, journal: Journal, code: str) -> Counts:
        """Write the files, each as a whole, the answers last; return what is in them.

        Args:
            index: The requests, and the places of their results.
            journal: The results.
            code: Why a request has none.
        """
        counts = Counts()
        if self.errors is not None:
            self.files.write_whole(self.errors, self._lines(index, journal, code, counts, ok=False))
        ok = None if self.errors is None else True
        self.files.write_whole(self.path, self._lines(index, journal, code, counts, ok=ok))
        return counts

    def _lines(
        self, index: RequestIndex, journal: Journal, code: str, counts: Counts, *, ok: bool | None
    ) -> Iterator[bytes]:
        """Yield the lines of the answers, of all others, or (``None``) of all requests."""
        for name, place in index.places(ordered=self.ordered):
            if ok is not None and ok != (place is not None and place.ok):
                continue
            if place is None:
                counts.unsent += 1
                yield unsent(name, code) + b"\n"
            else:
                counts.succeeded += place.ok
                counts.failed += not place.ok
                yield bytes(journal.read(place.offset, place.length).line) + b"\n"


def _is_same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
