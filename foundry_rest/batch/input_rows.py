"""The rows of an input file in any of its forms: JSON lines, one prompt a line, or CSV.

Lines are read up to a bound, and the file up to the length that it had at the start: a file that grows while
it is read would have no end.
"""

from __future__ import annotations

import codecs
import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

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
def open_input(name: str, stdin: BinaryIO | None) -> Iterator[BinaryIO]:
    """Open a file, or stdin for ``"-"``: a pipe and what is UTF-16 as a temporary copy in UTF-8.

    Raises:
        ConfigError: It cannot be read.
    """
    with ExitStack() as opened:
        if name != "-":
            source: BinaryIO = opened.enter_context(_open(name))
        elif stdin is None:
            raise ConfigError("stdin is closed: there is no input")
        else:
            source = stdin
        if name == "-" or not source.seekable():
            source = opened.enter_context(_copied(source))
        start = source.read(2)
        source.seek(0)
        # PowerShell 5 writes UTF-16.
        yield opened.enter_context(_recoded(source)) if start in _BOMS_OF_16 else source


def _open(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise ConfigError(f"the input {name} cannot be read: {error.strerror}") from None


def detect_format(name: str, source: BinaryIO) -> str:
    """Return the form of a file: by the ending of its name, else by whether it begins with a brace."""
    if PurePath(name).suffix.casefold() in (".csv", ".tsv"):
        return "csv"
    start = source.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()
    source.seek(0)
    return "jsonl" if start[:1] == b"{" or PurePath(name).suffix.casefold() == ".jsonl" else "text"


def read_rows(source: BinaryIO, form: str) -> Iterator[Row | Finding]:
    """Yield every row, and a finding for each that cannot be read; blank lines are none.

    Raises:
        ConfigError: The columns of a CSV file cannot be read.
    """
    lines = _lines(source)
    return _csv_rows(lines) if form == "csv" else _rows(lines, is_json=form == "jsonl")


def _copied(source: BinaryIO) -> BinaryIO:
    # Unlinked from the start, so that nothing of it stays behind whatever ends the process.
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return copy


def _recoded(source: BinaryIO) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        while piece := source.read(1 << 20):
            copy.write(decoder.decode(piece).encode())
        decoder.decode(b"", final=True)
    except UnicodeError:
        raise ConfigError("the input begins as UTF-16 and is none") from None
    copy.seek(0)
    return copy


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number and the bytes of each line; ``None`` for one that is too long."""
    left = source.seek(0, 2)
    source.seek(0)
    number = 0
    while left > 0 and (line := source.readline(min(left, LONGEST_LINE + 1))):
        number += 1
        left -= len(line)
        is_long = len(line) > LONGEST_LINE
        while is_long and left > 0 and not line.endswith(b"\n"):
            line = source.readline(min(left, LONGEST_LINE))
            left -= len(line)
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        yield number, None if is_long else content


def _rows(lines: Iterable[tuple[int, bytes | None]], *, is_json: bool) -> Iterator[Row | Finding]:
    for number, line in lines:
        if line is None:
            yield _too_long(number)
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


def _csv_rows(lines: Iterable[tuple[int, bytes | None]]) -> Iterator[Row | Finding]:
    """Yield a mapping of the columns for each record, which may have several lines."""
    csv.field_size_limit(LONGEST_LINE)
    source = _CsvLines(lines)
    header = next(source, "")
    delimiter = max(",;\t", key=header.count)
    columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if not columns:
        return
    if len(set(columns)) < len(columns) or not all(columns):
        raise ConfigError("line 1: each column of a CSV file needs a name of its own")
    records = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        first = source.number + 1
        try:
            record = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield Finding(first, "invalid_csv_row", f"the row cannot be read: {error}")
            continue
        except UnicodeDecodeError as error:
            yield _not_utf8(source.number, error)
            records = csv.reader(source, delimiter=delimiter, strict=True)
            continue
        if not any(record):
            continue
        if len(record) != len(columns):
            text = f"the row has {len(record)} columns, and the first line names {len(columns)}"
            yield Finding(first, "invalid_csv_row", text)
        else:
            yield Row(first, dict(zip(columns, record, strict=True)))


class _CsvLines:
    """The lines of a CSV file as text, with the number of the last one that was read."""

    def __init__(self, lines: Iterable[tuple[int, bytes | None]]) -> None:
        self._lines = iter(lines)
        self.number = 0

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(_too_long(self.number).message)
        return line.decode()


def _too_long(number: int) -> Finding:
    return Finding(number, "line_too_long", f"the line has more than {LONGEST_LINE >> 20} MiB")


def _not_utf8(number: int, error: UnicodeDecodeError) -> Finding:
    return Finding(number, "invalid_encoding", f"the line is not UTF-8 (byte {error.start + 1})")
