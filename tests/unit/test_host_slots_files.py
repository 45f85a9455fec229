"""The files of the slots of the machine: where they are, whose, and what becomes of them."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from support.forks import forks, in_child
from support.platforms import posix
from support.traps import TRAPS
from support.waits import until

from foundry_rest import clock, file_lock
from foundry_rest.errors import ConfigError, DeadlineExceeded
from foundry_rest.resilience.host_slots import HostSlots, default_directory

#: Takes all the slots, says so, and does what it is told: wait, or fork a child that outlives it.
HOLDER = """
import os, sys, time
from foundry_rest.resilience.host_slots import HostSlots
slots = HostSlots(2, sys.argv[1])
held = [slots.acquire(), slots.acquire()]
if sys.argv[2] == "fork" and os.fork() == 0:
    os.write(1, b"child\\n")
    time.sleep(30)
    os._exit(0)
os.write(1, b"held\\n")  # in one piece, beside the child's
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path):
    """Return the folder of the slots, which is not there yet."""
    return tmp_path / "slots"


def is_free(place, size=1, seconds=0.01):
    """Return whether another process finds a free slot."""
    try:
        HostSlots(size, place).acquire(clock.monotonic() + seconds).release()
    except DeadlineExceeded:
        return False
    return True


# ---------------------------------------------------------------- where they are


def test_the_folder_is_this_users_alone(place):
    """It is made with its parents, and nobody else may look into it."""
    HostSlots(2, place / "deeper")

    assert {path.name for path in (place / "deeper").iterdir()} >= {"slot-0", "slot-1", "place-0"}
    if os.name == "posix":
        modes = {path.stat().st_mode & 0o777 for path in (place / "deeper").iterdir()}
        assert ((place / "deeper").stat().st_mode & 0o777, modes) == (0o700, {0o600})


def test_the_folder_by_default(monkeypatch, tmp_path):
    """It is the same in a session, in cron and in a job with a temporary directory of its own."""
    found = default_directory()
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    assert HostSlots(1).directory == default_directory() == found
    assert found.is_dir()
    assert found.name == f"host-slots-{socket.gethostname()}"


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "x" * 64, "büro", "a\nb", "con.local"])
def test_a_machine_with_an_odd_name(monkeypatch, name):
    """Whatever it is called, the folder lies where the others do, and each machine has its own."""
    usual = default_directory()
    monkeypatch.setattr(socket, "gethostname", lambda: name)

    slots = HostSlots(1)

    assert slots.directory == default_directory() != usual
    assert slots.directory.parent == usual.parent
    assert slots.directory.is_dir()


def test_a_relative_folder(monkeypatch, tmp_path):
    """It stays the same when the process goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    slots = HostSlots(1, "slots")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "slots", ignore_errors=os.name == "nt")
    slots.acquire().release()

    assert slots.directory == tmp_path / "slots"


def test_a_folder_in_the_home():
    """It may be written with a tilde."""
    assert HostSlots(1, "~/slots").directory == Path.home() / "slots"


@pytest.mark.parametrize("is_given", [True, False])
def test_a_pickle(place, monkeypatch, is_given):
    """It holds what was given: the copy competes for the same slots, elsewhere for those of that machine."""
    slots = HostSlots(2, place if is_given else None)
    held = [slots.acquire(), slots.acquire()]
    pickled = pickle.dumps(slots)
    with pytest.raises(DeadlineExceeded):
        pickle.loads(pickled).acquire(clock.monotonic() + 0.01)
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    there = pickle.loads(pickled)

    assert there.size == len(held) == 2
    assert (there.directory == slots.directory) == is_given


@posix
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("name", ["slot-0", "place-5"])
def test_traps(place, trap, name):
    """None is locked, nothing behind it changes, and the error says where it is."""
    place.mkdir(mode=0o700)
    trap(place / name)
    before = {path: path.read_bytes() for path in place.glob("theirs*")}

    with pytest.raises(ConfigError, match=r"slots of the machine cannot be kept: .*slots") as caught:
        HostSlots(1, place)
    assert "folder of this user's own" in caught.value.advice
    assert {path: path.read_bytes() for path in place.glob("theirs*")} == before
    assert not (place / "wanted").exists()


@posix
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
def test_a_folder_that_others_may_write(place, mode):
    """Whoever may write there could remove a file and so hand out its slot twice."""
    place.mkdir()
    place.chmod(mode)

    with pytest.raises(ConfigError, match="not private") as caught:
        HostSlots(1, place)
    assert str(caught.value).count(str(place)) == 1
    assert list(place.iterdir()) == []


@posix
def test_a_folder_of_another_user(place, monkeypatch):
    """It is refused, whatever its mode."""
    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)

    with pytest.raises(ConfigError, match="not private"):
        HostSlots(1, place)


@pytest.mark.parametrize("blocked", ["the folder", "its parent"])
def test_a_file_in_place_of_a_folder(tmp_path, blocked):
    """It is said as it is."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be kept.*: .*file"):
        HostSlots(1, tmp_path / "file" if blocked == "the folder" else tmp_path / "file" / "slots")


def test_a_folder_that_may_not_be_written(place, monkeypatch):
    """A file system that is read-only refuses to make the files."""

    def refuse(path, *arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    place.mkdir(mode=0o700)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ConfigError, match=r"(?i)read-only file system"):
        HostSlots(1, place)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_without_locks(place, monkeypatch, number):
    """It is told at once, and not by a wait without an end."""

    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_lock, "lock", refuse)
    with pytest.raises(ConfigError, match="cannot be kept") as caught:
        HostSlots(1, place)
    assert os.strerror(number) in str(caught.value)
    assert str(place) in str(caught.value)


# ---------------------------------------------------------------- what becomes of them


@posix
def test_removed_files_are_made_anew(place):
    """Who goes on with a file that nobody else can find would be alone with it."""
    first, second = HostSlots(1, place), HostSlots(1, place)
    shutil.rmtree(place)
    held = first.acquire(clock.monotonic() + 1)

    with pytest.raises(DeadlineExceeded):
        second.acquire(clock.monotonic() + 0.01)
    assert not is_free(place)
    held.release()
    second.acquire(clock.monotonic() + 1)


@posix
@pytest.mark.parametrize("is_waiting", [False, True])
def test_files_that_can_be_used_no_longer(place, is_waiting):
    """That is an error of a file, which names the folder, and no failure of a request; nothing is kept."""
    slots, errors = HostSlots(1, place), []
    held = slots.acquire() if is_waiting else None

    def spoil():
        # Who waits makes a removed file anew: its folder is blocked before.
        away = place.rename(place.with_name("away"))
        place.write_text("")
        shutil.rmtree(away)

    def acquire():
        with pytest.raises(OSError, match=r"slots of the machine in .*slots cannot be used") as caught:
            slots.acquire(clock.monotonic() + 2)
        errors.append(caught.value)

    if held is None:
        spoil()
    thread = threading.Thread(target=acquire)
    thread.start()
    if held is not None:
        until(lambda: bool(slots._turns))
        spoil()
        held.release()
    thread.join(2)

    assert len(errors) == 1
    assert (slots.held, len(slots._turns)) == (0, 0)
    place.unlink()
    slots.acquire(clock.monotonic() + 1)


def test_an_object_that_is_dropped_closes_its_files(place):
    """Nobody has to close it."""
    slots = HostSlots(3, place)
    descriptors = [file.open() for file in (*slots._queue, *slots._slots)]
    del slots

    for descriptor in descriptors:
        with pytest.raises(OSError, match=r"(?i)bad file descriptor|invalid handle|handle is invalid"):
            os.fstat(descriptor)


# ---------------------------------------------------------------- processes


def test_a_killed_process_gives_its_slots_back(place):
    """The system does it, without a word of the process."""
    command = [sys.executable, "-c", HOLDER, str(place), "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline().strip() == b"held"
        assert not is_free(place, 2)
        holder.kill()

    assert is_free(place, 2, 2)


@forks
def test_a_forked_child_does_not_keep_the_slots_of_a_killed_parent(place):
    """The child lives on, and the parent's slots are free."""
    command = [sys.executable, "-c", HOLDER, str(place), "fork"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as holder:
        assert {holder.stdout.readline().strip() for _ in range(2)} == {b"held", b"child"}
        assert not is_free(place, 2)
        holder.kill()
        holder.wait()
        try:
            assert is_free(place, 2, 2)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)  # the child alone is left of this group


@forks
def test_a_forked_child_begins_anew(place):
    """The parent's slots are taken there, too; the child neither has them nor gives them back."""
    slots = HostSlots(2, place)
    held, dropped = slots.acquire(), slots.acquire()

    def child():
        nonlocal dropped
        assert slots.held == 0
        held.release()
        del dropped
        with pytest.raises(DeadlineExceeded):
            slots.acquire(clock.monotonic() + 0.01)

    assert in_child(child) == 0
    assert not is_free(place, 2)
    held.release()
    dropped.release()

    def use():
        mine = [slots.acquire(clock.monotonic() + 1) for _ in range(2)]
        assert not is_free(place, 2)
        mine.pop().release()

    assert in_child(use) == 0
    assert is_free(place, 2, 1)


@forks
def test_a_fork_while_others_wait(place):
    """The parent's queue, its place in that of the machine, and its locks are nothing to the child."""
    slots = HostSlots(1, place)
    held = slots.acquire()
    waiter = threading.Thread(target=lambda: slots.acquire().release())
    waiter.start()
    until(lambda: bool(slots._turns) and slots._turns[0].place == 0)

    def child():
        with pytest.raises(DeadlineExceeded):
            slots.acquire(clock.monotonic() + 0.05)
        assert not slots._turns

    with held._file._one_at_a_time:
        assert in_child(child) == 0
    held.release()
    waiter.join(2)

    assert not waiter.is_alive()
    assert is_free(place)


def test_a_started_program_does_not_keep_them(place):
    """A program that outlives the one which started it, a service for instance, has none of its files."""
    slots = HostSlots(1, place)
    slot = slots.acquire()
    sleeper = textwrap.dedent("""
        import sys
        print("up", flush=True)
        sys.stdin.read()
    """)
    command = [sys.executable, "-c", sleeper]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=os.name == "nt"
    ) as program:
        program.stdout.readline()
        file, slot._file = slot._file, None  # without a word: as the end of a process does it
        file.close()
        file.key = None

        assert is_free(place, seconds=1)
