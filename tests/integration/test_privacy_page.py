"""docs/privacy.md lists every file that the product leaves, with its rights: seen in an empty home."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import platformdirs.macos
import pytest

from foundry_rest.cli.conversation_files import folder
from foundry_rest.cli.main import main
from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.resilience.host_slots import default_directory
from foundry_rest.runtime import demo_model_dir

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "privacy.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## What is written")[2].splitlines()
    if line.startswith("| ") and "---" not in line
][1:]
#: What the reader names, and the names of it here.
NAMED = {
    "results so far": "out.jsonl.journal",
    "results": "out.jsonl",
    "a cache": "answers.sqlite*",
    "states of circuits": "breakers.db*",
    "figures": "figures.prom",
}
SCRIPT = """
from foundry_rest import FoundryAPIClient, SqliteBreakers

with FoundryAPIClient(cache="answers.sqlite", breaker_state=SqliteBreakers("breakers.db")) as client:
    print(client.complete("Say OK", temperature=0).content)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="rights and XDG's folders are POSIX'")


def column(row: list[str], number: int) -> str:
    """Return a cell without its marks."""
    return row[number].strip("`")


def patterns(home: Path) -> dict[str, list[str]]:
    """Return what the page says lies in a home that is everything at once: pattern -> its row."""
    found = {}
    for row in ROWS:
        place = NAMED.get(row[0]) or column(row, 1)
        for said, meant in (
            ("/tmp/", f"{home}/tmp/"),  # first: the home may lie there
            ("$XDG_RUNTIME_DIR", f"{home}/run"),
            ("~", str(home)),
            ("PID", "*"),
        ):
            place = place.replace(said, meant)
        found[place if place.startswith("/") else f"{home}/{place}"] = row
    return found


def row_of(path: Path, known: dict[str, list[str]]) -> list[str] | None:
    """Return the row of a file: its place, or a folder above it."""
    lines = [path, *path.parents]
    return next(
        (row for each, row in known.items() if any(fnmatch.fnmatch(str(p), each) for p in lines)), None
    )


@pytest.mark.runtime
@posix
def test_what_appears_in_an_empty_home(tmp_path):
    """Serving, asking, keeping, caching and a batch leave only what the page lists, as private as it says."""
    home = tmp_path / "home"
    for name in ("run", "tmp"):
        (home / name).mkdir(parents=True, mode=0o700)
    model = tmp_path / DEFAULT_MODEL
    model.symlink_to(demo_model_dir(), target_is_directory=True)
    (tmp_path / "prompts.txt").write_text("Say OK\n", "utf-8")
    given = {"HOME": str(home), "XDG_RUNTIME_DIR": f"{home}/run", "TMPDIR": f"{home}/tmp"}
    settings = {**os.environ, **given, "PYTHONPATH": str(ROOT)}
    foundry = ["-m", "foundry_rest"]
    serving = [sys.executable, *foundry, "serve", "--model-dir", str(model), "--port", "0"]
    steps = (
        [*foundry, "chat", "--keep", "Say OK"],
        [*foundry, "batch", str(tmp_path / "prompts.txt"), "-o", "out.jsonl", "--host-slots", "2"],
        [*foundry, "chat", "Say OK", "--metrics-textfile", "figures.prom"],
        ["-c", SCRIPT],
    )
    with subprocess.Popen(
        serving, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        assert process.stdout.readline().startswith("http://")
        for step in steps:
            done = subprocess.run(
                [sys.executable, *step], env=settings, cwd=home, capture_output=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
        seen = {path: path.lstat().st_mode for path in home.rglob("*")}
        process.terminate()
        process.wait(60)

    known = patterns(home)
    files = {path: mode for path, mode in seen.items() if stat.S_ISREG(mode)}
    rows = {path: row_of(path, known) for path in files}
    assert [str(path) for path, row in rows.items() if row is None] == []
    for path, row in rows.items():
        wanted = re.findall(r"0[0-7]{3}", row[5])
        private = stat.S_IMODE(files[path]) == int(wanted[0], 8) if wanted else True
        assert private or "folder of 0700" in row[5], (path, oct(files[path]), row[5])
    assert {
        "address of a service",
        "conversations",
        "a cache",
        "states of circuits",
        "results",
        "figures",
    } <= {row[0] for row in rows.values()}
    assert all(stat.S_IMODE(seen[path]) == 0o700 for path in seen if path.parent == home / "tmp")
    assert list((home / "tmp").iterdir()) == []
    assert list((home / "run" / "foundry_rest").iterdir()) == []


@posix
def test_the_products_own_list(capsys, monkeypatch, tmp_path):
    """Each place that `help files` prints is on the page."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", "/tmp")
    main(["help", "files"])
    places = re.findall(r"^  (\S+)$", capsys.readouterr().out, re.MULTILINE)

    assert len(places) >= 8
    for place in places:
        tail = re.sub(r"host-slots-.*", "host-slots-*", place.replace(str(tmp_path), "~"))
        tail = re.sub(r"^.*/foundry_rest/service", "$XDG_RUNTIME_DIR/foundry_rest/service", tail)
        tail = {"~/.foundry_rest/cache/models": "~/.foundry_rest"}.get(tail, tail)
        tail = "templates" if tail.endswith("/foundry_rest/templates") else tail
        assert f"`{tail}`" in PAGE, place


def test_the_places_of_other_systems(monkeypatch):
    """On macOS they are what platformdirs says; the column of Windows names the same folders."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    mac = platformdirs.macos.MacOS("foundry_rest", appauthor=False)
    cells = {row[0]: row for row in ROWS}
    for name, base in (
        ("conversations", mac.user_state_dir),
        ("places of batches", mac.user_state_dir),
        ("address of a service", mac.user_runtime_dir),
    ):
        said = column(cells[name], 2).replace("~", str(Path.home()))
        assert said.replace("\\", "/").startswith(f"{base}/".replace("\\", "/"))
        assert column(cells[name], 3).startswith("%LOCALAPPDATA%\\")
    assert folder().name in column(cells["conversations"], 3)
    assert default_directory().name.startswith("host-slots-")


@pytest.mark.parametrize("promise", ["CI=true", "ORT_TELEMETRY_DISABLED=1"])
def test_the_opt_outs_are_those_of_the_product(promise):
    """What the page says to set is what the embedded runtime is started with."""
    from foundry_rest.runtime.processes import environment

    name, _, value = promise.partition("=")
    assert environment()[name] == value
    assert f"`{promise}`" in PAGE
