"""The command ``completion``: scripts for four shells, made from the parser.

shtab, the library for this, knows neither fish nor PowerShell; argcomplete starts Python at each press of
the key. So the parser is read into a table once, and each shell has a writer that spells it.
"""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Iterator
from typing import NamedTuple

from foundry_rest.cli import completion_scripts
from foundry_rest.cli.parser import build_parser

#: Names of values that are files or folders.
_FILES = frozenset(("FILE", "INPUT", "OUT", "DIR", "NAME:VALUE|@FILE"))


class Word(NamedTuple):
    """What can be typed after a command: an option, or a value in its place.

    Attributes:
        flags: The spellings of an option; none for a value in its place.
        text: What it does.
        choices: The values that it may have; none for any.
        is_file: Its values are files.
        has_value: A value follows it.
    """

    flags: tuple[str, ...]
    text: str
    choices: tuple[str, ...] = ()
    is_file: bool = False
    has_value: bool = False


class Place(NamedTuple):
    """A command, or an action of one, and what can be typed after it.

    Attributes:
        path: The words that lead there; none for the start of the line.
        words: What can follow.
        commands: The commands or actions that can follow, with what they do.
    """

    path: tuple[str, ...]
    words: tuple[Word, ...]
    commands: dict[str, str]

    @property
    def name(self) -> str:
        """Return the words that lead there, as one."""
        return " ".join(self.path)

    @property
    def options(self) -> tuple[Word, ...]:
        """Return the options."""
        return tuple(word for word in self.words if word.flags)

    @property
    def values(self) -> tuple[str, ...]:
        """Return the words that can stand in a place of their own."""
        return (*self.commands, *(each for word in self.words if not word.flags for each in word.choices))

    @property
    def takes_files(self) -> bool:
        """Return whether a file can stand in a place of its own."""
        return any(word.is_file for word in self.words if not word.flags)


def completion(arguments: Namespace) -> None:
    """Print the script for a shell."""
    print(completion_scripts.WRITERS[arguments.shell](list(places(build_parser()))), end="")


def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Place]:
    """Yield what can be typed at the start, after each command, and after each of its actions."""
    actions = parser._actions  # noqa: SLF001 (argparse tells nobody what it was given)
    inner = [each for each in actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    commands = {
        each.dest: each.help or ""
        for action in inner
        for each in action._choices_actions  # noqa: SLF001
    }
    yield Place(path, tuple(_word(each) for each in actions if each not in inner), commands)
    for action in inner:
        for name in action.choices:
            yield from places(action.choices[name], (*path, name))


def _word(action: argparse.Action) -> Word:
    names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar or "",)
    return Word(
        tuple(action.option_strings),
        (action.help or "").replace("%%", "%"),
        tuple(map(str, action.choices or ())),
        is_file=not _FILES.isdisjoint(names),
        has_value=action.nargs != 0,
    )
