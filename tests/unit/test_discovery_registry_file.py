"""The registry file: written whole, read with distrust, removed only by its owner."""

from __future__ import annotations

import itertools
import os
import stat
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from support.platforms import posix

from foundry_rest.errors import ConfigError
from foundry_rest.services.discovery import registry_file
from foundry_rest.services.discovery.registry_file import Entry

ENTRY = Entry("http://127.0.0.1:5273", 42, 1_795_000_000.5)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return where the file is to be, in a directory that does not exist yet."""
    return tmp_path / "run" / "service.json"


def test_round_trip(place):
    """What was written is read back."""
    registry_file.write(ENTRY, place)

    assert registry_file.read(place) == ENTRY


def test_default_place(tmp_path, monkeypatch):
    """The file lies in the user's runtime directory; asking for its place makes nothing."""
    pytest.importorskip("platformdirs")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(tmp_path))
    path = registry_file.registry_path()

    assert path.parts[-2:] == ("foundry_rest", "service.json")
    assert not path.parent.exists()
    if sys.platform != "darwin":
        registry_file.write(ENTRY)
        assert list(registry_file.read_all().values()) == [ENTRY]
        registry_file.remove(42)
        assert registry_file.read_all() == {}


@pytest.mark.parametrize("stops", list(itertools.permutations(range(4))))
def test_side_by_side(tmp_path, monkeypatch, stops):
    """Several services are found, the newest first, in whichever order they stop."""
    monkeypatch.setattr(registry_file, "registry_path", partial(placed, tmp_path / "run"))
    monkeypatch.setattr("psutil.pid_exists", lambda pid: True)
    entries = [Entry(f"http://127.0.0.1:{5000 + pid}", pid, 100.0 + pid) for pid in range(4)]
    for entry in entries:
        registry_file.write(entry)
    for pid in stops:
        assert list(registry_file.read_all().values()) == sorted(entries, key=lambda each: -each.pid)
        registry_file.remove(pid)
        entries = [entry for entry in entries if entry.pid != pid]

    assert list((tmp_path / "run").iterdir()) == []


def placed(directory, pid=None):
    """Return the place of a registry file below a directory."""
    return directory / ("service.json" if pid is None else f"service-{pid}.json")


def test_entries_of_killed_services(tmp_path, monkeypatch):
    """What a service that was killed left behind is cleaned up by the next one."""
    monkeypatch.setattr(registry_file, "registry_path", partial(placed, tmp_path / "run"))
    monkeypatch.setattr("psutil.pid_exists", {1: False, 2: True, 3: True}.get)
    for pid in (1, 2, 3):
        registry_file.write(Entry(ENTRY.url, pid, float(pid)))

    assert [entry.pid for entry in registry_file.read_all().values()] == [3, 2]


@posix
def test_private(place):
    """The file is for this user only, and so is a directory that was made for it."""
    registry_file.write(ENTRY, place)

    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


@posix
def test_shared_directory(place):
    """A directory that others can write to is refused: they could put a file of their own there."""
    place.parent.mkdir()
    place.parent.chmod(0o777)

    with pytest.raises(ConfigError, match="is not private"):
        registry_file.write(ENTRY, place)


def test_unwritable(tmp_path):
    """A place that cannot be written is a ConfigError that names it, and leaves nothing behind."""
    (tmp_path / "file").touch()
    (tmp_path / "service.json").mkdir()

    with pytest.raises(ConfigError, match="cannot be written"):
        registry_file.write(ENTRY, tmp_path / "file" / "service.json")
    with pytest.raises(ConfigError, match="cannot be written"):
        registry_file.write(ENTRY, tmp_path / "service.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "service.json"]


def test_replaced_at_once(place):
    """A reader sees the old entry or the new one, never a piece of either."""
    registry_file.write(ENTRY, place)
    registry_file.write(ENTRY, place)
    done = threading.Event()

    def rewrite() -> None:
        for pid in range(200 if os.name == "posix" else 20):
            registry_file.write(Entry(ENTRY.url, pid, ENTRY.started), place)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    while not done.is_set():
        assert registry_file.read(place) is not None
        if os.name != "posix":  # a reader without a pause leaves a writer hardly a moment there
            time.sleep(0.002)
    writer.join()
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"url": "http://127.0.0.1:1", "pid": 1}',
        b'{"url": 5, "pid": 1, "started": 1.0}',
        b'{"url": "ftp://127.0.0.1", "pid": 1, "started": 1.0}',
        b'{"url": "http://u:p@127.0.0.1:1", "pid": 1, "started": 1.0}',
        b" " * 100_000 + b'{"url": "http://127.0.0.1:1", "pid": 1, "started": 1.0}',
    ],
)
def test_garbage(place, content):
    """What is not an entry counts as no entry."""
    place.parent.mkdir()
    place.write_bytes(content)

    assert registry_file.read(place) is None


def test_nothing_there(place):
    """No file, no directory, or a directory in the file's place: no entry."""
    assert registry_file.read(place) is None
    place.mkdir(parents=True)
    assert registry_file.read(place) is None


@posix
def test_named_pipe(place):
    """A named pipe in the file's place is no entry, and is not waited for."""
    place.parent.mkdir()
    os.mkfifo(place)

    assert registry_file.read(place) is None


@posix
def test_link(tmp_path, place):
    """A link in the file's place is not followed, even to a good entry."""
    registry_file.write(ENTRY, tmp_path / "other" / "service.json")
    place.parent.mkdir()
    place.symlink_to(tmp_path / "other" / "service.json")

    assert registry_file.read(place) is None


@posix
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away")
def test_another_users_file(place):
    """A file that belongs to another user is not believed, and not removed."""
    registry_file.write(ENTRY, place)
    os.chown(place, 12345, -1)

    assert registry_file.read(place) is None
    registry_file.remove(ENTRY.pid, place)
    assert place.exists()


def test_remove_own(place):
    """The process that wrote the entry removes it; once more does nothing."""
    registry_file.write(ENTRY, place)
    registry_file.remove(42, place)
    registry_file.remove(42, place)

    assert not place.exists()


def test_remove_leaves_another(place):
    """The entry of a service that came later stays."""
    registry_file.write(ENTRY, place)
    registry_file.remove(41, place)

    assert registry_file.read(place) == ENTRY
