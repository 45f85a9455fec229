"""docs/tutorial/first-answer.md, step by step, with the demo model in the place of the real one."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.runtime import demo_model_dir

pytestmark = pytest.mark.runtime

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "first-answer.md").read_text("utf-8")
BLOCKS = re.findall(r"((?:<!-- [^\n]* -->\n)?)```console\n(.*?)```", PAGE, re.DOTALL)
#: What a reader types, in order: blocks that can run here, each line with its `$`.
COMMANDS = [
    command
    for mark, block in BLOCKS
    if not mark
    for command in re.findall(r"^\$ foundry-rest (.*)$", block, re.MULTILINE)
]
SERVE = next(block for _, block in BLOCKS if "serve --load" in block)
PULL = next(block for _, block in BLOCKS if " pull " in block)
(SCRIPT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
REAL_ID, OURS = "Phi-4-mini-instruct-generic-cpu:5", f"{DEFAULT_MODEL}-generic-cpu:1"
CHANGING = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=pid )\d+")
FOUNDRY = [sys.executable, "-m", "foundry_rest"]


def environment() -> dict[str, str]:
    """Return the environment of a reader whose checkout this is."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run as a reader would, and find the service by what `serve` leaves."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(),
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def served(tmp_path) -> Iterator[str]:
    """Serve as the page says, but from a folder; yield all that it printed."""
    folder = tmp_path / DEFAULT_MODEL
    folder.symlink_to(demo_model_dir(), target_is_directory=True)
    (typed,) = re.findall(r"^\$ foundry-rest (.*)$", SERVE, re.MULTILINE)
    with subprocess.Popen(
        [*FOUNDRY, *shlex.split(typed), "--model-dir", str(folder), "--port", "0"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        address = process.stdout.readline()
        notes = [process.stderr.readline() for _ in range(4)]
        try:
            yield "".join([*notes, address])
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_what_serve_prints(served):
    """The page shows what `serve --load` prints, all but port and process, the id and what is served."""
    shown = SERVE.partition("\n")[2].replace(REAL_ID, OURS).replace("the public catalog", DEFAULT_MODEL)

    assert CHANGING.sub("N", served) == CHANGING.sub("N", shown)


def test_the_commands_and_the_script(served, tmp_path):
    """Each command of the page that needs no internet says something and ends well; so does the script."""
    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        done = run("-m", "foundry_rest", *shlex.split(command), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() or "is empty so far" in done.stderr
    done = run("-W", "error", "-c", SCRIPT, folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert len(SCRIPT.splitlines()) == 10


def test_the_log_of_serve(served, tmp_path):
    """`logs` finds the log of `serve`, in a folder of this user alone, and no file there has a prompt."""
    prompt = "Say OK to nobody-else-may-read-this"
    assert run("-m", "foundry_rest", "chat", prompt, folder=tmp_path).returncode == 0
    bad = run("-m", "foundry_rest", "load", "no-such-model", folder=tmp_path)
    told = run("-m", "foundry_rest", "logs", "--json", folder=tmp_path)

    assert bad.returncode == 1
    assert told.returncode == 0, told.stderr
    log = Path(re.search(r'"file": "(.*?)"', told.stdout)[1])
    home = log.parents[1]
    assert home.name.startswith("foundry_rest-")
    if os.name != "nt":
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for file in (path for path in home.rglob("*") if path.is_file() and not path.is_symlink()):
        assert b"nobody-else" not in file.read_bytes(), file


def test_the_log_ends_with_serve(tmp_path):
    """Nothing of the service is left in the temporary directory once `serve` has ended, the log neither."""
    folder, temporary = tmp_path / DEFAULT_MODEL, tmp_path / "tmp"
    folder.symlink_to(demo_model_dir(), target_is_directory=True)
    temporary.mkdir()
    with subprocess.Popen(
        [*FOUNDRY, "serve", "--model-dir", str(folder), "--port", "0"],
        env={**environment(), "TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        assert process.stdout.readline().startswith("http://")
        running = [path.name for path in temporary.iterdir()]
        process.terminate()
        process.communicate(timeout=60)

    assert [name[:13] for name in running] == ["foundry_rest-"]
    assert list(temporary.iterdir()) == []


def test_the_install_is_that_of_the_readme():
    """The page installs as README does, and with the extra for the runtime."""
    readme = (ROOT / "README.md").read_text("utf-8")
    for tool in (".venv/bin/pip install", r".venv\Scripts\pip install"):
        assert tool in PAGE
        assert tool in readme
    assert '".[runtime,cli]"' in PAGE


def test_pull_without_internet(tmp_path):
    """`pull --embedded` begins as shown; where no catalog can be reached, it says so as the page does."""
    (typed,) = re.findall(r"^\$ foundry-rest (.*)$", PULL, re.MULTILINE)
    done = subprocess.run(
        [*FOUNDRY, *shlex.split(typed)],
        env={**environment(), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )

    assert done.returncode == 3
    assert done.stderr.splitlines()[:2] == PULL.splitlines()[1:3]
    words = "the model catalog is empty: it could not be reached from this machine"
    assert words in done.stderr
    assert words in " ".join(PAGE.split())
