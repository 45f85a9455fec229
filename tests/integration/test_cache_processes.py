"""Processes that share a file of answers: at once, killed in a write, and one after the other."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foundry_rest import ResponseCache, clock

#: Seconds after which a process that hangs fails the test.
LONG = 60
#: Moments at which a writer is killed.
KILLS = 8
#: What every process begins with; argv: path of the file, and what the test adds.
PRELUDE = """
import sys
from foundry_rest import FoundryAPIClient, ResponseCache
path, *rest = sys.argv[1:]

def key(name):
    return str(name).encode().rjust(32)

"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file that is shared."""
    return tmp_path / "answers.sqlite"


@pytest.fixture
def spawn(path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that run a script; what is left of them is killed."""
    with contextlib.ExitStack() as stack:

        def start(script: str, *arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", PRELUDE + textwrap.dedent(script), str(path), *map(str, arguments)],
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait, LONG)
            stack.callback(process.kill)
            return process

        yield start


def test_two_processes_lose_nothing(spawn, path):
    """Two processes that write and read the same file at once find all that either kept."""
    script = """
        cache = ResponseCache(path)
        for number in range(300):
            cache.keep(key(f"{rest[0]}-{number}"), "m", b"x" * 3000, 1000)
            assert cache.find(key(f"{rest[0]}-{number}")) is not None
        print("done")
    """
    ended = [process.communicate(timeout=LONG)[0] for process in [spawn(script, "a"), spawn(script, "b")]]

    assert ended == ["done\n", "done\n"]
    assert ResponseCache(path).stats().entries == 600


def test_killed_in_the_middle_of_a_write(spawn, path):
    """However often a writer is killed: what was kept before is whole, and the file goes on."""
    script = """
        import itertools
        cache = ResponseCache(path)
        for number in itertools.count():
            cache.keep(key(f"{rest[0]}-{number}"), "m", bytes([65 + number % 26]) * 200_000, 1000)
            print(number, flush=True)
    """
    chance = random.Random(7)
    for run in range(KILLS):
        process = spawn(script, run)
        for _ in range(chance.randrange(1, 5)):
            process.stdout.readline()
        clock.sleep(chance.random() * 0.01)
        process.kill()
        rest = process.communicate(timeout=LONG)[0].split()
        cache = ResponseCache(path)
        told = int(rest[-1]) if rest else 0
        for number in range(told + 1):
            kept = cache.find(f"{run}-{number}".encode().rjust(32))
            assert kept is not None
            assert kept.answer == bytes([65 + number % 26]) * 200_000
        cache.close()

    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not path.with_name("answers.sqlite.2").exists()


def test_processes_that_start_at_once(spawn, path):
    """Ten processes make the file together, and each keeps its answer."""
    script = """
        cache = ResponseCache(path)
        cache.keep(key(rest[0]), "m", b"x", 1000)
    """
    processes = [spawn(script, number) for number in range(10)]

    for process in processes:
        process.communicate(timeout=LONG)

    assert [process.returncode for process in processes] == [0] * 10
    assert ResponseCache(path).stats().entries == 10
