"""What single examples show, beyond that they run: an exit code for cron, speech, tests of one's own code."""

from __future__ import annotations

import doctest
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.testing import DEMO_MODEL, FaultServer

ROOT = Path(__file__).parents[2]
WHISPER = ROOT / "tests" / "models" / "tiny-whisper"
SENTENCE = "Hello world, the quick brown fox jumps over the lazy dog."


def run(name: str, url: str, *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run an example with a service and a default model in the environment."""
    return subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        env={**os.environ, "FOUNDRY_ENDPOINT": url, "FOUNDRY_MODEL": DEMO_MODEL, "PYTHONPATH": str(ROOT)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def speaking() -> Iterator[LocalRuntime]:
    """Return a 2.2.1 that has a model for speech beside the one for chat."""
    with LocalRuntime([demo_model_dir(), WHISPER]) as started:
        yield started


@pytest.mark.runtime
def test_speech_is_written_down(speaking):
    """With a model for speech among those of the service, it is the one that is asked."""
    done = run("transcribe", speaking.url)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"{SENTENCE}\n", "")


@pytest.mark.runtime
def test_the_example_of_embedded_is_true():
    """The example in the help of `FoundryAPIClient.embedded` gives what it shows."""
    names = {"FoundryAPIClient": FoundryAPIClient, "demo_model_dir": demo_model_dir}
    text = inspect.getdoc(FoundryAPIClient.embedded) or ""
    test = doctest.DocTestParser().get_doctest(text, names, "embedded", None, None)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)

    assert (result.attempted, said) == (1, [])


def test_a_service_that_cannot_hear():
    """Without a model for speech the example says so; that is no failure."""
    with FaultServer() as server:
        done = run("transcribe", server.url)

    assert done.returncode == 0, done.stderr
    assert "no model for speech" in done.stdout


def test_cron_is_told_to_try_again():
    """A service that is not there is one line of log without a traceback, and exit code 75."""
    done = run("cron_job", "http://127.0.0.1:9")

    assert done.returncode == 75
    assert "ERROR no answer now" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_questions_of_a_conversation_are_piped_in():
    """Each line is a question, asked with all that was said before it."""
    with FaultServer() as server:
        done = run("conversation", server.url, stdin="One?\n\nTwo?\n")
        asked = [request.json()["messages"] for request in server.requests if request.method == "POST"]

    assert done.returncode == 0, done.stderr
    assert [[said["role"] for said in messages] for messages in asked] == [
        ["user"],
        ["user", "assistant", "user"],
    ]
    assert asked[1][0]["content"] == "One?"


def test_the_tests_of_the_example_pass(tmp_path):
    """Copied into a folder of its own, the example's tests run on the installed fixtures."""
    shutil.copy(ROOT / "examples" / "testing_your_code.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "testing_your_code.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
