"""`cache stats` and `cache clear`: figures of a file, and which files they touch."""

from __future__ import annotations

import json
import sqlite3

import pytest

from foundry_rest import ResponseCache, clock


@pytest.fixture
def file(tmp_path):
    """A cache with two answers of one model, one of them used twice."""
    cache = ResponseCache(tmp_path / "answers.sqlite")
    for name in (b"a", b"b"):
        cache.keep(name, "demo:1", b"x", 100)
    for _ in range(2):
        cache.note(b"a")
    cache.close()
    return cache.path


def test_stats(run, file):
    """The figures, and a line for each model."""
    code, out, err = run("cache", "stats", str(file))

    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "answers: 2"
    assert out.splitlines()[3] == "hits:    2"
    assert out.split()[-3:] == ["demo:1", "2", "2"]


def test_stats_as_json(run, file):
    """The same for programs."""
    code, out, _ = run("cache", "stats", str(file), "--json")
    found = json.loads(out)

    assert code == 0
    assert (found["path"], found["entries"], found["hits"]) == (str(file), 2, 2)
    assert found["by_model"] == {"demo:1": {"entries": 2, "hits": 2}}


def test_clear(run, file, monkeypatch):
    """All answers go, or those that are older; how many is printed."""
    assert run("cache", "clear", str(file), "--older-than", "3600") == (0, "removed: 0\n", "")
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 7200)
    assert json.loads(run("cache", "clear", str(file), "--older-than", "3600", "--json")[1]) == {"removed": 2}
    assert run("cache", "clear", str(file)) == (0, "removed: 0\n", "")
    assert run("cache", "stats", str(file))[1].startswith("answers: 0\n")


@pytest.mark.parametrize("action", ["stats", "clear"])
@pytest.mark.parametrize("what", ["missing", "text", "empty", "database", "folder", "newer"])
def test_a_file_that_is_no_cache(run, tmp_path, file, action, what):
    """What is no cache of ours is refused with exit code 2, and stays as it is; nothing is made."""
    path = tmp_path / "other"
    if what == "text":
        path.write_text("my notes\n" * 999)
    elif what == "empty":
        path.touch()
    elif what == "folder":
        path.mkdir()
    elif what == "newer":
        path = file
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    elif what == "database":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE mine (x)")
        connection.close()
        path.chmod(0o600)
    before = path.read_bytes() if path.is_file() else None
    names = sorted(each.name for each in tmp_path.iterdir())
    code, out, err = run("cache", action, str(path))

    assert (code, out) == (2, "")
    assert str(path) in err
    assert (path.read_bytes() if path.is_file() else None) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == names


@pytest.mark.parametrize("older", ["-1", "nan", "x"])
def test_an_age_that_is_none(run, file, older):
    """An age that cannot be used is refused."""
    assert run("cache", "clear", str(file), f"--older-than={older}")[0] == 2
    assert run("cache", "stats", str(file))[1].startswith("answers: 2\n")


@pytest.mark.parametrize("given", [(), ("stats",), ("drop", "x"), ("clear",)])
def test_wrong_arguments(run, given):
    """An action and a file have to be named."""
    code, out, err = run("cache", *given)

    assert (code, out) == (2, "")
    assert "usage" in err
