"""The files of a batch's output: checked before anything is sent, written as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from support.batches import MEANINGS, FaultyFiles, filled
from support.platforms import links, posix

from foundry_rest.batch import files as files_module
from foundry_rest.batch.files import Files
from foundry_rest.batch.journal import Journal, Record
from foundry_rest.batch.output import Counts, Output
from foundry_rest.batch.output_lines import CANCELLED, EXPIRED
from foundry_rest.batch.resume import note_results
from foundry_rest.errors import ConfigError


@pytest.fixture
def source(tmp_path):
    """Return an input."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"precious")
    return path


# ---------------------------------------------------------------- check


def test_a_new_output(tmp_path, source):
    """Files that are not there yet, in directories that are, can be used; the report may be an old one."""
    report = tmp_path / "report.html"
    report.write_bytes(b"of yesterday")
    Output(tmp_path / "out.jsonl", tmp_path / "errors.jsonl").check(source, report)
    Output(tmp_path / "out.jsonl").check(None)

    assert Output(tmp_path / "out.jsonl").journal == tmp_path / "out.jsonl.journal"


def test_an_output_with_a_journal(tmp_path, source):
    """Outputs that a journal beside them knows of are written again by a rerun."""
    for name in ("out.jsonl", "errors.jsonl", "out.jsonl.journal"):
        (tmp_path / name).write_bytes(b"")
    Output(tmp_path / "out.jsonl", tmp_path / "errors.jsonl").check(source)


@pytest.mark.parametrize("name", ["out.jsonl", "errors.jsonl"])
def test_a_file_that_is_there(tmp_path, source, name):
    """A file of somebody's, without a journal, is not overwritten."""
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(ConfigError, match=f"{name} exists, and no journal is beside the output"):
        Output(tmp_path / "out.jsonl", tmp_path / "errors.jsonl").check(source)


@pytest.mark.parametrize(
    ("path", "errors", "report"),
    [
        ("in.jsonl", None, None),
        ("out", "in.jsonl", None),
        ("out", None, "in.jsonl"),
        ("out", "out", None),
        ("out", "out.journal", None),
        ("out", None, "out"),
        ("out", None, "out.journal"),
        ("out", "errors", "errors"),
        ("sub/../in.jsonl", None, None),
        ("sub/../out", "out", None),
    ],
)
def test_each_file_has_its_place(tmp_path, source, path, errors, report):
    """No file is used twice, in whatever spelling: neither the input nor one of the outputs is lost."""
    (tmp_path / "sub").mkdir()
    with pytest.raises(ConfigError, match="is used twice"):
        Output(tmp_path / path, errors and tmp_path / errors).check(source, report and tmp_path / report)

    assert source.read_bytes() == b"precious"


def test_the_input_is_the_journal(tmp_path):
    """An input that is named as the journal would be is not taken for it."""
    source = tmp_path / "x.journal"
    source.write_bytes(b"precious")
    with pytest.raises(ConfigError, match="is used twice"):
        Output(tmp_path / "x").check(source)


@links
@pytest.mark.parametrize("name", ["out.jsonl", "errors.jsonl", "report.html"])
def test_links_to_the_input(tmp_path, source, name):
    """A link to the input is the input, and so is a second name of it."""
    (tmp_path / name).symlink_to(source)
    with pytest.raises(ConfigError, match="is used twice"):
        Output(tmp_path / "out.jsonl", tmp_path / "errors.jsonl").check(source, tmp_path / "report.html")


@pytest.mark.parametrize("name", ["path", "errors", "report"])
def test_directories(tmp_path, source, name):
    """A directory, and a place in one that is not there, are told before hours of work."""
    for place, said in [
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "x", "there is no directory .*none"),
    ]:
        given = {"path": tmp_path / "out", "errors": None, "report": None, name: place}
        with pytest.raises(ConfigError, match=said):
            Output(given["path"], given["errors"]).check(source, given["report"])


# ---------------------------------------------------------------- write


class Written:
    """Outputs of three results and one request without."""

    def __init__(
        self, folder: Path, *, errors: bool, ordered: bool, code: str = CANCELLED, files=None
    ) -> None:
        self.path, self.errors = folder / "out.jsonl", folder / "errors.jsonl" if errors else None
        output = Output(self.path, self.errors, ordered, files or Files())
        with filled("a", "b", "c", "d") as index, Journal(folder / "j") as journal:
            for name, ok in [("d", True), ("a", False), ("c", True)]:
                line = msgspec.json.encode({"custom_id": name, "ok": ok, "text": "ü\n"})
                journal.append(Record(name, index.find(name).key(MEANINGS["m"]), msgspec.Raw(line), ok=ok))
            note_results(journal, index, MEANINGS)
            self.counts = output.write(index, journal, code)

    def names(self, path: Path | None = None) -> list[str]:
        """Return the names in a file."""
        return [json.loads(line)["custom_id"] for line in (path or self.path).read_bytes().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


COUNTS = Counts(succeeded=2, failed=1, unsent=1)


def test_one_file(tmp_path):
    """All results are in one file, as they came, and requests without one stand at the end."""
    written = Written(tmp_path, errors=False, ordered=False)

    assert written.names() == ["d", "a", "c", "b"]
    assert written.counts == COUNTS
    lines = written.path.read_bytes().splitlines()
    assert lines[0] == '{"custom_id":"d","ok":true,"text":"ü\\n"}'.encode()
    assert json.loads(lines[-1])["error"]["code"] == "batch_cancelled"


def test_in_order(tmp_path):
    """``ordered`` is the order of the input, the requests without a result among them."""
    assert Written(tmp_path, errors=False, ordered=True).names() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("ordered", "first", "second"), [(False, ["d", "c"], ["a", "b"]), (True, ["c", "d"], ["a", "b"])]
)
def test_two_files(tmp_path, ordered, first, second):
    """With a file of errors the answers are alone, as upstream has it, and every other line is in it."""
    written = Written(tmp_path, errors=True, ordered=ordered, code=EXPIRED)

    assert written.names() == first
    assert written.names(written.errors) == second
    assert written.counts == COUNTS
    assert json.loads(written.errors.read_bytes().splitlines()[1])["error"]["code"] == "batch_expired"


def test_an_empty_batch(tmp_path):
    """Without a request the files are there, and empty."""
    with filled() as index, Journal(tmp_path / "j") as journal:
        output = Output(tmp_path / "out", tmp_path / "errors")
        assert output.write(index, journal, CANCELLED) == Counts()
    assert (tmp_path / "out").read_bytes() == (tmp_path / "errors").read_bytes() == b""


@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("half", [False, True])
def test_whole_or_not_at_all(tmp_path, at, half):
    """Whatever fails, each file is the old one or the new one as a whole, and nothing else lies about."""
    (tmp_path / "out.jsonl").write_bytes(b"old")
    (tmp_path / "errors.jsonl").write_bytes(b"old")
    files = FaultyFiles(at, half=half)
    with pytest.raises(OSError, match="space"):
        Written(tmp_path, errors=True, ordered=True, files=files)

    assert files.done == (["write", "sync", "replace", "sync_directory"] * 2)[:at]
    found = contents(tmp_path)
    assert found.keys() == {"j", "out.jsonl", "errors.jsonl"}
    assert (found["errors.jsonl"] == b"old") is (at < 4)
    assert (found["out.jsonl"] == b"old") is (at < 8)
    assert all(
        content == b"old" or content.endswith(b"}\n") for name, content in found.items() if name != "j"
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interrupt_leaves_nothing(tmp_path, error):
    """An interrupt in the middle of writing is like a failure."""
    with pytest.raises(type(error)):
        Written(tmp_path, errors=False, ordered=True, files=FaultyFiles(2, error=error))

    assert [path.name for path in tmp_path.iterdir()] == ["j"]


@links
def test_what_a_killed_run_left_is_replaced(tmp_path):
    """The file that a run was writing when it was killed goes with the next one; a link in its place, too."""
    precious, part = tmp_path / "precious", tmp_path / ".out.part"
    precious.write_bytes(b"precious")
    for leave in (lambda: part.write_bytes(b"half"), lambda: part.symlink_to(precious)):
        leave()
        Files().write_whole(tmp_path / "out", [b"whole"])

        assert (tmp_path / "out").read_bytes() == b"whole"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "precious"]
    assert precious.read_bytes() == b"precious"


@posix
def test_permissions(tmp_path):
    """Answers are for this user alone, whatever the umask."""
    before = os.umask(0)
    try:
        Written(tmp_path, errors=True, ordered=False)
    finally:
        os.umask(before)

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


# ---------------------------------------------------------------- the layer below


def test_many_small_pieces_are_few_writes(tmp_path, monkeypatch):
    """Lines are gathered before they are written, and all of them are."""
    monkeypatch.setattr(files_module, "_BUFFER", 100)
    files = FaultyFiles()
    files.write_whole(tmp_path / "x", (b"%03d\n" % number for number in range(100)))

    assert files.done == ["write"] * 4 + ["sync", "replace", "sync_directory"]
    assert (tmp_path / "x").read_bytes() == b"".join(b"%03d\n" % number for number in range(100))


def test_a_system_that_takes_a_part(tmp_path):
    """A write of which the system takes a part is gone on with."""

    class Slow(Files):
        """A system that takes three bytes at a time."""

        def write(self, descriptor, content):
            """Write three bytes."""
            return super().write(descriptor, content[:3])

    Slow().write_whole(tmp_path / "x", [b"0123456789", b"ab"])

    assert (tmp_path / "x").read_bytes() == b"0123456789ab"


def test_a_source_that_fails(tmp_path):
    """An error of what gives the pieces leaves the old file."""
    (tmp_path / "x").write_bytes(b"old")

    def pieces():
        yield b"new"
        raise LookupError

    with pytest.raises(LookupError):
        Files().write_whole(tmp_path / "x", pieces())

    assert contents(tmp_path) == {"x": b"old"}


@posix
def test_a_directory_that_cannot_be_written(tmp_path):
    """The reason of the system comes out, with the number by which a program knows it."""
    with pytest.raises(OSError, match="No such file") as raised:
        Files().write_whole(tmp_path / "none" / "x", [b""])

    assert raised.value.errno == errno.ENOENT
