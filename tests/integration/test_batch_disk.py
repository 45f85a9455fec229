"""A batch whose disk fills up or whose files cannot be written: it says so, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.batch_processes import Batch, is_root, lines, outcomes, write
from support.platforms import posix
from support.servers import CHAT

pytestmark = posix
MODEL = "demo-generic-cpu"
ITEMS = 200
#: Any user but root; nobody has this number.
STRANGER = 54_321


class Disk:
    """A small file system in memory.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder):
        self.folder = folder

    def mount(self, options):
        """Mount it; return whether that is allowed here."""
        line = ["mount", "-t", "tmpfs", "-o", options, "batch-test", str(self.folder)]
        try:
            return not subprocess.run(line, capture_output=True, check=False, timeout=10).returncode
        except OSError:
            return False

    def change(self, options):
        """Change its size, or whether it can be written."""
        line = ["mount", "-o", f"remount,{options}", str(self.folder)]
        subprocess.run(line, capture_output=True, check=True, timeout=10)

    def unmount(self):
        """Remove it, also while a process still has it open."""
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=True, timeout=10)


@pytest.fixture
def disk(tmp_path):
    """Return a file system of the test's own; only root can make one."""
    made = Disk(tmp_path / "disk")
    made.folder.mkdir()
    if not sys.platform.startswith("linux") or not is_root() or not made.mount("size=1m,mode=700"):
        pytest.skip("needs root on Linux, and the right to mount")
    yield made
    made.unmount()


@pytest.fixture
def batch(command, faults, tmp_path):
    """Return a batch whose input lies beside the small disk, and its output on it."""
    made = Batch(command, tmp_path, faults.url, "disk/out.jsonl")
    write(made.input, lines(ITEMS, model=MODEL))
    return made


def whole():
    """Return what an output says when every request has its answer."""
    return {f"r{number}": 200 for number in range(ITEMS)}


def assert_says_full(done, batch):
    """Check that one line says what is wrong and where the results are."""
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert str(batch.journal) in done.stderr
    assert "run it again" in done.stderr


@pytest.mark.parametrize("sync", ["every", "second", "none"])
def test_full_while_it_runs(batch, faults, disk, sync):
    """A disk that is full ends the batch; with room again, a later run sends what has no result."""
    disk.change("size=64k")
    done = batch.run("--sync", sync)

    assert_says_full(done, batch)
    assert not batch.output.exists()
    assert [path.name for path in disk.folder.iterdir()] == ["out.jsonl.journal"]
    calls = len(faults.asked(CHAT))
    assert 20 < calls < ITEMS

    # Still full: nothing is lost by trying.
    assert_says_full(batch.run(), batch)
    more = len(faults.asked(CHAT)) - calls
    disk.change("size=1m")
    again = batch.run()
    assert again.returncode == 0, again.stderr
    assert outcomes(batch.output) == whole()
    # What was answered and found no room is called again: at most one call of each thread in each run.
    assert more <= 4
    assert ITEMS < len(faults.asked(CHAT)) <= ITEMS + 2 * 4


def test_full_when_the_output_is_written(batch, faults, disk):
    """A disk with room for the journal and none for the output: every call is kept."""
    assert batch.run().returncode == 0
    journal, output = batch.journal.stat().st_size, batch.output.stat().st_size
    content = batch.output.read_bytes()
    batch.output.unlink()
    disk.change(f"size={journal + output // 2}")
    calls = len(faults.asked(CHAT))

    for _ in range(2):
        assert_says_full(batch.run(), batch)
        assert [path.name for path in disk.folder.iterdir()] == ["out.jsonl.journal"]
    disk.change("size=1m")
    assert batch.run().returncode == 0
    assert batch.output.read_bytes() == content
    assert len(faults.asked(CHAT)) == calls == ITEMS


def test_full_when_the_output_is_replaced(batch, faults, disk):
    """An output that cannot be replaced by a newer one stays as it is."""
    assert batch.run("--limit", ITEMS - 1).returncode == 0
    content = batch.output.read_bytes()
    disk.change(f"size={batch.journal.stat().st_size + len(content) + 8192}")

    assert_says_full(batch.run(), batch)
    assert batch.output.read_bytes() == content
    disk.change("size=1m")
    assert batch.run().returncode == 0
    assert outcomes(batch.output) == whole()
    assert len(faults.asked(CHAT)) == ITEMS


def test_read_only(batch, faults, disk):
    """A disk that cannot be written is said at once: nothing is sent."""
    disk.change("ro")
    done = batch.run()

    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert str(batch.journal) in done.stderr
    assert not faults.asked(CHAT)
    disk.change("rw")
    assert batch.run().returncode == 0


def test_read_only_between_two_runs(batch, faults, disk):
    """A disk that has turned read-only, as a broken one does, keeps what is on it."""
    assert batch.run("--limit", 10).returncode == 0
    content = batch.output.read_bytes()
    disk.change("ro")

    done = batch.run()
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert batch.output.read_bytes() == content
    disk.change("rw")
    assert batch.run().returncode == 0
    assert len(faults.asked(CHAT)) == ITEMS


@pytest.mark.parametrize("name", ["missing/out.jsonl", "in.jsonl/out.jsonl", "folder", "in.jsonl"])
def test_place_that_cannot_be(command, faults, tmp_path, name):
    """An output in no directory, in a file, that is a directory or the input is refused before all else."""
    (tmp_path / "folder").mkdir()
    batch = Batch(command, tmp_path, faults.url, name)
    write(batch.input, lines(3, model=MODEL))
    content = batch.input.read_bytes()
    done = batch.run()

    assert done.returncode == 2, done.stderr
    assert str((tmp_path / name).parent if "/" in name else tmp_path / name) in done.stderr
    assert not faults.requests
    assert batch.input.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "in.jsonl"}


@pytest.fixture
def plain(command, faults, tmp_path):
    """Return a batch in a folder of the usual kind."""
    made = Batch(command, tmp_path, faults.url)
    write(made.input, lines(3, model=MODEL))
    return made


def assert_refused(batch, faults, said):
    """Check that a run ends before it sends anything, and names the journal."""
    done = batch.run()
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert str(batch.journal) in done.stderr
    assert not faults.asked(CHAT)
    assert not batch.output.exists()


def test_journal_that_others_may_write(plain, faults):
    """A journal that others may write could have answers of anybody's: it is refused."""
    plain.journal.touch()
    plain.journal.chmod(0o666)
    assert_refused(plain, faults, "not private")


def test_journal_behind_a_link(plain, faults, tmp_path):
    """A journal that is a link leads elsewhere: what is there is not touched."""
    target = tmp_path / "target"
    target.write_text("precious", "utf-8")
    plain.journal.symlink_to(target)
    assert_refused(plain, faults, "symbolic link")
    assert target.read_text("utf-8") == "precious"


@pytest.mark.skipif(not is_root(), reason="only root gives files away")
def test_journal_of_another_user(plain, faults):
    """Another user's journal is refused, and stays theirs."""
    plain.journal.write_bytes(b"")
    plain.journal.chmod(0o600)
    os.chown(plain.journal, STRANGER, STRANGER)
    assert_refused(plain, faults, "not a file of this user")
    assert plain.journal.stat().st_size == 0
