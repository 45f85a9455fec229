"""The child's half, run as its parent runs it but without Microsoft's package: how it begins and ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.platforms import posix

import foundry_rest

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="the runtime needs Python 3.11")
ROOT = Path(foundry_rest.__path__[0]).parent
SETTINGS = b'{"host":"127.0.0.1","port":0,"directory":"%s","cache_dir":null,"own_catalog":false}\n'
#: A package of that name which says where it was imported from, and so never starts anything.
ABSENT = "raise ImportError('no native library here')\n"


def host(directory: Path, parent: int | None = None) -> subprocess.Popen[bytes]:
    """Start the host module with a private directory."""
    package = directory.parent / "site"
    package.mkdir()
    (package / "foundry_local_sdk.py").write_text(ABSENT, "utf-8")
    directory.mkdir()
    (directory / "something").touch()
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "foundry_rest.runtime.child_main",
            str(parent or os.getpid()),
            str(directory),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(ROOT)))},
    )


def test_says_what_went_wrong(tmp_path):
    """What the start raises is the one line on standard output; the directory is left for the parent."""
    with host(tmp_path / "run") as process:
        process.stdin.write(SETTINGS % b"/x")
        process.stdin.flush()
        said = process.stdout.readline()
        assert process.wait(10) == 1

    assert json.loads(said)["error"] == "ImportError: no native library here"
    assert (tmp_path / "run" / "something").exists()


def test_settings_cut_off(tmp_path):
    """A parent that dies while it writes starts nothing."""
    with host(tmp_path / "run") as process:
        said, _ = process.communicate(b'{"host":', timeout=10)

    assert said == b"" or "error" in json.loads(said)


@posix
def test_parent_that_is_gone(tmp_path):
    """A child whose parent died before its first line ends, though its standard input stays open."""
    with host(tmp_path / "run", parent=1) as process:
        assert process.wait(10) == 0
        assert not (tmp_path / "run").exists()
