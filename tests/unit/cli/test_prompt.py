"""`chat`: nothing that was typed or piped in is dropped."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest.cli import prompt

WORDS = ["summarise this", "Grüße, 世界", "a\nb", "-n", "- ", "{}"]
DOCUMENTS = ["one line\n", "a\n\nb\n\n", "\ufeffmark\r\n", "世界", "-", '{"json": [1]}', "x" * 100_000]
OPTIONS = [[], ["--no-stream"], ["--json"]]


def asked(server):
    """Return the text of the last prompt that the service got."""
    return server.asked(CHAT)[-1].json()["messages"][-1]["content"]


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda text: repr(text[:9]))
def test_words_and_document(run, server, words, document):
    """Words and a document on stdin are one prompt, the words first, an empty line between."""
    option = OPTIONS[len(words + document) % len(OPTIONS)]
    code, _, stderr = run("chat", *option, "--", words, stdin=document.encode())

    assert (code, stderr) == (0, "")
    assert asked(server) == f"{words}\n\n{document.removeprefix(chr(0xFEFF)).rstrip(chr(13) + chr(10))}"


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("nothing", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf", b" \n"])
def test_words_without_document(run, server, words, nothing):
    """An empty stdin, as a cron job has it, adds nothing to the words."""
    assert run("chat", "--", words, stdin=nothing)[0] == 0
    assert asked(server) == words


@pytest.mark.parametrize("words", WORDS)
def test_words_at_a_terminal(run, server, words):
    """At a terminal, and with stdin closed, words alone are the prompt, and nobody waits for more."""

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    assert run("chat", "--", words, stdin=Terminal(io.BytesIO(b"not read")))[::2] == (0, "")
    assert asked(server) == words
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert run("chat", "--", words, stdin=closed)[0] == 0
    assert asked(server) == words


@pytest.mark.parametrize("words", [["summarise this"], [], ["-"], [""]])
@pytest.mark.parametrize(
    ("document", "said"),
    [
        # On Windows these bytes are the console's code page, in which all is text.
        pytest.param(b"caf\xe9", "the prompt on stdin is not UTF-8 (byte 3)", marks=posix),
        pytest.param(b"PK\x03\x04\xff\xfe", "the prompt on stdin is not UTF-8 (byte 4)", marks=posix),
        (b"a\0b", "NUL"),
        ("text".encode("utf-16")[:-1], "the prompt on stdin is not UTF-16"),
    ],
)
def test_document_that_is_no_text(run, server, words, document, said):
    """A document that cannot be sent is refused, whatever words stand beside it, and nothing is sent."""
    code, stdout, stderr = run("chat", *words, stdin=document)

    assert (code, stdout) == (2, "")
    assert said in stderr
    assert not server.asked(CHAT)


def test_pipe_that_nobody_closes(monkeypatch):
    """Who waits for the end of a pipe is told so, and what to type instead."""
    monkeypatch.setattr(prompt, "_SILENCE", 0.0)
    told = threading.Event()
    notes = []
    monkeypatch.setattr(prompt, "print_note", lambda text: (notes.append(text), told.set()))

    class Pipe(io.BytesIO):
        def read(self, *_):
            assert told.wait(5)
            return b"late"

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe()))

    assert prompt.read_prompt("words") == "words\n\nlate"
    assert notes[0].endswith("without a document, add: < /dev/null")


@posix
@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("printf 'the text' | {} chat 'summarise this'", "summarise this\n\nthe text"),
        ("printf 'the text' > doc; {} chat 'summarise this' < doc", "summarise this\n\nthe text"),
        ("{} chat 'summarise this' <<< 'the text'", "summarise this\n\nthe text"),
        ("{} chat 'summarise this' < /dev/null", "summarise this"),
        ("{} chat 'summarise this' <&-", "summarise this"),
    ],
)
def test_shell(server, tmp_path, line, sent):
    """The same through real pipes, files and closed streams."""
    command = line.format(f"'{sys.executable}' -m foundry_rest")
    path = os.pathsep.join(sys.path)
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True, timeout=30
    )

    assert asked(server) == sent
