"""The service is found, and on request started, through a real `foundry` command on the PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.discovery import moved

from foundry_rest import FoundryAPIClient, RetryPolicy
from foundry_rest.errors import Cancelled, ServiceNotFound
from foundry_rest.services.discovery.autostart import AUTOSTART
from foundry_rest.services.discovery.process import PATIENCE, Foundry
from foundry_rest.services.discovery.registry_file import Entry, write
from foundry_rest.testing import FaultServer, dead_address
from foundry_rest.transport.cancellation import CancelToken

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the command is played by an executable script")

MODEL = "demo-generic-cpu:1"
SOON = RetryPolicy(retries=3, base=0.01, floor=0.001)
NOISE = "By using this you accept https://aka.ms/terms\n\x1b[2K| Connecting...\r"


@pytest.fixture(autouse=True)
def _never_started(monkeypatch):
    """Let each test be a process that has started nothing."""
    monkeypatch.setattr(AUTOSTART, "_begun", {})


@pytest.fixture(autouse=True)
def words(tmp_path, monkeypatch) -> Path:
    """Return the directory that takes temporary files; nothing may be left in it."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a `foundry` made of Python statements on the PATH, and gives its path."""

    def make(text: str, interpreter: str = sys.executable) -> str:
        command = tmp_path / "bin" / "foundry"
        command.parent.mkdir()
        command.write_text(f"#!{interpreter}\nimport json, os, subprocess, sys, time\n{text}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
        return str(command)

    return make


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """Return a list of processes that are killed after the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def lost(**options) -> ServiceNotFound:
    """Return the error of a client that finds nothing."""
    with FoundryAPIClient(**options) as client, pytest.raises(ServiceNotFound) as caught:
        client.complete("Hi")
    return caught.value


# ---------------------------------------------------------------- found


@pytest.mark.parametrize("cli", ["0.8", "0.10"])
@pytest.mark.parametrize("code", [0, 1])
def test_found(fake_foundry, faults, cli, code):
    """Either generation of the command leads to the service, whatever its banners and its exit code."""
    fake_foundry(cli=cli, url=faults.url, noise=NOISE, code=code)
    with FoundryAPIClient(model=MODEL) as client:
        assert client.complete("Hi").content == "Hello there"


def test_found_although_it_says_no(fake_foundry, faults):
    """``running`` is stale: an address that answers is believed all the same."""
    fake_foundry(cli="0.10", url=faults.url, running=False)
    with FoundryAPIClient(model=MODEL) as client:
        assert client.complete("Hi").content == "Hello there"


def test_the_registered_service_comes_first(fake_foundry, faults):
    """What `foundry-rest serve` registered is taken before a process is started."""
    with FaultServer(reply="the command's") as other:
        fake_foundry(url=other.url)
        write(Entry(faults.url, os.getpid(), 1.0))
        with FoundryAPIClient(model=MODEL) as client:
            assert client.complete("Hi").content == "Hello there"

    assert other.requests == []


@pytest.mark.parametrize(
    ("state", "word"), [({"dead": True}, "service"), ({"cli": "0.10", "running": True}, "server")]
)
def test_a_dead_address_is_not_believed(fake_foundry, state, word):
    """It is named in the error, with the command to run; nothing is started."""
    with dead_address() as url:
        path = fake_foundry(url=url, **state)
        error = lost()

    assert f"nothing answers at {url}; it said: " in error.message
    assert f"Run: foundry {word} start, or give auto_start=True" in error.advice
    assert "pid" not in json.loads(path.read_text())


def test_everything_is_told(fake_foundry):
    """The error lists all that was looked at, each with what came of it."""
    fake_foundry()
    message = lost().message

    assert [
        part in message
        for part in (
            "base_url (not given)",
            "FOUNDRY_ENDPOINT (not set)",
            "service.json (none)",
            "daemon.json (none)",
            "foundry server status -o json (unknown to this version)",
            "foundry service status (it said: \N{LARGE RED CIRCLE} Model management service is not running!",
        )
    ] == [True] * 6


def test_it_moves(fake_foundry, told):
    """At each restart the port is another one: the call that meets the dead one goes on at the new one."""
    with FaultServer(reply="first") as old, FaultServer(reply="second") as new:
        fake_foundry(url=old.url)
        with FoundryAPIClient(model=MODEL, retries=SOON, observers=[told.append]) as client:
            assert client.complete("Hi").content == "first"
            old.stop()
            fake_foundry(url=new.url)
            assert client.complete("Hi").content == "second"

    assert moved(told) == [(old.url, new.url)]


# ---------------------------------------------------------------- started


def test_started(fake_foundry, words, is_gone):
    """The service comes up although it keeps the command's output open; it has a session of its own."""
    state = fake_foundry()
    with FoundryAPIClient(auto_start=True) as client:
        report = client.health_check()
    service = json.loads(state.read_text())

    assert (report.status, report.url) == ("ok", service["url"])
    assert not is_gone(service["pid"])
    assert os.getsid(service["pid"]) != os.getsid(0)
    assert list(words.iterdir()) == []


def test_started_when_it_was_lost(fake_foundry, told):
    """A service that ends under a client is started in its place, and the same call goes on there."""
    with FaultServer(reply="first") as old:
        state = fake_foundry(url=old.url)
        with FoundryAPIClient(model=MODEL, auto_start=True, retries=SOON, observers=[told.append]) as client:
            assert client.complete("Hi").content == "first"
            old.stop()
            fake_foundry()
            client.request("GET", "/openai/status")

    url = json.loads(state.read_text())["url"]
    assert moved(told) == [(old.url, url)]


def test_the_new_command_starts_it(program, faults, ended):
    """0.10 is told `server start`; that it never ends keeps nobody waiting."""
    program(f"""
mark = os.path.join(os.environ["HOME"], "started")
if sys.argv[1:] == ["server", "start"]:
    open(mark, "w").write(str(os.getpid()))
    time.sleep(60)
urls = ["{faults.url}"] if os.path.exists(mark) else []
print(json.dumps({{"running": bool(urls), "webUrls": urls}}))""")
    with FoundryAPIClient(model=MODEL, auto_start=True) as client:
        assert client.complete("Hi").content == "Hello there"
    ended.append(int(Path(os.environ["HOME"], "started").read_text()))

    assert psutil.pid_exists(ended[0])


def test_not_started_twice(fake_foundry, monkeypatch):
    """One start per process: when it is over and the service is gone again, that is said at once."""
    monkeypatch.setattr(AUTOSTART, "_begun", {"": [0.0]})
    state = fake_foundry()

    assert (
        "foundry service start (done once by this process, and not repeated)" in lost(auto_start=True).message
    )
    assert "pid" not in json.loads(state.read_text())


# ---------------------------------------------------------------- the command as a process


def test_a_command_that_hangs(program, is_gone, within):
    """It is killed when its time is over, and so is what it started."""
    path = program(
        "child = subprocess.Popen(['sleep', '60'])\nprint(os.getpid(), child.pid, flush=True)\ntime.sleep(60)"
    )
    output = Foundry().ask(path, ["service", "status"], 1.5)

    assert output.trouble == "no answer within 1.5 s"
    pids = [int(pid) for pid in output.stdout.split()]
    assert len(pids) == 2
    assert all(within(5, lambda pid=pid: is_gone(pid)) for pid in pids)


def test_a_hanging_command_is_left_when_the_client_closes(program, within, is_gone):
    """close() ends the look, and the command with it."""
    program('open(os.path.join(os.environ["HOME"], "pid"), "w").write(str(os.getpid()))\ntime.sleep(60)')
    note, failed = Path(os.environ["HOME"], "pid"), []

    def ask():
        try:
            client.complete("Hi")
        except Cancelled as error:
            failed.append(error)

    with FoundryAPIClient() as client:
        thread = threading.Thread(target=ask)
        thread.start()
        assert within(PATIENCE / 2, lambda: note.exists() and note.read_text())
    thread.join(2)

    assert len(failed) == 1
    assert is_gone(int(note.read_text()))


def test_a_child_that_keeps_the_output_open(program, ended):
    """The answer is there when the command ends, whoever holds its output after that."""
    path = program("print(subprocess.Popen(['sleep', '60']).pid)")
    output = Foundry().ask(path, ["service", "start"], 20)
    ended.append(int(output.stdout))

    assert output.trouble == ""
    assert psutil.pid_exists(ended[0])


def test_a_command_that_prints_without_end(program):
    """Neither stream blocks it, and what is kept of either is bounded."""
    path = program("for out in (sys.stdout, sys.stderr):\n    out.write('x' * 1_000_000)")
    output = Foundry().ask(path, [])

    assert (len(output.stdout), len(output.stderr), output.trouble) == (65536, 65536, "")


def test_how_it_is_run(program):
    """No input, no shell, both streams, and a session of its own, which Ctrl-C in ours does not reach."""
    path = program(
        "print(sys.argv[1:], repr(sys.stdin.read()), os.getsid(0) == os.getpid())\n"
        "sys.stderr.buffer.write(b'\\xff!')\nsys.exit(3)"
    )
    output = Foundry().ask(path, ["$HOME", "a b"])

    assert (output.stdout, output.stderr) == ("['$HOME', 'a b'] '' True\n", "\ufffd!")


def test_a_command_that_cannot_be_run(program, words):
    """That is what is said of it: by the question, and by the start, which leaves no file behind."""
    path = program("", interpreter="/none/such")
    output = Foundry().ask(path, [])
    with pytest.raises(FileNotFoundError):
        Foundry().start(path, [])

    assert output.trouble.startswith("cannot be run: [Errno 2] No such file")
    assert list(words.iterdir()) == []


def test_what_a_start_said(program, within):
    """Both streams are its words; once they are forgotten there are none."""
    begun = Foundry().start(program("print('out', flush=True); print('err', file=sys.stderr)"), [])

    assert within(10, lambda: begun.output().stdout == "out\nerr\n")
    begun.discard_output()
    assert begun.output().stdout == ""


def test_a_client_that_is_closed_asks_nothing(program):
    """A cancelled look starts nothing that goes on."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        Foundry(cancels=[token]).ask(program("time.sleep(60)"), [])


def test_processes_cost_only_those_who_start_them():
    """Importing the client, or naming the service, imports no subprocess."""
    code = (
        "import sys; from foundry_rest import FoundryAPIClient; "
        "FoundryAPIClient('http://127.0.0.1:9').close(); print('subprocess' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
