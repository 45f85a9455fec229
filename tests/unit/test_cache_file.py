"""The cache's file: private, bounded, of one format, and never the reason for which a call fails."""

from __future__ import annotations

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.caches import SURE, at_once, cache_in, cached_client, numbered
from support.forks import forks, in_child
from support.platforms import posix

from foundry_rest import ResponseCache, clock
from foundry_rest.cache import database
from foundry_rest.cache.recording import Answer, Headers, answer_of, decode, encode, events_of
from foundry_rest.errors import ConfigError

WEEK = 7 * 24 * 3600


@pytest.fixture
def cache(tmp_path):
    """A cache of 256 KiB in its own folder."""
    made = cache_in(tmp_path, max_bytes=256 * 1024)
    yield made
    made.close()


def warnings(caplog):
    """Return what the log warns of."""
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def keep(cache, *names, size=10, lifetime=WEEK):
    """Keep answers of a size under names."""
    for name in names:
        cache.keep(name.encode(), "m", b"x" * size, lifetime)


def kept(cache, *names):
    """Return the names of which something is kept, each used once more."""
    found = [name for name in names if cache.find(name.encode())]
    for name in found:
        cache.note(name.encode())
    return found


# ---------------------------------------------------------------- private


@posix
def test_it_is_private(tmp_path):
    """The file and its folder are this user's alone, and so are sqlite's files beside it."""
    cache = cache_in(tmp_path / "new")
    keep(cache, "a")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}

    assert modes["answers.sqlite"] == 0o600
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="modes and links")
@pytest.mark.parametrize(
    "how", ["link", "hard link", "others write", "folder", "directory", "parent is a file"]
)
def test_a_path_that_others_may_write(tmp_path, how):
    """A link, a file or a folder that others may change, and what is no file are refused."""
    path, elsewhere = tmp_path / "in" / "answers.sqlite", tmp_path / "elsewhere"
    (tmp_path / "in").mkdir()
    elsewhere.touch()
    if how == "link":
        path.symlink_to(elsewhere)
    elif how == "hard link":
        os.link(elsewhere, path)
    elif how == "others write":
        path.touch()
        path.chmod(0o622)
    elif how == "folder":
        (tmp_path / "in").chmod(0o777)
    elif how == "directory":
        path.mkdir()
    else:
        path = elsewhere / "answers.sqlite"
    with pytest.raises(ConfigError):
        ResponseCache(path)
    assert elsewhere.read_bytes() == b""


# ---------------------------------------------------------------- bounds


def test_the_least_recently_used_goes_first(cache):
    """The file is bounded, and what was used lately stays."""
    names = [f"n{number}" for number in range(200)]
    for name in names:
        keep(cache, name, size=4000)
        kept(cache, "n0")
    left = kept(cache, *names)

    assert left[0] == "n0"
    assert left[1:] == names[-len(left) + 1 :]
    assert 10 < len(left) < 64
    assert cache.stats().bytes <= 256 * 1024
    assert cache.path.stat().st_size <= 256 * 1024


def test_the_log_beside_it_is_bounded(cache):
    """Sqlite's own log does not outgrow the file."""
    for number in range(300):
        keep(cache, f"n{number % 7}", size=20_000)
    log = cache.path.with_name(cache.path.name + "-wal")

    assert log.stat().st_size < 2 * 256 * 1024


def test_what_is_expired_is_removed(tmp_path, monkeypatch):
    """An expired answer goes with the next one that is kept; with serve_stale it stays as long."""
    now = [1e9]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    cache = cache_in(tmp_path, serve_stale=50)
    keep(cache, "a", lifetime=10)
    keep(cache, "b", lifetime=100)
    now[0] += 59
    keep(cache, "c")
    assert cache.stats().entries == 3
    now[0] += 2
    keep(cache, "d")
    assert cache.stats().entries == 3


def test_the_age_of_an_answer(server, tmp_path, monkeypatch):
    """An answer is given up to max_age; one from the future has no age that anybody knows."""
    now = [1e9]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    with cached_client(numbered(server), tmp_path, cache=cache_in(tmp_path, max_age=100)) as client:

        def ask(**call):
            return client.complete("Hi", **SURE, **call).content

        assert [ask(), ask(cache=1e9)] == ["answer 1", "answer 1"]
        now[0] += 101
        assert ask(cache=1e9) == "answer 2"
        now[0] -= 50
        assert ask() == "answer 2"
        now[0] -= 50
        assert ask() == "answer 3"


def test_clear(cache, monkeypatch):
    """Everything goes, or what is older; the bytes go, too."""
    now = [1e9]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    keep(cache, "old", size=9999)
    now[0] += 100
    keep(cache, "new")

    assert cache.clear(older_than=50) == 1
    assert kept(cache, "old", "new") == ["new"]
    assert cache.clear() == 1
    assert cache.stats().entries == 0
    assert b"xxx" not in cache.path.read_bytes()
    with pytest.raises(ConfigError, match="older_than"):
        cache.clear(-1)


def test_stats(cache):
    """Figures: entries, bytes, age, and hits by model."""
    keep(cache, "a", "b")
    kept(cache, "a")
    kept(cache, "a", "b")
    found = cache.stats()

    assert (found.entries, found.hits, found.by_model) == (2, 3, {"m": {"entries": 2, "hits": 3}})
    assert 0 <= found.oldest < 60
    assert found.to_dict()["path"] == str(cache.path)


def test_a_hit_writes_nothing(cache):
    """Uses are written in groups, not one by one."""
    keep(cache, "a")
    log = cache.path.with_name(cache.path.name + "-wal")
    before = log.stat().st_size, log.stat().st_mtime_ns
    for _ in range(100):
        kept(cache, "a")
    assert (log.stat().st_size, log.stat().st_mtime_ns) == before
    cache.close()
    assert cache.stats().hits == 100


# ---------------------------------------------------------------- formats and damage


def test_a_newer_format_is_left_alone(cache, monkeypatch):
    """A file of a newer version is an error, and stays as it is."""
    keep(cache, "a")
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = cache.path.read_bytes()
    with pytest.raises(ConfigError, match="newer"):
        ResponseCache(cache.path)
    assert cache.path.read_bytes() == before


def test_an_older_format_starts_anew(cache, monkeypatch):
    """A file of an older version is emptied and used."""
    keep(cache, "a")
    cache.close()
    monkeypatch.setattr(database, "VERSION", 2)
    again = ResponseCache(cache.path)

    assert again.stats().entries == 0
    keep(again, "b")
    assert kept(again, "b") == ["b"]


def test_somebody_elses_database(tmp_path):
    """A database with other tables is refused and untouched."""
    path = tmp_path / "mine.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="not a cache"):
        ResponseCache(path)
    assert path.read_bytes() == before


DAMAGES = {
    "a text": lambda path: path.write_bytes(b"no database at all\n" * 500),
    "noise in the middle": lambda path: path.write_bytes(
        path.read_bytes()[:4096] + os.urandom(path.stat().st_size - 4096)
    ),
    "noise": lambda path: path.write_bytes(os.urandom(50_000)),
    "half of it": lambda path: os.truncate(path, path.stat().st_size // 2),
    "one byte": lambda path: path.write_bytes(b"x"),
}


@pytest.mark.parametrize("name", DAMAGES)
@pytest.mark.parametrize("is_open", [True, False])
def test_a_damaged_file(server, tmp_path, caplog, name, is_open):
    """Calls go on, answers are kept in another file, the damaged one stays, and the log says so."""
    cache = cache_in(tmp_path)
    with cached_client(numbered(server), tmp_path, cache=cache) as client:
        for number in range(30):
            client.complete(f"Number {number} {'word ' * 300}", **SURE)
    if not is_open:
        cache = None
    DAMAGES[name](tmp_path / "answers.sqlite")
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"answers.sqlite{suffix}").unlink(missing_ok=True)
    damaged = (tmp_path / "answers.sqlite").read_bytes()
    with cached_client(server, tmp_path, cache=cache or tmp_path / "answers.sqlite") as client:
        for number in range(30):
            client.complete(f"Number {number} {'word ' * 300}", **SURE)
        assert client.complete("Hi", **SURE).content
        assert client.complete("Hi", **SURE).cached
    assert (tmp_path / "answers.sqlite").read_bytes() == damaged
    assert [each for each in warnings(caplog) if "is damaged" in each and "answers.sqlite.2" in each]
    assert len(warnings(caplog)) == 1


def test_an_entry_that_is_no_answer(server, tmp_path):
    """What lies under a key and is no answer is a miss, and is replaced."""
    cache = cache_in(tmp_path)
    with cached_client(numbered(server), tmp_path, cache=cache) as client:
        client.complete("Hi", **SURE)
        cache.close()
        for data in (b"", b"[]", b"\xff", b'{"events": 5}', b"\n", b"{}\n{}", None, "text", 5):
            with sqlite3.connect(cache.path) as connection:
                connection.execute("UPDATE OR IGNORE entry SET answer = ?", (data,))
            connection.close()
            assert client.complete("Hi", **SURE).content
        assert client.complete("Hi", **SURE).cached


# ---------------------------------------------------------------- out of reach


class Failing:
    """A file whose writes or reads fail as told."""

    def __init__(self, cache, method, error):
        self.store, self.method, self.error = cache._store, method, error

    def __enter__(self):
        def fail(*given):
            raise self.error

        setattr(self.store, self.method, fail)

    def __exit__(self, *ignored):
        delattr(self.store, self.method)


@pytest.mark.parametrize("method", ["find", "keep"])
@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.OperationalError("disk I/O error"),
        OSError(28, "No space left on device"),
        PermissionError(13, "Permission denied"),
    ],
)
def test_a_file_that_fails(server, tmp_path, time, caplog, method, error):
    """The call goes on as a miss, one warning is logged, and the file is tried again after a while."""
    cache = cache_in(tmp_path)
    with cached_client(numbered(server), tmp_path, cache=cache, breaker=None) as client:
        with Failing(cache, method, error):
            for number in range(5):
                assert not client.complete(f"Hi {number}", **SURE).cached
                time.advance(6)
        assert len(warnings(caplog)) == 1
        assert "calls go on without it" in warnings(caplog)[0]
        time.advance(6)
        client.complete("Hi", **SURE)
        assert client.complete("Hi", **SURE).cached


def test_a_locked_file(server, tmp_path, caplog):
    """Another process that holds the lock for long costs the answer its place, not the call."""
    cache = cache_in(tmp_path)
    with cached_client(numbered(server), tmp_path, cache=cache) as client:
        client.complete("Hi", **SURE)
        other = sqlite3.connect(cache.path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert client.complete("Hi", **SURE).cached
        before = clock.monotonic()
        assert client.complete("Ho", **SURE).content == "answer 2"
        assert clock.monotonic() - before < 2
        other.execute("ROLLBACK")
        other.close()

    assert len(warnings(caplog)) == 1


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(server, tmp_path, caplog):
    """A read-only folder makes every call a miss."""
    (tmp_path / "in").mkdir(mode=0o500)
    with cached_client(numbered(server), tmp_path / "in") as client:
        assert [client.complete("Hi", **SURE).cached for _ in range(2)] == [False, False]
    assert len(warnings(caplog)) == 1


def test_a_file_that_is_deleted(server, tmp_path):
    """A file that is removed while it is used costs a miss at most."""
    with cached_client(numbered(server), tmp_path) as client:
        client.complete("Hi", **SURE)
        client._core.caching.close()
        for path in tmp_path.iterdir():
            path.unlink()
        assert not client.complete("Hi", **SURE).cached
        assert client.complete("Hi", **SURE).cached


# ---------------------------------------------------------------- threads and forks


def test_many_threads(cache):
    """Threads that write and read at once lose nothing."""

    def work(number):
        for step in range(10):
            keep(cache, f"{number}-{step}")
            assert kept(cache, f"{number}-{step}")

    assert at_once(16, work) == [None] * 16
    assert cache.stats().entries == 160


@forks
def test_forks(cache):
    """Parent and child each use the file, whatever the parent's threads do at the fork."""
    ends = threading.Event()

    def write():
        number = 0
        while not ends.is_set():
            number += 1
            keep(cache, f"p{number % 20}")

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(write)
        try:
            for number in range(5):
                assert in_child(lambda number=number: keep(cache, f"c{number}")) == 0
        finally:
            ends.set()
    assert kept(cache, *(f"c{number}" for number in range(5))) == [f"c{number}" for number in range(5)]


# ---------------------------------------------------------------- small parts


def test_notes_wait_for_another_process(cache):
    """Uses that cannot be written now are written later, and cost a hit no wait."""
    keep(cache, "a")
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    kept(cache, *["a"] * 3)
    cache.close()
    other.execute("ROLLBACK")
    other.close()

    assert cache.stats().hits == 3


def test_notes_are_written_in_time(cache, time):
    """A process that only hits writes its uses now and then."""
    keep(cache, "a")
    kept(cache, "a")
    time.advance(61)
    kept(cache, "a")

    assert cache._store._used == {}


def test_figures_of_a_file_that_fails(cache):
    """What a person asks for is an error where the file fails."""
    with (
        Failing(cache, "figures", OSError(5, "I/O error")),
        pytest.raises(ConfigError, match="cannot be used"),
    ):
        cache.stats()
    with (
        Failing(cache, "clear", sqlite3.OperationalError("locked")),
        pytest.raises(ConfigError, match="locked"),
    ):
        cache.clear()


def test_what_it_shows(cache, tmp_path):
    """Its repr is its path; the headers of a hit read as a mapping."""
    headers = Headers({"content-type": "a", "x": "b"})

    assert repr(cache) == f"ResponseCache({str(cache.path)!r})"
    assert (headers["X"], list(headers), len(headers)) == ("b", ["content-type", "x"], 2)
    assert repr(headers) == "{'content-type': 'a', 'x': 'b'}"


def test_what_cannot_be_kept():
    """Bytes that are no UTF-8 make no answer, and half a character no JSON."""
    assert answer_of({}, b"\xff") is None
    assert encode(Answer(body="\ud800")) is None
    assert answer_of({"Set-Cookie": "a", "X": "b"}).headers == {"x": "b"}


def test_one_bit_that_fell_over():
    """An answer of which any bit has changed, or the end is missing, is none."""
    data = encode(answer_of({"a": "b"}, b"", (b'{"x":"one"}', b'{"x":\n"two"}', b"[DONE]")))
    events = list(events_of(decode(data)))
    assert events == [b'{"x":"one"}', b'{"x":\n"two"}', b"[DONE]"]
    for place in range(len(data)):
        assert decode(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) is None
        assert decode(data[:place]) is None


def test_a_user_without_a_home(monkeypatch):
    """A path below a home that is not there is the caller's mistake."""
    monkeypatch.setattr(
        "pathlib.Path.expanduser", lambda path: (_ for _ in ()).throw(RuntimeError("no home"))
    )
    with pytest.raises(ConfigError, match="no home"):
        ResponseCache("~/answers.sqlite")
