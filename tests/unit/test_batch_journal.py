"""The journal of a batch: what a crash leaves of it, whose it is, which versions are read."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from support.batches import FaultyFiles
from support.platforms import links, posix

from foundry_rest.batch.journal import FORMAT, VERSION, Journal, Record, Written
from foundry_rest.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    """Return the place of a journal."""
    return tmp_path / "out.jsonl.journal"


def record(name: str, **more) -> Record:
    """Return a record."""
    return Record(name, f"key-{name}", msgspec.Raw(msgspec.json.encode({"custom_id": name})), **more)


def names(journal: Journal, start: int = 0) -> list[object]:
    """Return the names of the records, and ``None`` for each line that cannot be read."""
    return [each.record.custom_id if isinstance(each, Written) else None for each in journal.records(start)]


def written(path: Path, *records: Record) -> bytes:
    """Write a journal with records and return its bytes."""
    with Journal(path) as journal:
        for each in records:
            journal.append(each)
    return path.read_bytes()


# ---------------------------------------------------------------- records


def test_records_come_back(path):
    """A record is what it was, in a run of its own and in a later one, and is found at its place."""
    given = [record("a"), record("ü\n", ok=False), record("c", ok=False, transient=True)]
    with Journal(path) as journal:
        for each in given:
            journal.append(each)
        journal.sync()
        assert [each.record for each in journal.records()] == given
    with Journal(path) as journal:
        found = list(journal.records())
        assert [each.record for each in found] == given
        for each in reversed(found):
            assert journal.read(each.offset, each.length) == each.record
        assert journal.size == path.stat().st_size


def test_records_from_a_size_on(path):
    """What a run has added is found without reading what was there before."""
    written(path, record("a"), record("b"))
    with Journal(path) as journal:
        start = journal.size
        assert names(journal, start) == []
        journal.append(record("c"))
        assert names(journal, start) == ["c"]
        assert names(journal) == ["a", "b", "c"]


def test_it_is_json_lines(path):
    """A person can read it: JSON lines, of which the first names format and version."""
    lines = [msgspec.json.decode(line) for line in written(path, record("a")).splitlines()]

    assert lines == [
        {"format": "foundry_rest batch journal", "version": 1},
        {"custom_id": "a", "key": "key-a", "line": {"custom_id": "a"}},
    ]
    assert (FORMAT, VERSION) == ("foundry_rest batch journal", 1)


def test_many_threads(path):
    """Records that many threads append at once are all there, each as a whole."""
    count = 8
    with Journal(path) as journal:

        def append(number):
            for each in range(100):
                journal.append(record(f"{number}-{each}-{'x' * each * 7}"))

        threads = [threading.Thread(target=append, args=[number]) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        found = names(journal)

    assert None not in found
    assert len(set(found)) == len(found) == count * 100


# ---------------------------------------------------------------- crashes


def test_torn_at_each_byte(path):
    """Whatever a crash leaves of the file, the whole records before are read and the next ones are added."""
    whole = written(path, record("a"), record("b"))
    ends = [whole.index(b"\n"), whole.rindex(b"\n"), len(whole)]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        before = sum(size >= end for end in ends[1:])
        with Journal(path) as journal:
            found = names(journal)
            assert [name for name in found if name] == ["a", "b"][:before], size
            assert found.count(None) <= 1
            journal.append(record("c"))
            assert [name for name in names(journal) if name] == [*["a", "b"][:before], "c"], size
        with Journal(path) as journal:
            assert [name for name in names(journal) if name] == [*["a", "b"][:before], "c"], size


@pytest.mark.parametrize(
    "line",
    [
        b"\x00" * 50,
        b"{}",
        b"[]",
        b"x",
        b'{"custom_id": 5, "key": "k", "line": {}}',
        b'{"custom_id": "z", "key": "k"}',
        b'{"custom_id": "z", "key": "k", "line": }',
        b'{"custom_id": "\xff", "key": "k", "line": {}}',
        b'{"a":' * 20_000,
    ],
)
def test_a_line_in_the_middle_that_cannot_be_read(path, line):
    """A line that is no record is left out, with its place, and the records around it are read."""
    whole = written(path, record("a"), record("b"))
    at = whole.rindex(b"\n") + 1
    path.write_bytes(whole[:at] + line + b"\n" + whole[at:])
    with Journal(path) as journal:
        assert names(journal) == ["a", None, "b"]
        assert next(each for each in journal.records() if isinstance(each, int)) == at


@pytest.mark.parametrize("part", [0, 1, 40])
def test_a_full_disk(path, part):
    """A record of which the system takes a part is an error; what was there before stays."""

    class Full(FaultyFiles):
        """A disk that has room for a part of the next record."""

        def write(self, descriptor, content):
            """Write a part."""
            return os.write(descriptor, content[:part])

    written(path, record("a"))
    files = Full()
    with Journal(path, files) as journal:
        with pytest.raises(OSError, match="space") as raised:
            journal.append(record("b"))
        assert raised.value.errno == errno.ENOSPC
        assert [name for name in names(journal) if name] == ["a"]
    assert names_after_rerun(path) == ["a", "c"]


def names_after_rerun(path) -> list[str]:
    """Append another record in a run of its own, and return the names of all that can be read."""
    with Journal(path) as journal:
        journal.append(record("c"))
        return [name for name in names(journal) if name]


@pytest.mark.parametrize("at", range(1, 4))
@pytest.mark.parametrize("half", [False, True])
def test_a_head_that_cannot_be_written(path, at, half):
    """A journal whose beginning failed is begun by the next run."""
    with pytest.raises(OSError, match="space"):
        Journal(path, FaultyFiles(at, half=half))

    assert names_after_rerun(path) == ["c"]


def test_what_was_written_is_synced_at_the_start(path):
    """Results of a run that was killed before its sync are on the disk before this one counts on them."""
    written(path, record("a"))
    files = FaultyFiles()
    with Journal(path, files):
        assert files.done == ["sync", "sync_directory"]


def test_a_sync_that_fails(path):
    """A failed sync is raised: nothing that rests on it is reported."""
    written(path)
    files = FaultyFiles(4)
    with Journal(path, files) as journal:
        journal.append(record("a"))
        with pytest.raises(OSError, match="space"):
            journal.sync()

    assert files.done == ["sync", "sync_directory", "write", "sync"]


# ---------------------------------------------------------------- versions and strangers


@pytest.mark.parametrize("version", [0, 2, 99])
def test_other_versions(path, version):
    """A journal of another version is refused with both numbers, and stays as it is."""
    path.write_text(f'{{"format":"{FORMAT}","version":{version}}}\n{{"new": 1}}\n')
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=f"has version {version} of the journal's format, and this is 1"):
        Journal(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"precious\n",
        b"\n",
        b"{}\n",
        b'{"format": "other", "version": 1}\n',
        b'{"format": "foundry_rest batch journal"}\n',
        b'{"format": "foundry_rest batch journal", "version": "1"}\n',
        b'{"format": "foundry_rest batch journal"',
        b"\xff\xfe\x00",
        b"x" * 1000,
    ],
)
def test_what_is_no_journal(path, content):
    """Another file in its place is refused, and stays as it is."""
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no journal of a batch"):
        Journal(path)

    assert path.read_bytes() == content


def test_a_head_in_another_spelling(path):
    """A head of this version with members and spaces of its own is read."""
    path.write_bytes(b'{ "version": 1, "format": "foundry_rest batch journal", "new": true }')

    assert names_after_rerun(path) == ["c"]


# ---------------------------------------------------------------- whose it is


def test_two_runs_at_once(path):
    """A second run is refused while the first is there, and let in afterwards."""
    with Journal(path) as journal:
        journal.append(record("a"))
        with pytest.raises(ConfigError, match=r"another run has .* open") as raised:
            Journal(path)
        assert "Wait for its end" in str(raised.value)
        journal.append(record("b"))
        assert names(journal) == ["a", "b"]

    assert names_after_rerun(path) == ["a", "b", "c"]


HOLD = """
import sys
from pathlib import Path
from foundry_rest.batch.journal import Journal
with Journal(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_run_of_another_process(path):
    """The lock holds between processes, and ends with the process, whatever ended it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdout.readline().strip() == b"open"
            with pytest.raises(ConfigError, match="another run"):
                Journal(path)
        finally:
            process.kill()
            process.wait(20)

    assert names_after_rerun(path) == ["c"]


@posix
def test_permissions(path):
    """It holds prompts' answers: only this user may read it, whatever the umask."""
    before = os.umask(0)
    try:
        written(path, record("a"))
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("mode", [0o666, 0o622])
def test_a_journal_that_others_may_write(path, mode):
    """A file that others may write is not believed."""
    written(path, record("a"))
    path.chmod(mode)
    with pytest.raises(PermissionError, match="not private to this user"):
        Journal(path)


@links
@posix
@pytest.mark.parametrize("there", [True, False])
def test_links_are_refused(path, tmp_path, there):
    """A link in its place leads into another file: it is neither followed nor made."""
    other = tmp_path / "other"
    if there:
        written(other, record("a"))
    path.symlink_to(other)
    with pytest.raises(OSError, match=str(path)):
        Journal(path)

    assert other.exists() is there


@posix
def test_odd_places(path, tmp_path):
    """A second name of another file, a directory and a missing directory are refused."""
    other = tmp_path / "other"
    written(other, record("a"))
    path.hardlink_to(other)
    with pytest.raises(PermissionError, match="not private"):
        Journal(path)
    with pytest.raises(IsADirectoryError):
        Journal(tmp_path)
    with pytest.raises(FileNotFoundError):
        Journal(tmp_path / "none" / "x.journal")


def test_no_descriptor_stays(path, tmp_path):
    """A journal that was refused is closed: on Windows nobody could remove it otherwise."""
    path.write_bytes(b"precious\n")
    with pytest.raises(ConfigError):
        Journal(path)
    path.unlink()
    written(path, record("a"))
    path.unlink()
