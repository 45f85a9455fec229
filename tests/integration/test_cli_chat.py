"""The command `chat` at a real terminal: a conversation, its keys, what is drawn, and what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from support.platforms import posix
from support.servers import CHAT
from support.terminals import ALT_ENTER, CTRL_C, CTRL_D, Terminal

from foundry_rest.testing import chat_stream, hold, json_error

ALIAS = "demo-chat"
CAPITAL, OTHER = "What is the capital of France?", "What is the capital of Japan?"
#: What is shown when a question is waited for; a space follows it, by a movement of the cursor or as itself.
ASKED = ">"
#: A reader of lines without prompt_toolkit: Python's own.
BARE = "import sys; sys.modules['prompt_toolkit'] = None\n"
edits = pytest.mark.skipif(
    find_spec("prompt_toolkit") is None, reason='needs prompt_toolkit: pip install "foundry_rest[cli]"'
)
draws = pytest.mark.skipif(find_spec("rich") is None, reason='needs rich: pip install "foundry_rest[cli]"')
checks = pytest.mark.skipif(
    find_spec("jsonschema") is None, reason='needs jsonschema: pip install "foundry_rest[cli]"'
)


@pytest.fixture
def terminal(command, monkeypatch):
    """Return a function that starts the command at a terminal, with a service in its environment."""
    monkeypatch.setenv("FOUNDRY_MODEL", ALIAS)
    started = []

    def start(url, *arguments, columns=80, line=None, **environ):
        line = command.line(*arguments) if line is None else line
        started.append(Terminal(line, command.environ(FOUNDRY_ENDPOINT=url, **environ), columns))
        return started[-1]

    yield start
    for each in started:
        each.close()


@posix
@pytest.mark.runtime
@pytest.mark.parametrize("reader", [pytest.param("prompt_toolkit", marks=edits), "input"])
def test_conversation(terminal, runtime, answers, reader):
    """One question after the other, commands between them, and Ctrl-D ends it well, with either reader."""
    code = (
        f"{BARE if reader == 'input' else ''}from foundry_rest.cli.main import main; raise SystemExit(main())"
    )
    talk = terminal(runtime.url, line=[sys.executable, "-c", code, "chat", "--plain", "-t", "0"])
    talk.until(ASKED)
    talk.type(f"{CAPITAL}\r")
    talk.until(answers[CAPITAL])
    talk.until(ASKED)
    talk.type("/modle\r")
    talk.until("Did you mean /model?")
    talk.until(ASKED)
    talk.type("/model\r")
    talk.until(f"The model is {ALIAS}.")
    talk.until(ASKED)
    talk.type(CTRL_D)

    assert talk.end() == 0
    assert "Traceback" not in talk.shown


@posix
@pytest.mark.runtime
def test_continued(terminal, runtime, answers, command, monkeypatch):
    """What `--keep` kept is gone on with by `-c`, in a talk and by one question; else nothing is kept."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", runtime.url)
    monkeypatch.setenv("FOUNDRY_MODEL", ALIAS)
    assert command("chat", CAPITAL, "-t", "0").returncode == 0
    nothing = command("chat", CAPITAL, "-c")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "no conversation is kept" in nothing.stderr
    assert "--keep" in nothing.stderr

    talk = terminal(runtime.url, "chat", "--keep", "--plain", "-t", "0")
    talk.until(ASKED)
    talk.type(f"{CAPITAL}\r")
    talk.until(answers[CAPITAL])
    talk.until(ASKED)
    talk.type("/quit\r")
    assert talk.end() == 0
    usage = [
        json.loads(command("chat", "Say OK", "--json", "-t", "0", *option).stdout)["usage"]["prompt_tokens"]
        for option in ([], ["-c"])
    ]
    assert usage[1] > usage[0] + 10

    again = terminal(runtime.url, "chat", "-c", "--plain", "-t", "0")
    again.until("Going on after 2 questions.")
    again.until(ASKED)
    again.type("/retry\r")
    again.until(ASKED)
    again.type("/quit\r")
    assert again.end() == 0


@posix
@pytest.mark.parametrize("when", ["before", "within"])
def test_ctrl_c_ends_the_answer(terminal, faults, gate, within, when):
    """Ctrl-C ends the answer, not the program; the service is left at once, and the talk goes on."""
    script = chat_stream("one two three")
    held = script[: 0 if when == "before" else 3] + hold(gate) + script[3:]
    faults.on("POST", CHAT, held, chat_stream("Here again"))
    talk = terminal(faults.url, "chat", FOUNDRY_RETRIES="0")
    talk.until(ASKED)
    talk.type("Hello\r")
    talk.until("one" if when == "within" else "Hello")
    assert within(30, lambda: faults.asked(CHAT))
    talk.type(CTRL_C)
    talk.until("(stopped)")
    talk.until(ASKED)
    talk.type("/retry\r")
    talk.until("Here again")
    talk.until(ASKED)
    talk.type(CTRL_C)
    talk.until("/quit ends the conversation")
    talk.until(ASKED)
    talk.type(CTRL_D)

    assert talk.end() == 0
    assert "Traceback" not in talk.shown
    assert [message["content"] for message in faults.asked(CHAT)[-1].json()["messages"]] == ["Hello"]


@posix
def test_error_leaves_the_talk(terminal, faults):
    """An error is told, and the question can be asked again."""
    faults.on("POST", CHAT, json_error(400, "no such luck"), chat_stream("Well then"))
    talk = terminal(faults.url, "chat", "--plain", FOUNDRY_RETRIES="0")
    talk.until(ASKED)
    talk.type("Hello\r")
    talk.until("foundry-rest: ")
    talk.until("no such luck")
    talk.until(ASKED)
    talk.type("/retry\r")
    talk.until("Well then")
    talk.until(ASKED)
    talk.type("/quit\r")

    assert talk.end() == 0
    assert [len(request.json()["messages"]) for request in faults.asked(CHAT)] == [1, 1]


@edits
@posix
def test_lines_and_history(terminal, faults):
    """Alt-Enter begins another line, three quotes a text of several; the arrow brings a question back."""
    faults.on("POST", CHAT, chat_stream("Well"))
    talk = terminal(faults.url, "chat", "--plain")
    for typed in (f"one{ALT_ENTER}two\r", '"""three\rfour"""\r', "\x1b[A\r"):
        talk.until(ASKED)
        talk.type(typed)
        talk.until("Well")
    talk.until(ASKED)
    talk.type(CTRL_D)

    assert talk.end() == 0
    asked = [request.json()["messages"][-1]["content"] for request in faults.asked(CHAT)]
    assert asked[:2] == ["one\ntwo", "three\nfour"]


MARKDOWN = (
    "# Title\n\nSome **bold** and `code` <b>here</b>.\n\n```python\nx = 1\n\ny = 2\n```\n\n- " + "word " * 30
)


@draws
@posix
@pytest.mark.parametrize("columns", [80, 160])
def test_markdown_is_drawn(terminal, faults, columns):
    """On a terminal Markdown is drawn, words are wrapped at its width, and no word of the answer is lost."""
    faults.on("POST", CHAT, chat_stream(MARKDOWN))
    drawn = terminal(faults.url, "chat", "Hello", columns=columns, line=None)
    assert drawn.end() == 0

    text = drawn.shown
    assert "**" not in text
    assert "```" not in text
    for said in ("Title", "Some bold and code <b>here</b>.", "x = 1", "y = 2"):
        assert said in text
    lines = [line for line in text.split("\n") if line.rstrip().endswith("word")]
    assert max(map(len, (line.rstrip() for line in lines))) in range(columns - 8, columns + 1)
    assert "\x1b[1m" in drawn.raw


@draws
@posix
@pytest.mark.parametrize(
    ("arguments", "environ"), [(["--plain"], {}), ([], {"TERM": "dumb"}), ([], {"PYTHONIOENCODING": "ascii"})]
)
def test_markdown_that_is_not_drawn(command, faults, monkeypatch, arguments, environ):
    """`--plain`, and a terminal that cannot draw, show the text as it came."""
    faults.on("POST", CHAT, chat_stream("Some **bold** words"))
    line = [
        "env",
        *(f"{name}={value}" for name, value in environ.items()),
        *command.line("chat", "Hi", *arguments),
    ]
    shown = Terminal(line, command.environ(FOUNDRY_ENDPOINT=faults.url, FOUNDRY_MODEL=ALIAS))
    assert shown.end() == 0

    assert shown.shown == "Some **bold** words\n"
    shown.close()


@draws
@posix
@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"LC_ALL": "C"}])
def test_colours_and_locale(terminal, faults, environ):
    """With NO_COLOR no colour is shown; the plainest locale shows the same letters."""
    faults.on("POST", CHAT, chat_stream("Grüße **alle**\n\n```python\nx = 1\n```\n"))
    shown = terminal(faults.url, "chat", "Hello", **environ)
    assert shown.end() == 0

    assert "Grüße alle" in shown.shown
    if "NO_COLOR" in environ:
        assert not any(f"\x1b[{number}m" in shown.raw for number in range(30, 50))


def test_never_drawn_in_a_pipe(command, faults):
    """A program that reads the answer gets it letter by letter, also where it would be drawn for a person."""
    faults.on("POST", CHAT, chat_stream(MARKDOWN))
    done = command("chat", "Hello", FOUNDRY_ENDPOINT=faults.url, FOUNDRY_MODEL=ALIAS, FORCE_COLOR="1")

    assert (done.returncode, done.stdout) == (0, MARKDOWN + "\n")


@posix
@pytest.mark.parametrize(
    ("rest", "codes"), [("Hello --keep | head -1", "141 0"), ("Hello --keep >&-", "1"), ("<&- >&-", "2")]
)
def test_readers_that_leave(command, faults, rest, codes):
    """A reader that leaves, and a closed stdout, end the command without a traceback."""
    faults.on("POST", CHAT, chat_stream(["one\n" * 100] * 1000))  # more than a pipe holds
    line = " ".join(f"'{part}'" for part in command.line("chat"))
    done = subprocess.run(
        ["bash", "-c", f"{line} {rest}; echo codes: ${{PIPESTATUS[*]}} >&2"],
        env=command.environ(FOUNDRY_ENDPOINT=faults.url, FOUNDRY_MODEL=ALIAS),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith(f"codes: {codes}")


@checks
@pytest.mark.runtime
def test_schema(command, runtime, tmp_path):
    """`--schema` prints JSON that fits the schema, which the service enforces."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    (tmp_path / "schema.json").write_text(json.dumps(schema), "utf-8")
    done = command(
        "chat",
        "Give a number",
        "--schema",
        "schema.json",
        "-t",
        "0",
        cwd=tmp_path,
        FOUNDRY_ENDPOINT=runtime.url,
        FOUNDRY_MODEL=ALIAS,
    )

    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout)["n"], int)


@pytest.mark.runtime
def test_picture_for_a_model_without_eyes(command, runtime, tmp_path):
    """A picture reaches the service, which says that this model cannot see; none is left out in silence."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = command(
        "chat", "Say OK", "--image", "a.png", cwd=tmp_path, FOUNDRY_ENDPOINT=runtime.url, FOUNDRY_MODEL=ALIAS
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "IMAGE input is not supported" in done.stderr
