"""`logs`: where the service's own log is, its end, and what is added."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
from support.platforms import posix, set_home
from support.waits import until

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.errors import ConfigError, ServiceUnreachable, UnsupportedByService
from foundry_rest.ops import service_log
from foundry_rest.ops.service_log import ServiceLog, find_log
from foundry_rest.runtime.child_directory import log_directory
from foundry_rest.schema import HealthReport
from foundry_rest.testing import dead_address, json_answer

TEXT = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def log(tmp_path, server):
    """Return a log beside the model cache that the service reports."""
    cache = tmp_path / "app" / "cache" / "models"
    cache.mkdir(parents=True)
    server.on(
        "GET",
        "/status",
        json_answer({"endpoints": [server.url], "modelCachePath": str(cache), "pid": os.getpid()}),
    )
    file = tmp_path / "app" / "logs" / "foundry.core20261127.log"
    file.parent.mkdir()
    file.write_text(TEXT, "utf-8")
    return file


def test_last_lines(run, log):
    """The last lines are on stdout, 20 by default; where the log is stands on stderr."""
    code, stdout, stderr = run("logs")

    assert (code, stderr) == (0, f"{log}\n")
    assert stdout == TEXT[TEXT.index("line 10\n") :]
    assert run("logs", "-n", "1")[1] == "line 29\n"
    assert run("logs", "-n", "0")[1] == ""
    assert run("logs", "-n", "99")[1] == TEXT


def test_json(run, log):
    """For programs it is one object."""
    told = json.loads(run("logs", "-n", "2", "--json")[1])

    assert told == {"file": str(log), "running": True, "lines": ["line 28", "line 29"]}


def test_empty_log(run, log):
    """An empty log is said to be empty."""
    log.write_text("")
    assert run("logs") == (0, "", f"{log} is empty so far\n")


def test_wrong_number(run, log):
    """A number below 0 is refused."""
    code, stdout, stderr = run("logs", "-n", "-1")
    assert (code, stdout, "--lines" in stderr) == (2, "", True)


def test_the_newest_file(log):
    """Of several days the newest file counts that has something in it."""
    later, empty = log.with_name("foundry.core20261128.log"), log.with_name("foundry.core20261129.log")
    later.write_text("later\n")
    empty.write_text("")
    for at, file in enumerate((log, later, empty)):
        os.utime(file, (at, at))

    assert ServiceLog(log.parent).last(5).lines == ["later"]


def test_where_it_is_not_known(run, server, tmp_path):
    """A service without a log at a known place: code 1, where was looked, and on stdout nothing."""
    cache = tmp_path / "models"
    server.on(
        "GET", "/status", json_answer({"endpoints": [server.url], "modelCachePath": str(cache), "pid": 1})
    )
    code, stdout, stderr = run("logs")

    assert (code, stdout) == (1, "")
    assert f"at no place that is known: none at {tmp_path / 'logs'}" in stderr


def test_other_files_are_no_log(server, tmp_path):
    """A folder of logs beside the cache that is somebody else's is not shown."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "nginx.log").write_text("secret")
    server.on(
        "GET", "/status", json_answer({"endpoints": [server.url], "modelCachePath": str(tmp_path / "models")})
    )

    with FoundryAPIClient(server.url) as client, pytest.raises(UnsupportedByService):
        find_log(client)


def test_another_machine(monkeypatch):
    """The log of a service on another machine is there."""
    report = HealthReport(
        status="ok", url="http://192.0.2.7:5273", generation="2.x", cache_path="/x/cache/models"
    )
    client = FoundryAPIClient("http://192.0.2.7:5273")
    monkeypatch.setattr(client, "health_check", lambda: report)
    with client, pytest.raises(UnsupportedByService, match="own machine"):
        find_log(client)


def test_a_service_that_has_died(run, tmp_path, monkeypatch):
    """Where none answers, what the foundry command's last one has left is shown, and named so."""
    set_home(monkeypatch, tmp_path)
    left = tmp_path / ".foundry" / "logs" / "foundrylocald-2026-11-27.log"
    left.parent.mkdir(parents=True)
    left.write_text("died\n")
    with dead_address() as url:
        code, stdout, stderr = run("logs", "--url", url, "--retries", "0")

    assert (code, stdout) == (0, "died\n")
    assert stderr.splitlines()[-2:] == [
        "No service answers; this is what the last one of the foundry command has left.",
        str(left),
    ]


def test_nothing_at_all(tmp_path):
    """Without a service and without such a log it is the error of any command."""
    with dead_address() as url, FoundryAPIClient(url, retries=0) as client, pytest.raises(ServiceUnreachable):
        find_log(client, tmp_path)


def test_a_log_that_goes_away(tmp_path):
    """A log that cannot be read is named, with the reason."""
    with pytest.raises(ConfigError, match="cannot be read"):
        service_log._bytes_from(tmp_path / "foundry.log", 0)


@posix
def test_a_pipe_is_no_log(log):
    """What a service names may be anything: nobody waits for the other end of a pipe."""
    os.mkfifo(log.with_name("foundry.core20261128.log"))
    (log.parent / "foundry.d.log").mkdir()

    assert ServiceLog(log.parent).last(1).lines == ["line 29"]
    log.unlink()
    with pytest.raises(ConfigError, match="is gone"):
        ServiceLog(log.parent).last(1)


@pytest.mark.parametrize("path", [r"\\server\share\cache\models", "//server/share/cache/models", "a\0b"])
def test_a_folder_that_is_not_looked_at(server, path):
    """On Windows a share would be asked with the user's name; and not every text is a path."""
    server.on("GET", "/status", json_answer({"endpoints": [server.url], "modelCachePath": path, "pid": 1}))
    with FoundryAPIClient(server.url) as client, pytest.raises(UnsupportedByService, match="at no place"):
        find_log(client)


def test_follow_a_log_that_begins_anew(log, monkeypatch):
    """A file that was emptied, as logs are that grow too large, is read from its start."""
    steps = iter([lambda: log.write_bytes(b""), lambda: None, lambda: append(log, b"new\n")])
    monkeypatch.setattr(clock, "sleep", lambda _: next(steps, lambda: None)())

    found = ServiceLog(log.parent)
    assert next(found.added(found.last(0))) == "new\n"


def test_follow(log, monkeypatch):
    """What is added comes as it is written, letters whole, and goes on in the next day's file."""
    euro = "€".encode()
    later = log.with_name("foundry.core20261128.log")
    steps = iter(
        [
            lambda: append(log, b"one " + euro[:1]),
            lambda: append(log, euro[1:] + b"\n"),
            lambda: None,
            lambda: append(later, b"two\n"),
            lambda: os.utime(log, (1, 1)),
        ]
    )
    monkeypatch.setattr(clock, "sleep", lambda _: next(steps, lambda: None)())

    found = ServiceLog(log.parent)
    assert "".join(itertools.islice(found.added(found.last(0)), 3)) == "one €\ntwo\n"


def test_nothing_between_the_end_and_what_follows_is_lost(log, monkeypatch):
    """What is written after the last lines were read and before the first look is shown, once."""
    monkeypatch.setattr(clock, "sleep", lambda _: None)
    found = ServiceLog(log.parent)
    end = found.last(1)
    append(log, b"line 30\n")

    assert end.lines == ["line 29"]
    assert next(found.added(end)) == "line 30\n"


def test_a_line_that_is_being_written(log, monkeypatch):
    """Followed, it comes when it is looked at again, and not as two lines; without, it is shown as it is."""
    monkeypatch.setattr(clock, "sleep", lambda _: append(log, b" 30\n"))
    append(log, b"line")
    found = ServiceLog(log.parent)
    end = found.last(1, whole=True)

    assert found.last(1).lines == ["line"]
    assert end.lines == ["line 29"]
    assert next(found.added(end)) == "line 30\n"


def test_the_last_lines_of_a_day(log, monkeypatch):
    """What the old file has got just before the next day's began is shown before it."""
    later = log.with_name("foundry.core20261128.log")
    end = (found := ServiceLog(log.parent)).last(0)
    read = service_log._bytes_from

    def read_late(file, start):
        content = read(file, start)
        if not content and not later.exists():  # written behind this look
            append(log, b"last\n")
            append(later, b"first\n")
            os.utime(log, (1, 1))
        return content

    monkeypatch.setattr(clock, "sleep", lambda _: None)
    monkeypatch.setattr(service_log, "_bytes_from", read_late)

    assert list(itertools.islice(found.added(end), 2)) == ["last\n", "first\n"]


def append(file, content):
    """Add to a file."""
    with file.open("ab") as opened:
        opened.write(content)


@pytest.mark.parametrize(("option", "shown"), [([], "more\n"), (["--json"], '{"added": "more\\n"}\n')])
def test_follow_in_the_command(run, log, monkeypatch, option, shown):
    """`-f` goes on with what is added until Ctrl-C, which is code 130."""

    def added(_, end):
        yield "more\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(ServiceLog, "added", added)
    code, stdout, _ = run("logs", "-f", "-n", "0", *option)

    assert (code, stdout.endswith(shown)) == (130, True)


def test_the_place_of_our_own_runtime(tmp_path):
    """The embedded runtime's log is where its command line says; another process has none."""
    directory = tmp_path / "foundry_rest-abc"
    words = [sys.executable, "-c", "input()", "foundry_rest.runtime.child_main", "1", str(directory)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        # Until it has become another program, its command line is empty.
        until(lambda: log_directory(process.pid) == directory / "logs")
        process.stdin.close()
    assert log_directory(os.getpid()) is None
    assert log_directory(process.pid) is None
