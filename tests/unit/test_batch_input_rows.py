"""The rows of a batch's input: JSON lines, text and CSV, each in the spellings that programs write."""

from __future__ import annotations

import codecs
import gc
import io
import os
import threading

import pytest
from support.platforms import posix

from foundry_rest.batch import input_rows
from foundry_rest.batch.findings import Finding
from foundry_rest.batch.input_rows import Row, detect_format, open_input, read_rows
from foundry_rest.errors import ConfigError


def rows(content: bytes, form: str) -> list[Row | Finding]:
    """Return the rows of a content."""
    return list(read_rows(io.BytesIO(content), form))


def codes(found) -> list[object]:
    """Return the rows as they are, and of each finding its line and code."""
    return [(item.line, item.code) if isinstance(item, Finding) else tuple(item) for item in found]


# ---------------------------------------------------------------- JSON lines


def test_json_lines():
    """Each line is an object with the number of its line; blank lines are counted and left out."""
    assert rows(b'{"a": 1}\n\n  \r\n{"b": "x"}', "jsonl") == [Row(1, {"a": 1}), Row(4, {"b": "x"})]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b'{"a": 1} {"b": 2}',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1,}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\t"}',
        b'{"a":' * 100_000,
        b"\x00",
    ],
)
def test_a_line_that_is_no_object(line):
    """A line that is not one JSON object is a finding, and the lines around it are read."""
    found = rows(b'{"a": 1}\n' + line + b'\n{"b": 2}\n', "jsonl")

    assert codes(found) == [(1, {"a": 1}), (2, "invalid_json_line"), (3, {"b": 2})]


# ---------------------------------------------------------------- text


def test_text():
    """Each line is a prompt, without the spaces around it; quotes, commas and braces are its own."""
    assert rows(b'one\n  two, "three" {x} \r\n\n\t\nz\xc3\xbcrich', "text") == [
        Row(1, "one"),
        Row(2, 'two, "three" {x}'),
        Row(5, "zürich"),
    ]


def test_text_that_is_not_utf8():
    """A line in another encoding is a finding that names the byte, and not a prompt with other letters."""
    good, bad = rows(b"one\nz\xfcrich\n", "text")

    assert good == Row(1, "one")
    assert (bad.line, bad.code) == (2, "invalid_encoding")
    assert "byte 2" in bad.message


# ---------------------------------------------------------------- CSV


def test_csv():
    """The first line names the columns; a quoted field may hold line ends, and a row has its first number."""
    content = b'text,lang\r\n"a\nb",de\r\n\r\n"say ""x""",\n'

    assert rows(content, "csv") == [
        Row(2, {"text": "a\nb", "lang": "de"}),
        Row(5, {"text": 'say "x"', "lang": ""}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_delimiters(delimiter):
    """Comma, semicolon and tab are told by the first line, and the other two are text then."""
    content = f"a{delimiter}b\n1{delimiter}',;\t'\n".replace("'", '"').encode()

    assert rows(content, "csv") == [Row(2, {"a": "1", "b": ",;\t"})]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"1\n", "1 columns"),
        (b"1,2,3\n", "3 columns"),
        (b'"open,1\n', "unexpected end"),
        (b'"x"y,1\n', "expected after"),
        (b"a\rb,1\n", "new-line character"),
    ],
)
def test_csv_rows_that_cannot_be_read(row, said):
    """A row with too few or many columns or bad quotes is a finding with its line."""
    good, bad = rows(b"a,b\n1,2\n" + row, "csv")

    assert good == Row(2, {"a": "1", "b": "2"})
    assert (bad.line, bad.code) == (3, "invalid_csv_row")
    assert said in bad.message


def test_csv_goes_on_after_a_bad_row():
    """What cannot be read costs its own row and no other."""
    found = codes(rows(b'a,b\n"x"y,1\nz\xfc,1\n1\n3,4\n', "csv"))

    assert found == [
        (2, "invalid_csv_row"),
        (3, "invalid_encoding"),
        (4, "invalid_csv_row"),
        (5, {"a": "3", "b": "4"}),
    ]


def test_csv_odd_files():
    """Blank lines before the header and rows of empty fields are none; a header alone has no rows."""
    assert rows(b"", "csv") == rows(b"\n \r\n", "csv") == rows(b"a,b\n", "csv") == []
    assert rows(b"\r\n\n a , b \n1,2\n,\n\n3,4", "csv") == [
        Row(4, {"a": "1", "b": "2"}),
        Row(7, {"a": "3", "b": "4"}),
    ]
    assert rows(b'"x\ny",b\n1,2\n', "csv") == [Row(3, {"x\ny": "1", "b": "2"})]


@pytest.mark.parametrize("header", [b"a,a\n", b"a,\n", b",\n", b"z\xfc,b\n", b"a\rb,c\n", b'"a,b\n'])
def test_csv_columns_that_cannot_be_used(header):
    """Columns that are unnamed, named twice or unreadable end the whole, with the line of the names."""
    with pytest.raises(ConfigError, match="line 1: "):
        rows(header + b"1,2\n", "csv")


# ---------------------------------------------------------------- marks, encodings, ends of lines


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_spellings_of_a_file(tmp_path, form, encoding, end):
    """A byte order mark, UTF-16 of either order and both ends of lines mean the same rows."""
    lines = {"jsonl": ['{"a": "ü"}', '{"a": "😀"}'], "text": ["ü", "😀"], "csv": ["a", "ü", "😀"]}[form]
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    path = tmp_path / "in.jsonl"
    path.write_bytes(mark + end.join([*lines, ""]).encode(encoding))
    with open_input(str(path), None) as source:
        found = [row.given for row in read_rows(source, form)]

    assert found == (["ü", "😀"] if form == "text" else [{"a": "ü"}, {"a": "😀"}])


@pytest.mark.parametrize("content", [codecs.BOM_UTF16_LE + b"a", codecs.BOM_UTF16_BE + b"\xd8\x00\x00a"])
def test_half_utf16(tmp_path, content):
    """What begins as UTF-16 and is none is refused, and no temporary file stays open."""
    path = tmp_path / "in.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="begins as UTF-16 and is none"), open_input(str(path), None):
        pass
    gc.collect()  # an unclosed file would warn, and a warning fails the test


def test_detect_format():
    """The ending of the name tells the form, else the first byte that is no space."""
    cases = [
        ("a.csv", b"{}", "csv"),
        ("A.TSV", b"x", "csv"),
        ("a.jsonl", b"x", "jsonl"),
        ("A.JSONL", b"", "jsonl"),
        ("a.txt", b' \n {"a": 1}', "jsonl"),
        ("a.txt", codecs.BOM_UTF8 + b"{", "jsonl"),
        ("a.txt", b"Hello {x}", "text"),
        ("-", b"{}", "jsonl"),
        ("-", b"", "text"),
    ]
    for name, content, form in cases:
        source = io.BytesIO(content)
        assert detect_format(name, source) == form, (name, content)
        assert source.tell() == 0


# ---------------------------------------------------------------- length and change


@pytest.fixture
def short(monkeypatch):
    """Make 64 bytes the longest line."""
    monkeypatch.setattr(input_rows, "LONGEST_LINE", 64)


@pytest.mark.parametrize(("form", "head"), [("jsonl", b""), ("text", b""), ("csv", b"a\n")], ids=str)
@pytest.mark.parametrize("length", [65, 128, 129, 1000])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_too_long_lines(short, form, head, length, end):
    """A line above the bound is a finding, read in pieces, and the next line has the right number."""
    size = length - len(end)
    found = codes(rows(head + b"x" * size + end + b'{"a": 1}' * bool(end), form))
    first = 1 + len(head) // 2

    assert found[0] == (first, "line_too_long")
    assert [line for line, _ in found] == [first, first + 1][: 1 + bool(end)]


def test_a_line_of_exactly_the_bound(short):
    """The bound counts the line's end, and a line of just so many bytes is read."""
    assert rows(b"x" * 63 + b"\n" + b"y" * 64, "text") == [Row(1, "x" * 63), Row(2, "y" * 64)]


class Growing(io.BytesIO):
    """A file that changes when the line of a number was read."""

    def __init__(self, content: bytes, at: int, change) -> None:
        super().__init__(content)
        self._left, self._change = at, change

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read a line; change the file behind it."""
        line = super().readline(size)
        self._left -= 1
        if not self._left:
            place = self.tell()
            self._change(self)
            self.seek(place)
        return line


def appended(more: bytes):
    """Return a change that appends bytes."""

    def change(file) -> None:
        file.seek(0, 2)
        file.write(more)

    return change


@pytest.mark.parametrize("form", ["jsonl", "text", "csv"])
def test_an_input_that_grows(form):
    """Lines that are added while the file is read are not of this run, and that is a finding."""
    line = b'{"a": 1}\n'
    file = Growing(b"a\n" * (form == "csv") + line.replace(b" ", b"") * 2, 1, appended(line * 5))
    found = list(read_rows(file, form))

    assert len(found) == 3
    assert codes(found)[-1] == (found[-2].line + 1, "input_changed")


def test_an_input_that_grows_in_a_line():
    """A line of which half was there is no row: half a prompt would be sent."""
    file = Growing(b"one\ntwo is ha", 1, appended(b"lf a line\n"))

    assert codes(read_rows(file, "text")) == [(1, "one"), (2, "input_changed")]


@pytest.mark.parametrize("size", [4, 40])
def test_an_input_that_shrinks(short, size):
    """A file that is cut while it is read ends with a finding, also within a line that is too long."""
    content, at = b"one\n" + b"x" * 300 + b"\ntwo\n", 1 if size == 4 else 2
    file = Growing(content, at, lambda file: file.truncate(size))
    found = codes(read_rows(file, "text"))

    assert found[0] == (1, "one")
    assert found[-1][1] == "input_changed"


def test_an_input_that_never_ends(tmp_path):
    """A file that grows with each line that is read comes to an end all the same."""
    path = tmp_path / "in.txt"
    path.write_bytes(b"x\n" * 100)
    with open_input(str(path), None) as source, path.open("ab") as more:
        count = 0
        for count, _ in enumerate(read_rows(source, "text"), 1):  # noqa: B007
            more.write(b"y\n" * 10)
            more.flush()

    assert count == 101


# ---------------------------------------------------------------- where it comes from


def test_stdin_is_staged():
    """``-`` is stdin, of any kind; it is copied, so that it can be read again."""
    with open_input("-", io.BytesIO(b"one\ntwo\n")) as source:
        assert [row.given for row in read_rows(source, "text")] == ["one", "two"]
        source.seek(0)
        assert source.read() == b"one\ntwo\n"
    assert source.closed


def test_stdin_in_utf16():
    """PowerShell's pipe is read, too."""
    with open_input("-", io.BytesIO("ü\n".encode("utf-16"))) as source:
        assert [row.given for row in read_rows(source, "text")] == ["ü"]


def test_closed_stdin():
    """A closed stdin is said to be closed."""
    with pytest.raises(ConfigError, match="stdin is closed"), open_input("-", None):
        pass


@pytest.mark.parametrize("name", ["nothing", "."])
def test_what_cannot_be_opened(tmp_path, name):
    """A file that is not there, and a directory, are told with their name."""
    with (
        pytest.raises(ConfigError, match=r"the input .* cannot be read: "),
        open_input(str(tmp_path / name), None),
    ):
        pass


@posix
def test_a_pipe(tmp_path):
    """A named pipe is copied first: the check and the sending both read it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    with open_input(str(path), None) as source:
        found = [row.given for row in read_rows(source, "text")]
        assert source.seekable()
    writer.join(5)

    assert found == ["one", "two"]
    assert not writer.is_alive()
