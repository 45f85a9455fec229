"""What may be typed beside questions: each command, near names, and what is no command."""

from __future__ import annotations

import json
import stat
from types import SimpleNamespace

import pytest
from support.platforms import posix

from foundry_rest.cli.conversation import Conversation
from foundry_rest.cli.conversation_commands import COMMANDS, Ended, command_in, run_command
from foundry_rest.errors import ConfigError

TURN = [{"role": "user", "content": "Grüße"}, {"role": "assistant", "content": "世界"}]


@pytest.fixture
def talk():
    """Return a talk of one turn."""
    conversation = Conversation([{"model": "demo"}, {"system": "Be brief."}, *TURN])
    retried = []
    return SimpleNamespace(
        conversation=conversation, default_model="default", retry=lambda: retried.append(1), retried=retried
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/help", ("help", "")),
        ("/MODEL  phi \n", ("model", "phi")),
        ("/system a\nb", ("system", "a\nb")),
        ("/?", ("?", "")),
        ("/nothing", ("nothing", "")),
        (" /help", None),
        ("/etc/hosts says what?", None),
        ("/", None),
        ("a /help", None),
        ("", None),
    ],
)
def test_what_is_a_command(text, found):
    """A slash and a word begin a command; a path, or a space before it, a question."""
    assert command_in(text) == found


def test_help_lists_all(talk):
    """`/help` has a line for each command."""
    text = run_command(talk, "help", "")
    assert all(command.usage in text and command.help in text for command in COMMANDS.values())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(("name", "said"), [("modle", "Did you mean /model?"), ("zzz", "/help lists all.")])
def test_unknown(talk, name, said):
    """A name that is none is answered with the nearest, and how to ask it as a question."""
    text = run_command(talk, name, "")
    assert said in text
    assert "put a space before it" in text


def test_model(talk):
    """`/model` tells the model, or changes it; the client's default where none was named."""
    assert run_command(talk, "model", "") == "The model is demo."
    assert run_command(talk, "model", "phi") == "The model is phi."
    talk.conversation = Conversation()
    assert run_command(talk, "model", "") == "The model is default."


def test_system(talk):
    """`/system` tells the message, changes it, or drops it."""
    assert run_command(talk, "system", "") == "The system message is: Be brief."
    assert run_command(talk, "system", "Rhyme.") == "The system message is: Rhyme."
    assert run_command(talk, "system", "-") == "There is no system message."
    assert talk.conversation.system is None


def test_retry_and_clear(talk):
    """`/retry` asks again, `/clear` forgets what was said and keeps the settings."""
    assert run_command(talk, "retry", "") is None
    assert talk.retried == [1]
    run_command(talk, "clear", "")
    assert (talk.conversation.messages, talk.conversation.model) == ([], "demo")


@pytest.mark.parametrize("name", ["quit", "exit", "bye"])
def test_quit(talk, name):
    """`/quit` ends, as others spell it, too."""
    with pytest.raises(Ended):
        run_command(talk, name, "")


def test_save(talk, tmp_path):
    """`/save` writes Markdown, or the messages as JSON lines by the file's name."""
    assert run_command(talk, "save", str(tmp_path / "a.txt")).startswith("Saved in ")
    assert (tmp_path / "a.txt").read_text("utf-8") == (
        "## system\n\nBe brief.\n\n## user\n\nGrüße\n\n## assistant\n\n世界\n"
    )
    run_command(talk, "save", str(tmp_path / "a.jsonl"))
    lines = (tmp_path / "a.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"role": "system", "content": "Be brief."}, *TURN]


@posix
def test_saved_for_this_user(talk, tmp_path):
    """What was said is nobody else's to read."""
    run_command(talk, "save", str(tmp_path / "a.txt"))
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "said"), [("", "name a file"), ("taken", "exists"), ("no/where", "written")]
)
def test_not_saved(talk, tmp_path, name, said):
    """No file is written over, and what cannot be written is told."""
    (tmp_path / "taken").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match=said):
        run_command(talk, "save", name and str(tmp_path / name))
    assert (tmp_path / "taken").read_text("utf-8") == "mine"
