"""The rows of an input file in any of its forms: JSON lines, one prompt a line, or CSV.

Lines are read up to a bound, and the file up to the length that it had at the start: a file that grows while
it is read would have no end. One that changed is a finding, because its last line may be half of one.
"""

from __future__ import annotations

import codecs
import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, dropwhile
from pathlib import Path, PurePath
from typing import IO, NamedTuple

import msgspec

from foundry_rest.batch.findings import Finding
from foundry_rest.errors import ConfigError
from foundry_rest.raw_json import UNDECODABLE

#: Most bytes of a line. Far above any prompt; OpenAI's own bound for a whole file is 200 MB.
LONGEST_LINE = 16 * 1024 * 1024
#: The forms of an input.
FORMATS = ("auto", "jsonl", "text", "csv")
_BOMS_OF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """One row of the input: the number of its first line, from 1, and a text or a mapping."""

    line: int
    given: object


@contextmanager
def open_input(name: str, stdin: IO[bytes] | None) -> Iterator[IO[bytes]]:
    """Open a file, or stdin for ``"-"``: a pipe and what is UTF-16 as a temporary copy in UTF-8.

    Raises:
        ConfigError: It cannot be read.
    """
    with ExitStack() as opened:
        if name != "-":
            source: IO[bytes] = opened.enter_context(_open(name))
        elif stdin is None:
            raise ConfigError("stdin is closed: there is no input", advice="Name a file, or give a pipe.")
        else:
            source = stdin
        if name == "-" or not source.seekable():
            source = opened.enter_context(_copied(source))
        start = source.read(2)
        source.seek(0)
        # PowerShell 5 writes UTF-16.
        yield opened.enter_context(_recoded(source)) if start in _BOMS_OF_16 else source


def _open(name: str) -> IO[bytes]:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise ConfigError(
            f"the input {name} cannot be read: {error.strerror}",
            advice="Name another, or - for stdin.",
        ) from None


def detect_format(name: str, source: IO[bytes]) -> str:
    """Return the form of a file: by the ending of its name, else by whether it begins with a brace."""
    if PurePath(name).suffix.casefold() in (".csv", ".tsv"):
        return "csv"
    start = source.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    source.seek(0)
    return "jsonl" if start[:1] == b"{" or PurePath(name).suffix.casefold() == ".jsonl" else "text"


def read_rows(source: IO[bytes], form: str) -> Iterator[Row | Finding]:
    """Yield every row, and a finding for each that cannot be read; blank lines are none.

    Raises:
        ConfigError: The columns of a CSV file cannot be read.
    """
    lines = _lines(source)
    return _csv_rows(lines) if form == "csv" else _rows(lines, is_json=form == "jsonl")


@contextmanager
def _copied(source: IO[bytes]) -> Iterator[IO[bytes]]:
    # Unlinked from the start, so that nothing of it stays behind whatever ends the process.
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
        yield copy


@contextmanager
def _recoded(source: IO[bytes]) -> Iterator[IO[bytes]]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    with tempfile.TemporaryFile() as copy:
        try:
            while piece := source.read(1 << 20):
                copy.write(decoder.decode(piece).encode())
            decoder.decode(b"", final=True)
        except UnicodeError:
            raise ConfigError("the input begins as UTF-16 and is none", advice="Save it as UTF-8.") from None
        copy.seek(0)
        yield copy


def _lines(source: IO[bytes]) -> Iterator[tuple[int, bytes | Finding]]:
    """Yield the number and the bytes of each line, or why it cannot be read."""
    size = left = source.seek(0, 2)
    source.seek(0)
    number = 0
    while left > 0 and (line := source.readline(min(left, LONGEST_LINE + 1))):
        left -= len(line)
        is_long = len(line) > LONGEST_LINE
        while is_long and left > 0 and line and not line.endswith(b"\n"):
            line = source.readline(min(left, LONGEST_LINE))
            left -= len(line)
        if not left and not line.endswith(b"\n") and source.seek(0, 2) != size:
            break
        number += 1
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield number, _too_long(number) if is_long else content
    if source.seek(0, 2) != size:
        text = "the input changed while it was read, and ends here for this run: try again when it is whole"
        yield number + 1, Finding(number + 1, "input_changed", text)


def _rows(lines: Iterable[tuple[int, bytes | Finding]], *, is_json: bool) -> Iterator[Row | Finding]:
    for number, line in lines:
        if isinstance(line, Finding):
            yield line
        elif line.strip():
            yield _json_row(number, line) if is_json else _text_row(number, line)


def _json_row(number: int, line: bytes) -> Row | Finding:
    try:
        return Row(number, msgspec.json.decode(line, type=dict[str, object]))
    except UNDECODABLE:
        return Finding(number, "invalid_json_line", "the line is no JSON object")


def _text_row(number: int, line: bytes) -> Row | Finding:
    try:
        return Row(number, line.decode().strip())
    except UnicodeDecodeError as error:
        return _not_utf8(number, error)


def _csv_rows(lines: Iterable[tuple[int, bytes | Finding]]) -> Iterator[Row | Finding]:
    """Yield a mapping of the columns for each record."""
    columns: list[str] | None = None
    for first, record in _csv_records(lines):
        if columns is None:
            columns = _columns(first, record)
        elif isinstance(record, Finding):
            yield record
        elif any(record) and len(record) != len(columns):
            text = f"the row has {len(record)} columns, and the first line names {len(columns)}"
            yield Finding(first, "invalid_csv_row", text)
        elif any(record):
            yield Row(first, dict(zip(columns, record, strict=True)))


def _columns(line: int, header: list[str] | Finding) -> list[str]:
    if isinstance(header, Finding):
        raise ConfigError(f"line {line}: the names of the columns cannot be read: {header.message}")
    columns = [name.strip() for name in header]
    if len(set(columns)) < len(columns) or not all(columns):
        raise ConfigError(f"line {line}: each column of a CSV file needs a name of its own")
    return columns


def _csv_records(
    lines: Iterable[tuple[int, bytes | Finding]],
) -> Iterator[tuple[int, list[str] | Finding]]:
    """Yield the number of the first line of each record, and its fields, from the first that is not blank."""
    csv.field_size_limit(LONGEST_LINE)
    lines = dropwhile(lambda numbered: isinstance(numbered[1], bytes) and not numbered[1].strip(), lines)
    header = next(lines, None)
    if header is None:
        return
    start = b"" if isinstance(header[1], Finding) else header[1]
    delimiter = max(",;\t", key=lambda mark: start.count(mark.encode()))
    source = _CsvLines(chain([header], lines), header[0] - 1)
    records = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        first = source.number + 1
        try:
            record = next(records)
        except StopIteration:
            return
        except _Unreadable as error:
            yield error.finding.line, error.finding
        except csv.Error as error:
            yield first, Finding(first, "invalid_csv_row", f"the row cannot be read: {error}")
        else:
            yield first, record


class _Unreadable(Exception):
    """A line of a CSV file that is no text.

    Attributes:
        finding: Why.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class _CsvLines:
    """The lines of a CSV file as text, with the number of the last one that was read."""

    def __init__(self, lines: Iterable[tuple[int, bytes | Finding]], number: int) -> None:
        self._lines = iter(lines)
        self.number = number

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if isinstance(line, Finding):
            raise _Unreadable(line)
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise _Unreadable(_not_utf8(self.number, error)) from None


def _too_long(number: int) -> Finding:
    return Finding(number, "line_too_long", f"the line has more than {LONGEST_LINE >> 20} MiB")


def _not_utf8(number: int, error: UnicodeDecodeError) -> Finding:
    return Finding(number, "invalid_encoding", f"the line is not UTF-8 (byte {error.start + 1})")
