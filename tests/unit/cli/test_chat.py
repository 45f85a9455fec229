"""`chat`: where the prompt comes from, what is asked, what is shown where."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest.cli.main import main
from foundry_rest.testing import chat_stream, json_error


def test_streamed_and_whole(run, server):
    """The answer alone is on stdout, streamed or not; both ask for the same."""
    server.on("POST", CHAT, chat_stream("Grüße, 世界"))

    assert run("chat", "Hello")[:2] == (0, "Grüße, 世界\n")
    assert run("chat", "Hello", "--no-stream")[:2] == (0, "Grüße, 世界\n")


def test_request(run, server):
    """Options go to the service under the names it knows; what is not given is not sent."""
    run(
        "chat",
        "Hello",
        "--system",
        "Be brief.",
        "--max-tokens",
        "7",
        "--temperature",
        "0.5",
        "--model",
        "demo",
    )
    body = server.asked(CHAT)[-1].json()

    assert [message["content"] for message in body["messages"]] == ["Be brief.", "Hello"]
    assert (body["max_tokens"], body["temperature"]) == (7, 0.5)
    assert "top_p" not in body


def test_json_answer(run, server):
    """`--json` is one JSON object on stdout, letters as they are."""
    server.on("POST", CHAT, chat_stream("schön"))
    _, stdout, _ = run("chat", "Hello", "--json")
    reply = json.loads(stdout)

    assert (reply["content"], reply["finish_reason"], reply["tool_calls"]) == ("schön", "stop", [])
    assert reply["usage"]["completion_tokens"] == 1
    assert "schön" in stdout


@pytest.mark.parametrize("option", [[], ["--no-stream"], ["--json"]])
def test_figures(run, server, option):
    """`--stats` prints the call's figures to stderr; stdout has the answer alone, as without it."""
    server.on("POST", CHAT, chat_stream("one two"))
    _, stdout, stderr = run("chat", "Hello", "--stats", *option)
    assert "TOKENS/S" in stderr
    assert "chat." in stderr
    assert "CALLS" not in stdout


def test_figures_of_a_failure(run, server):
    """They are printed for a call that failed, too."""
    server.on("POST", CHAT, json_error(400, "no"))
    code, _, stderr = run("chat", "Hello", "--stats")
    assert code == 1
    assert re.search(r"chat\.stream +1 +1 ", stderr)


@pytest.mark.parametrize("option", [[], ["--no-stream"]])
def test_cut_at_the_limit(run, server, option):
    """An answer that the limit cut ends well, and stderr says so."""
    server.on("POST", CHAT, chat_stream("one two", finish="length"))
    code, stdout, stderr = run("chat", "Hello", *option)

    assert (code, stdout) == (0, "one two\n")
    assert "the answer was cut at the limit; give a larger --max-tokens" in stderr


@pytest.mark.parametrize(
    ("stdin", "sent"),
    [(b"Hello\n", "Hello"), (b"\xef\xbb\xbfa\r\n", "a"), (b"a\n\nb\n\n", "a\n\nb"), ("é".encode(), "é")],
)
def test_prompt_on_stdin(run, server, stdin, sent):
    """The prompt on stdin is UTF-8; a mark before it and line ends after it are the shell's."""
    assert run("chat", "-", stdin=stdin)[0] == 0
    assert server.asked(CHAT)[-1].json()["messages"] == [{"role": "user", "content": sent}]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        pytest.param([], b"Hell\xff", "the prompt on stdin is not UTF-8 (byte 4)", marks=posix),
        ([], b"\n", "the prompt is empty"),
        ([""], b"", "the prompt is empty"),
        (["Hell\udcff"], b"", "the prompt is not text in this terminal's encoding (character 4)"),
    ],
)
def test_prompt_that_is_none(run, server, arguments, stdin, said):
    """A prompt that is empty or no text is code 2, and nothing is sent."""
    code, _, stderr = run("chat", *arguments, stdin=stdin)

    assert code == 2
    assert said in stderr
    assert not server.asked(CHAT)


class Terminal(io.TextIOWrapper):
    """Stand for a terminal."""

    def isatty(self):
        """Say that a person types here."""
        return True


def test_no_stdin(server, monkeypatch, capsys):
    """With stdin closed the command says that the prompt is missing."""
    monkeypatch.setattr(sys, "stdin", None)

    assert main(["chat"]) == 2
    assert "there is no prompt: give it as an argument or on stdin" in capsys.readouterr().err


def test_stdin_that_cannot_be_read(run, server):
    """A stdin that cannot be read is code 2 with the system's reason."""
    code, _, stderr = run("chat", stdin=io.TextIOWrapper(Unreadable()))

    assert code == 2
    assert "stdin cannot be read: Is a directory" in stderr


class Unreadable(io.BufferedIOBase):
    """Stand for a stdin that is a directory."""

    def readable(self):
        """Look like a file."""
        return True

    def read(self, *_):
        """Fail as a directory does."""
        raise IsADirectoryError(21, "Is a directory")


def test_terminal_is_told(run, server):
    """Who would otherwise wait at an empty terminal is told that the prompt is being read."""
    assert "end it with Ctrl-D" in run("chat", stdin=Terminal(io.BytesIO(b"Hello")))[2]
