"""The private directories of children: what a killed one left is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from foundry_rest import clock
from foundry_rest.errors import ConfigError
from foundry_rest.runtime import child_directory
from foundry_rest.runtime.protocol import STDERR_FILE


@pytest.fixture
def later(monkeypatch):
    """Make the time an hour later than the files."""
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + 3600)


def left_over(parent, words=b"its last words"):
    """Return a directory whose child has been killed."""
    directory = child_directory.make(parent)
    with child_directory.open_stderr(directory) as printed:
        printed.write(words)
    (directory / "cache").mkdir()
    (directory / "cache" / "model").write_bytes(b"")
    return directory


def test_what_a_killed_child_left_is_removed(tmp_path, later):
    """The next start finds it by its name and by the standard error that nobody holds."""
    old = left_over(tmp_path)
    new = child_directory.make(tmp_path)

    assert not old.exists()
    assert new.is_dir()


def test_a_start_under_way_is_left_alone(tmp_path):
    """A directory that was made just now may be about to get its child."""
    fresh = left_over(tmp_path)
    child_directory.make(tmp_path)

    assert fresh.exists()


def test_a_running_child_keeps_its_directory(tmp_path, later):
    """Its standard error is held by the child alone once the parent is gone, and that is enough."""
    directory = child_directory.make(tmp_path)
    with child_directory.open_stderr(directory) as printed:
        child = subprocess.Popen(
            [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, stderr=printed
        )
    child_directory.make(tmp_path)
    assert directory.exists()
    child.communicate(b"\n")

    child_directory.make(tmp_path)
    assert not directory.exists()


def test_nothing_else_is_removed(tmp_path, later):
    """A directory without a child's standard error, a file and a link stay, whatever their names."""
    (tmp_path / "foundry_rest-mine").mkdir()
    (tmp_path / "foundry_rest-mine" / "notes").write_text("precious")
    (tmp_path / "foundry_rest-start-x").write_text("a file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / STDERR_FILE).write_text("")
    if os.name == "posix":
        (tmp_path / "foundry_rest-link").symlink_to(tmp_path / "other")
    before = sorted(tmp_path.rglob("*"))
    made = child_directory.make(tmp_path)

    assert sorted(path for path in tmp_path.rglob("*") if path != made) == before


def test_no_place_for_a_directory(tmp_path):
    """A parent that cannot hold one, or whose name is too long, is an error of the configuration."""
    (tmp_path / "file").write_text("")
    for parent in (tmp_path / "file" / "below", tmp_path / ("x" * 300), tmp_path.joinpath(*["y" * 200] * 30)):
        with pytest.raises(ConfigError, match="no directory can be made"):
            child_directory.make(parent)


def test_last_words(tmp_path):
    """What the child printed last is shown; without a directory or a file there is nothing."""
    directory = left_over(tmp_path, b"x" * 5000 + b"the end\xff")

    assert child_directory.read_stderr(directory).endswith("xxxthe end\ufffd")
    assert len(child_directory.read_stderr(directory)) < 2000
    assert child_directory.read_stderr(None) == ""
    assert child_directory.read_stderr(tmp_path / "none") == ""


def test_the_modules_of_a_crash_are_left_out(tmp_path):
    """The list of extension modules, which may be long, does not push out where the crash was."""
    modules = b"Extension modules: " + b", ".join(b"package.module%d" % each for each in range(500))
    directory = left_over(tmp_path, b"in start_web_service\n\n" + modules + b" (total: 500)\n")

    assert child_directory.read_stderr(directory) == "in start_web_service"
