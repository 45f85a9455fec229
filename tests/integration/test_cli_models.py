"""`models`, `load`, `unload` and `download` as processes: on the real 2.x runtime, and on a 0.x service."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import suppress

import pytest

from foundry_rest.testing import FaultServer
from foundry_rest.testing.legacy import LEGACY_CACHED, LegacyService

ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"
#: In the 0.x catalog, but not on disk.
THERE = "mistral-7b-v0.2"


@pytest.mark.runtime
def test_life_of_a_model(command, own_runtime, monkeypatch):
    """A model is loaded, listed, unloaded by name, loaded by id, and unloaded with all others."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", own_runtime.url)

    def said(*arguments):
        done = command(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said("models", "--loaded") == ""
    assert said("models", "--cached").split()[6] == ID
    assert said("load", ALIAS) == f"{ID}\n"
    assert [model["id"] for model in json.loads(said("models", "--loaded", "--json"))] == [ID]
    assert said("unload", ALIAS) == ""
    assert said("models", "--loaded") == ""
    assert json.loads(said("load", ID, "--device", "cpu", "--json"))["loaded"] is True
    assert said("unload", "--all") == f"{ID}\n"
    assert said("unload", "--all") == said("models", "--loaded") == ""


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "demo-chta"], "Did you mean demo-chat"),
        (["unload", "demo-chta"], "Did you mean demo-chat"),
        (["download", "nobody"], "foundry-rest download --embedded"),
        (["load", ALIAS, "--ttl", "60"], "time to live"),
    ],
)
def test_refusals(command, runtime, arguments, said):
    """What 2.x refuses is code 1, nothing on stdout, and the way out on stderr."""
    done = command(*arguments, "--url", runtime.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def legacy(monkeypatch):
    """Return a 0.x service that the command finds by the environment."""
    with FaultServer(service=LegacyService()) as server:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
        yield server


def ids(command, *arguments):
    """Return the ids that `models` lists."""
    return {model["id"] for model in json.loads(command("models", "--json", *arguments).stdout)}


def test_download_over_rest(command, legacy):
    """On 0.x `download` fetches a model over REST; it is then on disk, can be loaded, kept and unloaded."""
    assert ids(command, "--cached") == set(LEGACY_CACHED)
    done = command("download", THERE)
    fetched = done.stdout.strip()

    assert (done.returncode, done.stderr.count("\n")) == (0, 2), done.stderr
    assert done.stderr.startswith(f"Downloading {THERE} ...\n")
    assert ids(command, "--cached") == {*LEGACY_CACHED, fetched}
    assert command("load", THERE, "--ttl", "60").stdout == f"{fetched}\n"
    assert ids(command, "--loaded") == {fetched}
    assert command("unload", THERE).returncode == 0
    assert ids(command, "--loaded") == set()


def test_download_that_fails(command):
    """A failure that 0.x tells within an answer of status 200 is code 1, and no success is noted."""
    service = LegacyService()
    service.download_error = "There is not enough space on the disk."
    with FaultServer(service=service) as server:
        done = command("download", THERE, "--url", server.url)

    assert (done.returncode, done.stdout) == (1, "")
    assert "not enough space" in done.stderr
    assert "is on disk" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_bar_on_a_terminal(command, legacy):
    """On a terminal stderr shows a bar up to the end; stdout carries the id alone all the same."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        command.line("download", THERE),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=command.environ(TERM="xterm"),
        text=True,
    ) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # Linux: the other end is closed
            while some := os.read(ours, 4096):
                seen += some
        stdout = process.stdout.read()
    os.close(ours)

    assert (process.returncode, stdout.count("\n")) == (0, 1)
    assert stdout.startswith("mistralai-")
    assert b"100%" in seen
    assert b"Downloading" not in seen
