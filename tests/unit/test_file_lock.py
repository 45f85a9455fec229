"""The lock on an open file: one has it, and whatever ends its process frees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.forks import forks, in_child

from foundry_rest.file_lock import lock, unlock
from foundry_rest.private_files import open_own

#: Locks the file that it is given, and says so; ends with its standard input.
HOLDER = """
import sys
from pathlib import Path
from foundry_rest.file_lock import lock
from foundry_rest.private_files import open_own
lock(open_own(Path(sys.argv[1])))
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens the same file, once more each time."""
    descriptors = []

    def open_again():
        descriptors.append(open_own(tmp_path / "file"))
        return descriptors[-1]

    yield open_again
    for descriptor in descriptors:
        os.close(descriptor)


def test_one_of_all_open_files_has_it(opened):
    """Another one of the same process is refused at once, until the lock is given back."""
    first, second = opened(), opened()
    lock(first)
    with pytest.raises(BlockingIOError):
        lock(second)
    unlock(first)
    lock(second)

    with pytest.raises(BlockingIOError):
        lock(first)


def test_what_is_locked_can_be_read_and_written(opened, tmp_path):
    """Others who do not ask for the lock are not kept out, nor is the file made longer."""
    lock(opened())
    other = opened()
    os.write(other, b"text")

    assert (tmp_path / "file").read_bytes() == b"text"


def test_a_killed_process_gives_it_back(opened, tmp_path):
    """The system frees the lock of a process that had no time to do so."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"locked"
        mine = opened()
        with pytest.raises(BlockingIOError):
            lock(mine)
        holder.kill()

    lock(mine)


@forks
def test_a_child_that_closes_its_copy_leaves_the_lock(opened):
    """The parent's lock is the parent's."""
    first, second = opened(), opened()
    lock(first)
    assert in_child(lambda: os.close(first)) == 0

    with pytest.raises(BlockingIOError):
        lock(second)


def test_a_started_program_does_not_inherit_it(opened):
    """A service that a program starts outlives it, and must not keep its locks."""
    first = opened()
    lock(first)

    assert not os.get_inheritable(first)
