"""The command as ollama and gh spell it, on the real runtime; and what asking for help costs."""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient, LoadFailed
from foundry_rest.ops.service_log import find_log
from foundry_rest.runtime import LocalRuntime

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"


def said(done):
    """Return what a command has printed; it must have done its work."""
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.runtime
def test_life_of_a_model(command, own_runtime, monkeypatch):
    """A model is on disk, shown, in memory once it is loaded, and stopped."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", own_runtime.url)

    assert said(command("list")).split()[6] == ID
    assert said(command("ps")) == ""
    said(command("load", ALIAS))
    assert [model["id"] for model in json.loads(said(command("ps", "--json")))] == [ID]
    facts = dict(line.split(":", 1) for line in said(command("show", ALIAS)).splitlines())
    assert (facts["id"].strip(), facts["state"].strip()) == (ID, "loaded")
    assert command("stop", ALIAS).stderr == f"{ALIAS} is not in memory.\n"
    assert said(command("ps")) == ""
    assert "Did you mean demo-chat" in command("show", "demo-chta").stderr


@pytest.mark.runtime
def test_options_of_a_call(command, runtime):
    """Header, bounds and tries are taken; a deadline that cannot be kept is code 4."""
    options = ("--url", runtime.url, "-m", ALIAS, "-t", "0", "-H", "X-Team: blue", "--retries", "0")

    assert said(command("chat", "Say yes", *options, "--deadline", "20")) == "Yes\n"
    late = command("chat", "Write a story about AI", *options, "--deadline", "0.001")
    assert (late.returncode, late.stdout) == (4, "")
    loud = command("chat", "Say yes", *options, "-v")
    assert (loud.stdout, "DEBUG foundry_rest: chat." in loud.stderr) == ("Yes\n", True)


@pytest.mark.runtime
def test_serve_in_json(command, is_gone, within):
    """`serve --json` tells address, process and models on one line, then serves."""
    process = command.start("serve", "--demo", "--json")
    told = json.loads(process.stdout.readline())

    assert said(command("url", "--url", told["url"])) == f"{told['url']}\n"
    assert told["models"] == [ALIAS]
    process.send_signal(signal.SIGTERM)
    assert within(10, lambda: is_gone(told["pid"]))


@pytest.mark.runtime
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_logs_of_our_runtime(command, own_runtime):
    """`logs` finds the log that the embedded runtime writes, and with -f what is added to it."""
    file = Path(json.loads(said(command("logs", "--json", "--url", own_runtime.url)))["file"])
    assert file.parent.name == "logs"
    assert file.parent.parent.name.startswith("foundry_rest-")
    with file.open("a", encoding="utf-8") as log:
        log.write("one\n")
    following = command.start("logs", "-f", "-n", "1", "--url", own_runtime.url, PYTHONUNBUFFERED="1")
    assert following.stdout.readline() == "one\n"
    with file.open("a", encoding="utf-8") as log:
        log.write("added\n")
    assert following.stdout.readline() == "added\n"
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 130


@pytest.mark.runtime
def test_logs_of_a_public_catalog(command, tmp_path, monkeypatch):
    """Where the models lie elsewhere, the command line of the runtime's process tells the place."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with LocalRuntime() as started, FoundryAPIClient(started.url) as client:
        found = find_log(client)

        assert found.directory.parent.name.startswith("foundry_rest-")
        assert found.is_of_running


@pytest.mark.runtime
def test_logs_of_an_older_service(core_runtime, within):
    """1.2.4 writes beside its model cache, once there is something to write, and is found there."""
    with FoundryAPIClient(core_runtime.url) as client:
        with pytest.raises(LoadFailed):
            client.models.load("broken")
        assert within(10, lambda: any((core_runtime.directory / "logs").glob("*.log")))
        found = find_log(client)

    assert found.directory == core_runtime.directory / "logs"
    assert within(10, lambda: found.last(5))


@pytest.fixture(scope="module")
def other_models():
    """Return a service with a model for vectors and one for speech."""
    with LocalRuntime([MODELS / "tiny-whisper", MODELS / "tiny-embeddings"]) as started:
        yield started


@pytest.mark.runtime
def test_embed(command, other_models):
    """Each text has its vector on a line; equal texts have equal ones."""
    lines = said(
        command("embed", "-m", "tiny-embeddings", "a", "b", "a", "--url", other_models.url)
    ).splitlines()
    vectors = [json.loads(line) for line in lines]

    assert vectors[0] == vectors[2] != vectors[1]
    assert len({len(vector) for vector in vectors}) == 1
    told = json.loads(
        said(command("embed", "-", "-m", "tiny-embeddings", "--json", "--url", other_models.url, stdin="a\n"))
    )
    assert told["vectors"] == [vectors[0]]


@pytest.mark.runtime
def test_transcribe(command, other_models, tmp_path):
    """What is heard in a file is on stdout."""
    heights = (int(12_000 * math.sin(2 * math.pi * 440 * n / 16_000)) for n in range(8_000))
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(struct.pack("<8000h", *heights))
    arguments = ("transcribe", str(tmp_path / "tone.wav"), "-m", "tiny-whisper", "--url", other_models.url)

    assert said(command(*arguments)).startswith("Hello world")
    assert json.loads(said(command(*arguments, "--json")))["text"].startswith("Hello world")


@pytest.mark.skipif(os.name != "posix", reason="the processor time of children")
def test_help_costs_little_more_than_argparse(tmp_path):
    """`--help` takes at most 1.5 times the processor time of importing argparse, both compiled."""
    import resource

    program = "from foundry_rest.cli.main import main; main(['--help'])"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def seconds(code):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-c", code], env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    seconds(program)  # compiles
    pairs = [(seconds("import argparse"), seconds(program)) for _ in range(15)]
    assert statistics.median(ours / theirs for theirs, ours in pairs) <= 1.5
