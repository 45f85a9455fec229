"""The command on the real runtime: the answer alone on stdout, the rest on stderr, codes as documented."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess

import pytest

from foundry_rest import __version__

pytestmark = pytest.mark.runtime
ALIAS, NAME, ID = "demo-chat", "demo-chat-generic-cpu", "demo-chat-generic-cpu:1"
STORY = "Write a story about AI"
QUESTION = "Explain quantum computing"
bash = pytest.mark.skipif(
    shutil.which("bash") is None or os.name != "posix", reason="needs bash: apt-get install bash"
)


@pytest.fixture
def foundry(command, runtime, monkeypatch):
    """Return the command, told where the shared runtime is and which model to ask."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", runtime.url)
    monkeypatch.setenv("FOUNDRY_MODEL", ALIAS)
    return command


def assert_no_complaint(done):
    """Check that a command went well and that nobody sees a traceback or a warning of Python's."""
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_demo(command, answers):
    """`demo` prints the answer and the story, word for word and nothing else; the rest goes to stderr."""
    done = command("demo")

    assert_no_complaint(done)
    assert done.stdout == f"{answers[QUESTION]}\n{answers[STORY]}\n"
    for said in (
        QUESTION,
        STORY,
        "loaded models: demo-chat-generic-cpu:1",
        "memory:",
        "chat.stream",
        "TOKENS/S",
    ):
        assert said in done.stderr
    assert "failed" not in done.stderr


def test_demo_needs_no_service_and_leaves_none(command):
    """`demo` starts its own runtime and leaves no registry file behind."""
    command("demo")

    assert not list(command.registry().parent.glob("*"))


def test_prompt_as_an_argument(foundry, answers):
    """The prompt is an argument; the answer is streamed to stdout."""
    done = foundry("chat", STORY, "--temperature", "0")

    assert_no_complaint(done)
    assert done.stdout == answers[STORY] + "\n"


@pytest.mark.parametrize(("arguments", "end"), [([], "\n"), (["-"], ""), ([], "\r\n")])
def test_prompt_on_stdin(foundry, answers, arguments, end):
    """Without a prompt, or with `-`, it is read from stdin; the line's end is not part of it."""
    done = foundry("chat", *arguments, "--temperature", "0", stdin="What is a café?" + end)

    assert_no_complaint(done)
    assert done.stdout == answers["What is a café?"] + "\n"


def test_words_and_a_document(foundry):
    """Words and a document on stdin reach the model as one prompt: it counts the tokens of both."""
    tokens = [
        json.loads(foundry("chat", "Say OK", "--json", "--temperature", "0", stdin=text).stdout)["usage"]
        for text in ("", "a document of some words")
    ]

    assert tokens[1]["prompt_tokens"] > tokens[0]["prompt_tokens"] + 5


def test_whole_answer(foundry, answers):
    """`--no-stream` prints the same answer in one piece."""
    done = foundry("chat", QUESTION, "--no-stream", "--temperature", "0")

    assert_no_complaint(done)
    assert done.stdout == answers[QUESTION] + "\n"


def test_json_answer(foundry, answers):
    """`--json` prints one JSON object with the answer, its end, usage and timing."""
    done = foundry("chat", QUESTION, "--json", "--temperature", "0")
    reply = json.loads(done.stdout)

    assert_no_complaint(done)
    assert (reply["content"], reply["finish_reason"], reply["model"]) == (answers[QUESTION], "stop", ID)
    assert reply["usage"]["total_tokens"] > reply["usage"]["completion_tokens"] > 50
    assert 0 < reply["first_token"] <= reply["elapsed"]


def test_system_message(foundry, answers):
    """`--system` goes before the prompt: the model is asked more tokens."""
    plain, more = (
        json.loads(foundry("chat", "Say OK", "--json", "--temperature", "0", *extra).stdout)
        for extra in ([], ["--system", "Be brief."])
    )

    assert more["content"] == answers["Say OK"]
    assert more["usage"]["prompt_tokens"] > plain["usage"]["prompt_tokens"]


@pytest.mark.parametrize("way", [[], ["--no-stream"]])
def test_cut_answer(foundry, way):
    """An answer that the limit cut is printed, and stderr says that it was cut and what to do."""
    done = foundry("chat", STORY, "--max-tokens", "3", "--temperature", "0", *way)

    assert_no_complaint(done)
    assert done.stdout.rstrip("\n")
    assert done.stdout.count("\n") == 1
    assert "was cut at the limit" in done.stderr
    assert "--max-tokens" in done.stderr


@pytest.mark.parametrize("name", [ALIAS, ID, NAME, ALIAS.upper()])
def test_model(foundry, name):
    """`--model` takes alias, id and id without version, in any case, before FOUNDRY_MODEL."""
    done = foundry("chat", "Say OK", "--temperature", "0", "--model", name, FOUNDRY_MODEL="nobody")

    assert_no_complaint(done)
    assert done.stdout == "OK\n"


def test_unknown_model(foundry):
    """An unknown model is the service's no: code 1, near names, and how to list them."""
    done = foundry("chat", "Say OK", "--model", "demo-chta")

    assert (done.returncode, done.stdout) == (1, "")
    for said in ("'demo-chta'", "Did you mean demo-chat", "foundry-rest models", "--model"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_default_model_that_is_not_there(foundry):
    """Who gave no model at all is told which one was asked for, what there is, and how to give it."""
    done = foundry("chat", "Say OK", FOUNDRY_MODEL="")

    assert done.returncode == 1
    assert all(said in done.stderr for said in ("'phi-4-mini'", "It serves demo-chat", "--model"))


def test_too_long(foundry):
    """Too large a limit: code 1, the numbers, and the option to lower."""
    done = foundry("chat", "Say OK", "--max-tokens", "5000")

    assert (done.returncode, done.stdout) == (1, "")
    assert "4096 tokens" in done.stderr
    assert "--max-tokens" in done.stderr


def test_models(foundry):
    """`models` lists names, device and state in columns."""
    done = foundry("models")
    head, row = done.stdout.splitlines()

    assert_no_complaint(done)
    assert head.split() == ["ALIAS", "ID", "DEVICE", "SIZE", "STATE"]
    assert row.split() == [ALIAS, ID, "CPU", "1", "MiB", "loaded"]
    assert head.index("STATE") == row.index("loaded")


def test_models_as_json(foundry):
    """`models --json` prints a list of objects."""
    done = foundry("models", "--json")
    (model,) = json.loads(done.stdout)

    assert_no_complaint(done)
    assert (model["id"], model["alias"], model["loaded"], model["cached"]) == (ID, ALIAS, True, True)


def test_health(foundry, runtime):
    """`health` prints one line a fact."""
    done = foundry("health")
    facts = dict(line.split(":", 1) for line in done.stdout.splitlines())

    assert_no_complaint(done)
    assert facts["status"].strip() == "ok"
    assert facts["address"].strip() == runtime.url
    assert facts["pid"].strip() == str(runtime.pid)
    assert facts["memory"].endswith(" MiB")
    assert facts["loaded models"].strip() == ID


def test_health_as_json(foundry, runtime):
    """`health --json` prints one object, memory in bytes."""
    done = foundry("health", "--json")
    report = json.loads(done.stdout)

    assert_no_complaint(done)
    assert (report["status"], report["pid"], report["loaded_models"]) == ("ok", runtime.pid, [ID])
    assert report["memory_usage"] > 10 * 1024**2


@pytest.fixture
def shell(foundry):
    """Return a function that runs a line of bash, with {} for the command."""

    def run(line, *arguments):
        program = shlex.join(foundry.line(*arguments))
        environ = foundry.environ(FOUNDRY_LOG_LEVEL="WARNING")
        script = ["bash", "-c", line.format(program)]
        return subprocess.run(script, capture_output=True, text=True, env=environ, timeout=30, check=False)

    return run


@bash
@pytest.mark.parametrize("arguments", [["chat", STORY], ["models"], ["--help"]])
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_reader_that_leaves(shell, arguments, reader):
    """A reader that has had enough (`| head -1`) ends the command without a word."""
    done = shell("set -o pipefail; {} | " + reader, *arguments)

    assert done.returncode in (0, 141)
    assert done.stderr == ""


@bash
def test_full_disk(shell):
    """A disk that is full ends the command in one line, with code 1 and without a traceback."""
    done = shell("{} > /dev/full", "chat", "Hello")

    assert done.returncode == 1
    assert done.stderr == "foundry-rest: the output cannot be written: No space left on device\n"


@bash
def test_closed_stdout(shell):
    """With stdout closed the answer is lost, which is no success."""
    done = shell("{} >&-", "chat", "Hello")
    assert done.returncode == 1
    assert "the output cannot be written" in done.stderr


@bash
def test_closed_stderr(shell, answers):
    """With stderr closed no note goes to stdout instead."""
    done = shell("{} 2>&-", "chat", STORY, "--temperature", "0")
    assert (done.returncode, done.stdout) == (0, answers[STORY] + "\n")


def test_version(command):
    """`--version` prints name and version."""
    assert command("--version").stdout == f"foundry-rest {__version__}\n"


def test_no_runtime_directory(command, monkeypatch):
    """Where the system sets no runtime directory (cron, containers), nobody is bothered with it."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert "Warning" not in command("health").stderr
