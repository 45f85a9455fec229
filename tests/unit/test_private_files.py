"""Files that are believed or written: regular, this user's, and nobody else's to change."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from support.platforms import posix
from support.traps import TRAPS, device, folder, link, pipe

from foundry_rest import SqliteBreakers, clock
from foundry_rest.errors import ConfigError
from foundry_rest.models.disk import cached_ids, local_folder, read_snapshot_file
from foundry_rest.private_files import check_own, make_own, make_private, patiently, read_own, read_regular

HERE = "http://127.0.0.1:1"


@posix
@pytest.mark.parametrize("trap", TRAPS)
def test_traps_for_what_is_written(tmp_path, trap):
    """State of circuits is kept in none of them, and nothing behind them changes."""
    place = tmp_path / "state.db"
    trap(place)
    before = {path: path.read_bytes() for path in tmp_path.glob("theirs*")}

    with pytest.raises(ConfigError, match=r"breaker state cannot be kept in .*state\.db"):
        SqliteBreakers(place)
    assert {path: path.read_bytes() for path in tmp_path.glob("theirs*")} == before
    assert not (tmp_path / "wanted").exists()


@posix
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757, 0o703])
def test_a_folder_that_others_may_write(tmp_path, mode):
    """Whoever may write there could put another file in its place."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)

    with pytest.raises(ConfigError, match="not private") as caught:
        SqliteBreakers(shared / "state.db")
    assert "folder of this user's own" in caught.value.advice
    assert list(shared.iterdir()) == []


@posix
def test_a_folder_of_another_user(tmp_path, monkeypatch):
    """It is refused, whatever its mode."""
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)

    with pytest.raises(PermissionError, match="not private"):
        make_private(tmp_path)
    with pytest.raises(PermissionError, match="of this user"):
        check_own(Path(__file__).stat(), tmp_path / "a")


@posix
def test_a_group_of_ones_own(tmp_path):
    """A group with the user's own number is nobody else; any other group is."""
    status = list((tmp_path / make_file(tmp_path)).stat())
    status[0] |= 0o020
    for gid, refused in ((status[4], False), (status[4] + 1, True)):
        status[5] = gid
        if refused:
            with pytest.raises(PermissionError):
                check_own(os.stat_result(status), tmp_path)
        else:
            check_own(os.stat_result(status), tmp_path)


def make_file(folder):
    """Make a file of one's own, and return its name."""
    make_own(folder / "own")
    return "own"


def test_a_file_of_ones_own(tmp_path):
    """It is made with its folder, private to this user, and left as it is when it is there."""
    place = tmp_path / "new" / "own"
    make_own(place)
    place.write_bytes(b"kept")
    make_own(place)

    assert read_own(place, 100) == b"kept"
    assert read_own(place, 2) == b"ke"
    if os.name == "posix":
        assert (place.stat().st_mode & 0o777, place.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@posix
@pytest.mark.parametrize("trap", [pipe, folder, device])
def test_traps_in_a_model_directory(tmp_path, trap):
    """They are nothing known; a link to a regular file is read, for models may lie elsewhere."""
    trap(tmp_path / "foundry.modelinfo.json")
    model = tmp_path / "publisher" / "model"
    model.mkdir(parents=True)
    trap(model / "inference_model.json")

    assert read_snapshot_file(tmp_path) == b""
    assert cached_ids(tmp_path) == set()
    link(tmp_path / "linked")
    assert read_regular(tmp_path / "linked", 100) == b"precious"


@pytest.mark.parametrize(
    "path", ["\\\\server\\share", "//server/share", "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "/\\server", "a\0b", ""]
)
def test_folders_that_are_not_looked_at(path):
    """Another machine's share, a device, or what is no name of a folder."""
    assert local_folder(path, HERE) is None


def test_a_folder_that_may_not_be_searched(tmp_path, monkeypatch):
    """A system service names one; the client goes on without it."""

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert local_folder(str(tmp_path), HERE) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE circuit SET epoch = 9223372036854775807",
        "UPDATE circuit SET trips = 9223372036854775807",
        "UPDATE circuit SET probes = -9223372036854775808",
        "UPDATE circuit SET opened_at = 1e300",
        "UPDATE circuit SET opened_until = 9e999",
        "UPDATE circuit SET failures = 'many'",
        "UPDATE circuit SET state = 'ajar'",
        "DROP TABLE circuit",
        "DROP TABLE circuit; CREATE VIEW circuit AS SELECT 1 AS address",
        "DELETE FROM circuit; PRAGMA user_version = 99",
    ],
)
def test_a_state_that_nobody_can_have_written(tmp_path, change):
    """It never leads to a raw error, nor to a call that fails."""
    place = tmp_path / "state.db"
    states = SqliteBreakers(place)
    state = states(HERE)
    state.change(lambda record, now: setattr(record, "failures", 1))
    with sqlite3.connect(place) as connection:
        connection.executescript(change)
    connection.close()

    def count(record, now):
        record.failures += 1
        record.epoch += 1
        record.trips += 1

    state.read()
    for _ in range(3):
        state.change(count)
    states.close()


class InUse(PermissionError):
    """Windows' error for a file that another process has open."""

    def __init__(self, winerror=32):
        super().__init__("in use")
        self.winerror = winerror


@pytest.mark.parametrize("number", [5, 32, None])
@pytest.mark.parametrize("tries", [0, 1, 5])
def test_a_file_in_use_is_tried_again(monkeypatch, tries, number):
    """What another process has open for a moment, on Windows, is neither missing nor refused."""
    pauses, failures = [], [InUse(number)] * tries

    def action():
        if failures:
            raise failures.pop()
        return "done"

    monkeypatch.setattr(clock, "sleep", pauses.append)
    assert patiently(action) == "done"
    assert len(pauses) == tries


def test_a_file_in_use_is_not_waited_for_without_end(monkeypatch):
    """After two seconds the error is what it is."""
    time = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: time[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: time.append(time.pop() + seconds))

    def action():
        raise InUse

    with pytest.raises(InUse):
        patiently(action)
    assert 2 <= time[0] < 2.1


@posix
def test_a_refusal_is_not_tried_again():
    """A file of another user stays one: no wait."""
    tries = []

    def action():
        tries.append(1)
        raise PermissionError(13, "not yours")

    with pytest.raises(PermissionError):
        patiently(action)
    assert len(tries) == 1
