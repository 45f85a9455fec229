"""What reads a person's lines: prompt_toolkit where it is installed, else Python's own ``input``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from foundry_rest.cli.conversation_commands import COMMANDS

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


def line_reader(questions: Sequence[str]) -> Callable[[str], str]:
    """Return a function that prints a prompt and reads what is typed.

    Args:
        questions: Earlier ones, which the arrow keys bring back.
    """
    if find_spec("prompt_toolkit") is None:
        with suppress(ImportError):
            import_module("readline")  # gives ``input`` arrow keys and a history; Windows has its own
        return input
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import InMemoryHistory

    words = WordCompleter([f"/{name}" for name in COMMANDS], sentence=True)
    session = PromptSession[str](
        history=InMemoryHistory(list(questions)),
        completer=words,
        complete_while_typing=False,
        multiline=True,
        prompt_continuation="... ",
        key_bindings=_keys(),
        enable_suspend=True,
    )
    read: Callable[[str], str] = session.prompt
    return read


def _keys() -> KeyBindings:
    """Return the keys: Enter sends, Alt-Enter begins another line."""
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    # Not where a search is typed (Ctrl-R), which Enter ends.
    keys.add("enter", filter=has_focus(DEFAULT_BUFFER))(_send)
    keys.add("escape", "enter")(_begin_line)
    return keys


def _send(event: KeyPressEvent) -> None:
    event.current_buffer.validate_and_handle()


def _begin_line(event: KeyPressEvent) -> None:
    event.current_buffer.insert_text("\n")
