"""What is asked of the `foundry` command, in which order, and when it is told to start the service."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.platforms import posix

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.config import Config
from foundry_rest.errors import Cancelled, DeadlineExceeded, ServiceNotFound
from foundry_rest.services.discovery.autostart import START_PATIENCE, Autostart
from foundry_rest.services.discovery.command_output import Output
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.discovery.search import discover
from foundry_rest.transport.cancellation import CancelToken

SAMPLES = Path(__file__).parents[1] / "samples" / "cli"
A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
SERVER, SERVICE = ("server", "status", "-o", "json"), ("service", "status")


def sample(name: str) -> Output:
    """Return what the command is known to print."""
    return Output((SAMPLES / name).read_bytes().decode("utf-8", "replace"))


#: What the two generations of the command answer while nothing runs.
NEW = {"server": sample("server_stopped.json"), "service": sample("service_unknown.txt")}
OLD = {"server": sample("server_unknown.txt"), "service": sample("service_not_running.txt")}


class FakeFoundry:
    """Answer as told; note what was asked and begun. Time is the clock's."""

    def __init__(self, answers, *, path="/bin/foundry", says="", error=None):
        self.answers, self.path, self.says, self.error = dict(answers), path, says, error
        self.asked, self.limits, self.begun, self.forgotten = [], [], [], 0

    def find(self):
        """Return the command's path."""
        return self.path

    def ask(self, path, words, seconds=10.0):
        """Return the answer."""
        assert path == self.path
        self.asked.append(tuple(words))
        self.limits.append(seconds)
        return self.answers[words[0]]

    def start(self, path, words):
        """Note that the service was started."""
        if self.error:
            raise self.error
        self.begun.append((path, *words))
        return self

    def output(self):
        """Return what the start printed."""
        return Output(self.says)

    def discard_output(self):
        """Note that its words were removed."""
        self.forgotten += 1

    def pause(self, seconds):
        """Let time pass."""
        clock.sleep(seconds)


def probe(*alive):
    """Return a probe that finds the service at these addresses only."""
    return lambda url, pid: url in alive


def daemon_file(text: str) -> None:
    """Write what the daemon of the command leaves in the home directory."""
    path = Path(os.environ["HOME"], ".foundry", "daemon.json")
    path.parent.mkdir()
    path.write_text(text)


def lost(foundry, found=(), **options) -> ServiceNotFound:
    """Return the error of a search that finds nothing."""
    options.setdefault("once", Autostart())
    with pytest.raises(ServiceNotFound) as caught:
        discover(None, probe(*found), foundry=foundry, **options)
    return caught.value


# ---------------------------------------------------------------- asking


def test_the_new_words_are_asked_first():
    """What `server status` names and answers is taken; `service status` is not asked then."""
    foundry = FakeFoundry({"server": Output(f'{{"webUrls": ["{A}", "{B}"]}}')})

    assert discover(None, probe(B), foundry=foundry) == B
    assert foundry.asked == [SERVER]


@pytest.mark.parametrize("server", ["server_unknown.txt", "server_stale_true.json", "server_crash.txt"])
def test_then_the_old_words(server):
    """A refusal, a dead address or a crash leads to `service status`."""
    foundry = FakeFoundry({"server": sample(server), "service": sample("service_running.txt")})

    assert discover(None, probe("http://localhost:5273"), foundry=foundry) == "http://localhost:5273"
    assert foundry.asked == [SERVER, SERVICE]


def test_the_daemon_file_saves_asking():
    """What the daemon left in the home directory is probed before a process is started."""
    daemon_file((SAMPLES / "daemon.json").read_text())
    foundry = FakeFoundry({})

    assert discover(None, probe("http://127.0.0.1:60000"), foundry=foundry) == "http://127.0.0.1:60000"
    assert foundry.asked == []


def test_a_stale_daemon_file():
    """The daemon died without removing it: the search goes on."""
    daemon_file(f'{{"web_urls": ["{A}"]}}')

    assert f"daemon.json (nothing answers at {A})" in str(lost(FakeFoundry(NEW)))


@pytest.mark.parametrize(
    ("step", "error"), [("read_bytes", PermissionError("denied")), ("home", RuntimeError("denied"))]
)
def test_a_daemon_file_that_cannot_be_read(monkeypatch, step, error):
    """It is named with the reason, and the search goes on; a user may have no home at all."""

    def fail(*_):
        raise error

    daemon_file("{}")
    monkeypatch.setattr(Path, step, fail)

    assert "daemon.json (denied), foundry server" in str(lost(FakeFoundry(NEW)))


def test_what_came_of_asking():
    """The error tells each answer, the dead addresses in it, and what to run."""
    error = lost(FakeFoundry({"server": Output("", "boom"), "service": sample("service_half_dead.txt")}))

    assert (
        "daemon.json (none), foundry server status -o json (it said: boom), foundry service status (nothing "
        "answers at http://127.0.0.1:54150; it said: Exception: Request to local service failed. Uri:"
    ) in error.message
    assert error.advice.startswith(
        "Run: foundry server start, or give auto_start=True, which does it. Start one with: foundry-rest"
    )


def test_no_command():
    """Without `foundry` on the PATH that is noted, and nobody is told to run it."""
    error = lost(FakeFoundry({}, path=None), auto_start=True)

    assert error.message.endswith("foundry command (not on PATH)")
    assert error.advice.startswith("Start one with: foundry-rest")


def test_nothing_is_started_unasked():
    """To start a service takes auto_start=True."""
    foundry = FakeFoundry(NEW)
    lost(foundry)

    assert (foundry.begun, foundry.asked) == ([], [SERVER, SERVICE])


# ---------------------------------------------------------------- starting


@pytest.mark.parametrize(("answers", "word"), [(NEW, "server"), (OLD, "service")])
def test_started_in_the_words_of_the_version(time, answers, word):
    """It is started once; from then on only the words that are known are asked, until it answers."""
    foundry = FakeFoundry(answers)

    def comes_up(url, pid):
        return url == A and time.slept == [0.25] * 3

    def ask(path, words, seconds=10.0):
        status = FakeFoundry.ask(foundry, path, words, seconds)
        return Output(f"running on {A}/") if foundry.begun else status

    foundry.ask = ask

    assert discover(None, comes_up, foundry=foundry, auto_start=True, once=Autostart()) == A
    assert foundry.begun == [("/bin/foundry", word, "start")]
    assert {asked[0] for asked in foundry.asked[2:]} == {word}
    assert foundry.forgotten == 1


def test_the_start_itself_names_the_address(time):
    """A status that goes on saying "not running" (issue 286) does not hide what the start said."""
    foundry = FakeFoundry(OLD, says=sample("service_started.txt").stdout)

    assert (
        discover(None, probe("http://127.0.0.1:64646"), foundry=foundry, auto_start=True, once=Autostart())
        == "http://127.0.0.1:64646"
    )


def test_a_start_that_comes_to_nothing(time):
    """After 30 s that is said once, with the command's own words; no question outlives the time."""
    foundry = FakeFoundry(NEW, says=f"port in use at {A}")
    begun = clock.monotonic()
    error = lost(foundry, auto_start=True)

    assert clock.monotonic() - begun == START_PATIENCE
    assert error.message.endswith(
        f"foundry server start (no service answered within 30 s; it said: port in use at {A})"
    )
    assert error.advice.startswith("Run: foundry server start. Start one with")
    assert foundry.forgotten == 1
    assert foundry.limits[-1] == 0.25
    assert max(foundry.limits) == 10


def test_once_per_process(time):
    """Repeated starts leave the service mute (issue 1037): the second search neither starts nor waits."""
    once, foundry = Autostart(), FakeFoundry(NEW)
    lost(foundry, auto_start=True, once=once)
    slept = len(time.slept)
    error = lost(foundry, auto_start=True, once=once)

    assert len(foundry.begun) == 1
    assert len(time.slept) == slept
    assert error.message.endswith("foundry server start (done once by this process, and not repeated)")


def test_another_thread_waits_for_the_same_start(time):
    """Within its time the start of one search is the start of all."""
    once, foundry = Autostart(), FakeFoundry(NEW)
    once.begin()
    time.advance(START_PATIENCE - 1)
    lost(foundry, auto_start=True, once=once)

    assert foundry.begun == []
    assert time.slept == [0.25] * 4


def test_a_command_that_cannot_start(time):
    """What the system says of it is the note; nothing is waited for."""
    error = lost(FakeFoundry(NEW, error=PermissionError("denied")), auto_start=True)

    assert error.message.endswith("foundry server start (cannot be run: denied)")
    assert time.slept == []


def test_a_command_that_understands_nothing(time):
    """Some other program of that name is not told to start anything."""
    unknown = {"server": sample("server_unknown.txt"), "service": sample("service_unknown.txt")}
    foundry = FakeFoundry(unknown)

    assert "foundry service status (unknown to this version)" in str(lost(foundry, auto_start=True))
    assert foundry.begun == []


# ---------------------------------------------------------------- the command's place, and the setting


@posix
def test_where_the_command_is(tmp_path, monkeypatch):
    """It is looked for on the PATH, and never taken from the working directory."""
    command = tmp_path / "foundry"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    there, none = str(tmp_path), str(tmp_path / "none")
    for path, found in (
        (there, there),
        (".", None),
        ("", None),
        (none, None),
        (f".{os.pathsep}{there}", there),
    ):
        monkeypatch.setenv("PATH", path)

        assert Foundry().find() == (found and str(command))


def test_a_closed_client_waits_no_longer(time):
    """The pause between two looks ends when the client is closed, or with the call's time."""
    token = CancelToken()
    foundry = Foundry(cancels=[token])
    foundry.pause(1)
    token.cancel()
    with pytest.raises(Cancelled, match="ended from elsewhere"):
        foundry.pause(99)
    hasty = Foundry(until=clock.monotonic() + 0.5)
    with pytest.raises(DeadlineExceeded, match="looked for"):
        hasty.pause(99)

    assert time.slept == [1, 0.5]


def test_a_deadline_while_the_command_runs():
    """It is told as such, and not as a command that cannot be run."""
    with pytest.raises(DeadlineExceeded, match="looked for"):
        Foundry(until=clock.monotonic() - 1).ask(sys.executable, ["-c", ""])


@pytest.mark.parametrize(("given", "setting"), [(None, False), (True, True), (False, False)])
def test_the_client_hands_it_down(monkeypatch, given, setting):
    """``auto_start=`` reaches the search, from the argument or from the configuration; off by default."""
    asked = []

    def search(named, probe, *, foundry, auto_start, refuse):
        asked.append(auto_start)
        raise ServiceNotFound("nowhere")

    monkeypatch.setattr("foundry_rest.services.discovery.search.discover", search)
    for options in ({"auto_start": given}, {"config": Config(auto_start=bool(given))}):
        with FoundryAPIClient(**options) as client, pytest.raises(ServiceNotFound):
            client.complete("Hi")

    assert set(asked) == {setting}
