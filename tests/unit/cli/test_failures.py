"""What a failed command leaves: the text so far, a failure that programs can read, and no exit 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest.cli.streams import discard, replace_closed_streams
from foundry_rest.testing import (
    MALFORMED,
    chat_events,
    chat_stream,
    cut,
    dead_address,
    error_event,
    html_page,
    inference_failed,
    model_not_found,
    pause,
    reset,
    sse,
    stall,
    too_many,
)

TEXTS = ["one two three", "Grüße, 世界 und mehr", "a\nb c\n"]
#: How a stream breaks after its text -> options with which it is noticed soon.
BREAKS = {
    "cut": (cut(), []),
    "reset": (pause(0.05) + reset(), []),
    "stall": (stall(), ["--timeout", "0.1"]),
    "error event": (error_event("no memory"), []),
    "malformed event": (MALFORMED, []),
}


def broken(text, end):
    """Return a stream that breaks after its text: by an event, or on the wire."""
    if isinstance(end, bytes):
        return sse((*chat_events([text], None, usage=False), end), done=False)
    return chat_stream([text])[:3] + end


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("way", BREAKS)
@pytest.mark.parametrize("option", [[], ["--no-stream"]])
def test_text_so_far(run, server, text, way, option):
    """Whatever breaks a stream, the text so far is on stdout, streamed or not, and the code is no 0."""
    end, options = BREAKS[way]
    server.on("POST", CHAT, broken(text, end))
    code, stdout, stderr = run("chat", "Hello", *option, *options)

    assert stdout.rstrip("\n") == text.rstrip("\n")
    assert code == 5, stderr
    assert stderr.startswith("foundry-rest: ")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("way", BREAKS)
def test_text_so_far_in_json(run, server, text, way):
    """With `--json` stdout stays empty: the failure and the text so far are one JSON object on stderr."""
    end, options = BREAKS[way]
    server.on("POST", CHAT, broken(text, end))
    code, stdout, stderr = run("chat", "Hello", "--json", *options)
    error = json.loads(stderr)["error"]

    assert (code, stdout) == (5, "")
    assert (error["type"], error["text"], error["exit_code"]) == ("StreamInterrupted", text, 5)
    assert (error["model"], error["url"]) == ("demo", server.url)


def test_deadline_keeps_the_text(run, server, monkeypatch):
    """A deadline that passes within an answer leaves its text in all three forms."""
    # Wine takes half a second to import what a first call needs.
    monkeypatch.setenv("FOUNDRY_DEADLINE", "3" if sys.platform == "win32" else "0.3")
    server.on("POST", CHAT, broken("one two", stall()))

    assert run("chat", "Hello")[:2] == (4, "one two\n")
    assert run("chat", "Hello", "--no-stream")[:2] == (4, "one two\n")
    assert json.loads(run("chat", "Hello", "--json")[2])["error"]["text"] == "one two"


#: Arguments, what the service answers at which route, type of the error.
FAILURES = [
    (["chat", "Hello"], ("POST", CHAT, too_many()), "TooManyRequests"),
    (["chat", "Hello"], ("POST", CHAT, inference_failed()), "InferenceFailed"),
    (["chat", "Hello"], ("POST", CHAT, html_page()), "InvalidReply"),
    (["chat", "Hello"], ("POST", CHAT, cut()), "ServiceUnreachable"),
    (["chat", "Hello", "--timeout", "0.1"], ("POST", CHAT, stall()), "ServiceTimeout"),
    (["chat", "Hello", "--max-tokens", "0"], None, "ConfigError"),
    (["chat", ""], None, "ConfigError"),
    (["chat", "Hello", "--timeout", "soon"], None, "UsageError"),
    (["chat", "Hello", "--colour"], None, "UsageError"),
    (["models"], ("GET", "/v1/models", html_page()), "InvalidReply"),
    (["models", "--cached", "--loaded"], None, "UsageError"),
    (["models", "--url", "localhost"], None, "ConfigError"),
    (["health", "--timeout", "0.1"], ("GET", "/status", stall()), "ServiceTimeout"),
    (["health", "Hello"], None, "UsageError"),
    (["load", "demo"], ("GET", "/models/load/demo", model_not_found("demo")), "ModelNotFound"),
    (["load"], None, "UsageError"),
    (["download", "demo"], None, "UnsupportedByService"),
    (["download", "demo", "--timeout", "-1"], None, "ConfigError"),
]


@pytest.mark.parametrize(("arguments", "script", "kind"), FAILURES)
@pytest.mark.parametrize("option", ["--json", "--js"])
def test_failures_in_json(run, server, arguments, script, kind, option):
    """`--json` prints any failure of any command as one line of JSON on stderr, with nothing around it."""
    if script is not None:
        server.on(*script)
    code, stdout, stderr = run(*arguments, option)
    error = json.loads(stderr)["error"]

    assert (error["type"], error["exit_code"], stdout) == (kind, code, "")
    assert code
    assert error["message"]


def test_json_names_where_and_what_next(run):
    """A program finds address, call, attempts and advice in the object, each under its name."""
    with dead_address() as url:
        error = json.loads(run("chat", "Hello", "--json", "--url", url)[2])["error"]

    assert (error["url"], error["sent"]) == (url, False)
    assert len(error["attempts"]) == 4
    assert "foundry-rest serve" in error["advice"]
    assert {attempt["error"] for attempt in error["attempts"]} <= {"ServiceUnreachable"}


def test_words_that_look_like_an_option(run, server):
    """After `--` nothing is an option: the failure is a sentence."""
    server.on("POST", CHAT, too_many())

    assert run("chat", "--", "--json")[2].startswith("foundry-rest: ")


@posix
@pytest.mark.parametrize("target", [">&-", ">/dev/full", ">&- 2>&-", ">/dev/full 2>/dev/full", ">&- <&-"])
@pytest.mark.parametrize("arguments", ["chat Hello", "chat Hello --no-stream", "chat Hello --json", "models"])
def test_answer_that_cannot_be_written(server, target, arguments):
    """An answer that could not be written is code 1, whole or streamed, and the reason is said."""
    done = shell(f"{arguments} {target}")

    assert done.returncode == 1
    assert done.stdout == ""
    if "2>" not in target:
        assert "the output cannot be written" in done.stderr
        assert "Traceback" not in done.stderr
        if "--json" in arguments:
            assert json.loads(done.stderr)["error"]["type"] == "OSError"


@posix
@pytest.mark.parametrize("target", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("length", ["stop", "length"])
def test_notes_that_cannot_be_written(server, target, length):
    """Notes are no part of the answer: a stderr that is closed or full changes neither it nor the code."""
    server.on("POST", CHAT, chat_stream("one two", finish=length))
    done = shell(f"chat Hello {target}")

    assert (done.returncode, done.stdout, done.stderr) == (0, "one two\n", "")


@posix
@pytest.mark.parametrize("arguments", ["--help", "--version", "chat --help"])
def test_help_that_cannot_be_written(server, arguments):
    """The same for help."""
    assert shell(f"{arguments} >/dev/full").returncode == 1


def shell(line):
    """Run the command in a shell."""
    return subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m foundry_rest {line}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )


@posix
def test_closed_streams_are_replaced(monkeypatch):
    """A closed stderr takes notes and drops them; a closed stdout takes no answer."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    replace_closed_streams()
    with sys.stdout as stdout, sys.stderr as stderr:
        print("a note", file=stderr, flush=True)
        print("the answer", file=stdout)
        with pytest.raises(OSError, match=r".+"):
            stdout.flush()
        discard(stdout)
