"""Control characters of models, services and names: shown on a terminal and in a log, never obeyed."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.cli.main import main
from foundry_rest.control_characters import visible
from foundry_rest.errors import FoundryError
from foundry_rest.testing import DEMO_MODEL, chat_stream, json_error

#: What a terminal would obey.
OBEYED = {
    "\x1b[2J": "\\x1b[2J",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\x9b31m": "\\x9b31m",
    "\x08\x08": "\\x08\\x08",
    "\x7f": "\\x7f",
    "\r": "\\r",
    "\x0b\x0c": "\\x0b\\x0c",
    "a\u202eb": "a\\u202eb",
    "\u2066\u2069": "\\u2066\\u2069",
    "\u200f": "\\u200f",
    "\u2028": "\\u2028",
    "\x00": "\\x00",
    "\x85": "\\x85",
}
#: What is left as it is.
KEPT = [
    "plain",
    "",
    "two\nlines\tand a tab",
    "two lines\r\nof Windows",
    "\u00e9\u4e2d\u6587",
    "\N{GRINNING FACE}",
    "\U0001f468\u200d\U0001f469",
    "\u00ad",
    "\\x1b",
]


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what it is shown."""

    def __init__(self, encoding="utf-8"):
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self):
        """Say so."""
        return True

    @property
    def shown(self):
        """The text that was written."""
        return self.buffer.getvalue().decode(self.encoding)


def pipe_in(encoding):
    """Return a stream that is no terminal."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True, newline="")


@pytest.fixture(autouse=True)
def _no_document(monkeypatch):
    """Let stdin be empty."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_what_is_made_visible(text, shown):
    """As Python writes it; in a log a line end is made visible, too."""
    assert visible(f"a{text}b") == f"a{shown}b"
    assert visible(f"a\n{text}", keep_lines=False) == f"a\\n{shown}"


@pytest.mark.parametrize("text", KEPT)
def test_what_is_kept(text):
    """Letters of every script, emoji, line ends and tabs."""
    assert visible(text) == text


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_an_answer_on_a_terminal(server, monkeypatch, text, shown, options):
    """A terminal shows the characters; a pipe gets them as they are."""
    server.on("POST", CHAT, chat_stream(["Hi ", f"a{text}b"]))
    command = ["chat", "Hi", "--url", server.url, "--model", DEMO_MODEL, *options]
    for stream, expected in ((Terminal(), shown), (pipe_in("utf-8"), text)):
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(command) == 0
        assert f"a{expected}b" in stream.buffer.getvalue().decode()


@pytest.mark.parametrize(("text", "shown"), OBEYED.items())
def test_an_error_and_its_log(server, caplog, text, shown):
    """A service's words are shown so wherever they are told."""
    server.on("POST", CHAT, json_error(429, f"a{text}b"))
    with (
        caplog.at_level(logging.DEBUG, "foundry_rest"),
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="openai") as client,
        pytest.raises(FoundryError) as caught,
    ):
        client.complete("Hi")

    whole = str(caught.value) + caplog.text
    assert text not in whole
    assert f"a{shown}b" in whole or text.isspace()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
def test_a_pipe_is_utf8(server, monkeypatch, encoding):
    """Whatever the machine's code page is, unless PYTHONIOENCODING says otherwise."""
    server.on("POST", CHAT, chat_stream("\u4e2d\N{GRINNING FACE}"))
    command = ["chat", "Hi", "--url", server.url, "--model", DEMO_MODEL]
    for own in ("", "utf-16-le"):
        stream = pipe_in(own or encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        if own:
            monkeypatch.setenv("PYTHONIOENCODING", own)
        assert main(command) == 0
        assert "\u4e2d\N{GRINNING FACE}" in stream.buffer.getvalue().decode(own or "utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_document_in_another_encoding(server, monkeypatch, encoding):
    """UTF-16 with its mark, as PowerShell writes it, is text, too."""
    server.on("POST", CHAT, chat_stream("yes"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\u00fcber \u4e2d".encode(encoding))))
    assert main(["chat", "--url", server.url, "--model", DEMO_MODEL]) == 0
    assert server.asked(CHAT)[0].json()["messages"][-1]["content"] == "\u00fcber \u4e2d"
