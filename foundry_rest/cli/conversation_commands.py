"""What a person may type in a conversation beside questions: ``/model`` and its like, as one table."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple, Protocol

from foundry_rest.cli.conversation import Conversation
from foundry_rest.errors import ConfigError

#: ``/name`` and what follows it; a path such as ``/etc/hosts`` is no command.
_COMMAND = re.compile(r"/([A-Za-z?]+)(?:\s+(.*))?", re.DOTALL)


class Talk(Protocol):
    """The conversation as the commands see it."""

    conversation: Conversation
    default_model: str

    def ask(self, question: str) -> None:
        """Ask, print the answer, and keep both."""

    def retry(self) -> None:
        """Ask the last question again."""


class Command(NamedTuple):
    """One command.

    Attributes:
        usage: How it is typed.
        help: What it does.
        run: Called with the talk and what was typed behind the name; returns what to tell the person.
    """

    usage: str
    help: str
    run: Callable[[Talk, str], str | None]


class Ended(Exception):
    """The person has had enough."""


def command_in(text: str) -> tuple[str, str] | None:
    """Return the name of the command that a line is, and what follows; ``None`` for a question."""
    found = _COMMAND.fullmatch(text.rstrip())
    return None if found is None else (found[1].lower(), (found[2] or "").strip())


def run_command(talk: Talk, name: str, rest: str) -> str | None:
    """Run a command; return what to tell the person.

    Raises:
        Ended: It was ``/quit``.
        ConfigError: It cannot do that.
    """
    command = COMMANDS.get(_ALIASES.get(name, name))
    if command is None:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"Did you mean /{near[0]}?" if near else "/help lists all."
        return f"There is no command /{name}. {hint} To ask that, put a space before it."
    return command.run(talk, rest)


def _help(_talk: Talk, _rest: str) -> str:
    rows = [*((command.usage, command.help) for command in COMMANDS.values()), *_KEYS]
    width = max(len(usage) for usage, _ in rows)
    return "\n".join(f"  {usage:<{width}}  {what}" for usage, what in rows)


def _model(talk: Talk, rest: str) -> str:
    if rest:
        talk.conversation.change(model=rest)
    return f"The model is {talk.conversation.model or talk.default_model}."


def _system(talk: Talk, rest: str) -> str:
    if rest:
        talk.conversation.change(system=None if rest == "-" else rest)
    system = talk.conversation.system
    return f"The system message is: {system}" if system else "There is no system message."


def _retry(talk: Talk, _rest: str) -> None:
    talk.retry()


def _clear(talk: Talk, _rest: str) -> str:
    talk.conversation.clear()
    return "The next question begins anew."


def _save(talk: Talk, rest: str) -> str:
    if not rest:
        raise ConfigError("name a file, such as /save talk.txt (Markdown) or /save talk.jsonl (the messages)")
    path = Path(rest).expanduser()
    as_text = _as_lines if path.suffix == ".jsonl" else _as_markdown
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(as_text(talk.conversation))
    except FileExistsError:
        raise ConfigError(f"{path} exists: name another file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be written: {getattr(error, 'strerror', '') or error}") from None
    return f"Saved in {path}."


def _quit(_talk: Talk, _rest: str) -> None:
    raise Ended


def _as_lines(conversation: Conversation) -> str:
    system = [{"role": "system", "content": conversation.system}] if conversation.system else []
    return "".join(
        json.dumps(message, ensure_ascii=False) + "\n" for message in (*system, *conversation.messages)
    )


def _as_markdown(conversation: Conversation) -> str:
    system = [("system", conversation.system)] if conversation.system else []
    said = [(message["role"], message.get("content")) for message in conversation.messages]
    return "\n".join(f"## {role}\n\n{content}\n" for role, content in (*system, *said) if content)


COMMANDS = {
    "help": Command("/help", "list these commands", _help),
    "model": Command("/model [NAME]", "tell which model is asked, or ask another", _model),
    "system": Command("/system [TEXT|-]", "tell the system message, change it, or drop it (-)", _system),
    "retry": Command("/retry", "ask the last question again", _retry),
    "clear": Command("/clear", "forget what was said", _clear),
    "save": Command("/save FILE", "write the conversation: Markdown, or .jsonl", _save),
    "quit": Command("/quit", "end, as Ctrl-D does", _quit),
}
_ALIASES = {"bye": "quit", "exit": "quit", "?": "help"}
_KEYS = (
    ('"""', 'begin a text of several lines, which """ ends'),
    ("Alt-Enter", "begin another line, where prompt_toolkit reads them"),
    ("Ctrl-C", "end the answer, not the conversation"),
)
