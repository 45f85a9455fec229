"""`chat` with templates, schemas, tools, pictures, and conversations that are kept."""

from __future__ import annotations

import io
import sys
from argparse import Namespace

import pytest
from support.platforms import schemas
from support.servers import CHAT, bodies

from foundry_rest.cli.chat import is_conversation
from foundry_rest.cli.conversation_files import folder
from foundry_rest.testing import chat_event, chat_stream, cut, json_error, sse

RESPONSES = "/v1/responses"


def said(server):
    """Return what was said in the last request, as (role, content)."""
    return [(message["role"], message["content"]) for message in bodies(server)[-1]["messages"]]


def test_letters(run, server):
    """`-m`, `-s` and `-t` are model, system and temperature."""
    run("chat", "Hello", "-m", "other", "-s", "Be brief.", "-t", "0.5")

    assert said(server) == [("system", "Be brief."), ("user", "Hello")]
    assert bodies(server)[-1]["temperature"] == 0.5


def test_template(run, server, tmp_path):
    """Words and a document on stdin go into the template together."""
    (tmp_path / "t.txt").write_text("<{input}>", "utf-8")
    run("chat", "Hello", "--template", str(tmp_path / "t.txt"), stdin=b"document")

    assert said(server) == [("user", "<Hello\n\ndocument>")]


def test_nothing_is_kept(run, server):
    """Without `--keep` no file is left, and `-c` says so."""
    run("chat", "Hello")
    assert not folder().exists()
    code, stdout, stderr = run("chat", "Hello", "-c")
    assert (code, stdout) == (2, "")
    assert "no conversation is kept" in stderr


def test_kept(run, server):
    """`-c` goes on with what `--keep` kept: settings and messages, and keeps what it adds."""
    server.on("POST", CHAT, chat_stream("One."), chat_stream("Two."), chat_stream("Three."))
    run("chat", "a", "--keep", "-m", "demo", "-s", "Be brief.")
    run("chat", "b", "-c")
    run("chat", "c", "--continue", "-s", "Rhyme.")

    assert said(server) == [
        ("system", "Rhyme."),
        *[("user", "a"), ("assistant", "One."), ("user", "b"), ("assistant", "Two."), ("user", "c")],
    ]
    assert len(list(folder().iterdir())) == 1


def test_failure_is_not_said(run, server):
    """A question that got no answer is no part of the conversation; the beginning of an answer is."""
    cut_off = chat_stream("One two three")[:4] + cut()
    server.on("POST", CHAT, json_error(400, "no"), cut_off, chat_stream("Two."))
    assert run("chat", "a", "--keep")[0] == 1
    assert run("chat", "b", "-c")[:2] == (5, "One two\n")
    run("chat", "c", "-c")

    assert said(server) == [("user", "b"), ("assistant", "One two"), ("user", "c")]


TOOL = {
    "index": 0,
    "id": "1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
}


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return the name of a tool in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = 'def add(a: int, b: int) -> int:\n    """Add."""\n    return a + b\n'
    (tmp_path / "chat_tools.py").write_text(text, "utf-8")
    yield "chat_tools:add"
    sys.modules.pop("chat_tools", None)


def test_tool(run, server, tool):
    """The model's calls are made and told on stderr; the answer alone is on stdout, and all of it is kept."""
    call = chat_event({"role": "assistant", "tool_calls": [TOOL]}, "tool_calls")
    server.on("POST", CHAT, sse([call]), chat_stream("It is 3."), chat_stream("It still is."))
    code, stdout, stderr = run("chat", "1 + 2?", "--tool", tool, "--keep")

    assert (code, stdout) == (0, "It is 3.\n")
    assert "add(a=1, b=2)" in stderr
    assert [role for role, _ in said(server)] == ["user", "assistant", "tool"]
    assert run("chat", "Really?", "-c")[1] == "It still is.\n"
    assert [role for role, _ in said(server)] == ["user", "assistant", "tool", "assistant", "user"]


@schemas
def test_schema(run, server, tmp_path):
    """The answer is asked for by the schema and printed as JSON; one that does not fit is an error."""
    (tmp_path / "person.json").write_text('{"type": "object", "properties": {"n": {"maximum": 5}}}', "utf-8")
    given = ("chat", "Hello", "--schema", str(tmp_path / "person.json"))
    server.on("POST", CHAT, chat_stream('{"n": 3}'))
    assert run(*given)[:2] == (0, '{\n  "n": 3\n}\n')
    assert bodies(server)[-1]["response_format"]["type"] == "json_schema"

    server.on("POST", CHAT, chat_stream('{"n": 6}'))
    code, stdout, stderr = run(*given)
    assert (code, stdout) == (5, "")
    assert "the answer is no person" in stderr


def test_picture(run, server, tmp_path):
    """Pictures and recordings go to the API that shows them to the model, with prompt and options."""
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "a.wav").write_bytes(b"wav")
    server.on("POST", RESPONSES, json_error(400, "IMAGE input is not supported"))
    files = ("--image", str(tmp_path / "a.png"), "--audio", str(tmp_path / "a.wav"))
    code, _, stderr = run("chat", "Look", *files, "-s", "Be brief.", "--max-tokens", "5")

    assert code == 1
    assert "IMAGE input is not supported" in stderr
    body = server.asked(RESPONSES)[-1].json()
    assert [part["type"] for part in body["input"][0]["content"]] == [
        "input_text",
        "input_image",
        "input_audio",
    ]
    assert (body["instructions"], body["max_output_tokens"]) == ("Be brief.", 5)


@pytest.mark.parametrize(
    ("options", "said_"),
    [
        (["--image", "a.png", "--keep"], "--image cannot be given with --keep"),
        (["--audio", "a.wav", "-c"], "--audio cannot be given with -c"),
        (["--tool", "json:dumps", "--json"], "--tool cannot be given with --json"),
        (["--json", "--schema", "s"], "not allowed with argument"),
        (["--template", "nobody"], "there is no template 'nobody'"),
        (["--schema", "nobody"], "the schema nobody cannot be read"),
        (["--image", "nobody.png"], "the picture nobody.png cannot be read"),
        (["--tool", "nobody"], "module:function"),
    ],
)
def test_wrong_options(run, server, options, said_):
    """What cannot stand together or cannot be read is code 2, and nothing is sent."""
    code, stdout, stderr = run("chat", "Hello", *options)

    assert (code, stdout) == (2, "")
    assert said_ in stderr
    assert not server.asked(CHAT)


class Tty(io.StringIO):
    """Stand for a terminal."""

    def isatty(self):
        """Say that a person is here."""
        return True


@pytest.mark.parametrize(
    ("given", "stdin", "stdout", "is_one"),
    [
        ({}, Tty(), Tty(), True),
        ({}, io.StringIO(), Tty(), False),
        ({}, Tty(), io.StringIO(), False),
        ({}, None, Tty(), False),
        ({"prompt": "Hello"}, Tty(), Tty(), False),
        ({"prompt": "-"}, Tty(), Tty(), False),
        ({"json": True}, Tty(), Tty(), False),
        ({"image": ["a"]}, Tty(), Tty(), False),
    ],
)
def test_what_is_a_conversation(monkeypatch, given, stdin, stdout, is_one):
    """A person at both ends of the terminal who gives no prompt holds a conversation."""
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", stdout)
    arguments = Namespace(**{"prompt": None, "json": False, "image": [], "audio": [], **given})

    assert is_conversation(arguments) is is_one
