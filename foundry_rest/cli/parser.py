"""The parser of the command ``foundry-rest``, and its help.

A command's arguments are made when it is asked for: `--help` needs their names and words alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from shutil import get_terminal_size
from typing import TYPE_CHECKING, NoReturn

from foundry_rest import __version__
from foundry_rest.cli.command_table import COMMANDS, Command
from foundry_rest.cli.exit_codes import describe
from foundry_rest.cli.failures import UsageError
from foundry_rest.cli.options import add_options, add_service_options

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

#: Columns of help on a wider terminal: longer lines are hard to read.
WIDTH = 80
_EPILOG = f"""\
The service is found by --url, FOUNDRY_ENDPOINT, the file that `foundry-rest
serve` writes, or the `foundry` command, which --start lets start it.

examples:
  foundry-rest serve --demo
  foundry-rest chat "What is the capital of France?"

exit codes:
{describe()}

environment: FOUNDRY_ENDPOINT FOUNDRY_MODEL FOUNDRY_API_KEY FOUNDRY_TIMEOUT
             FOUNDRY_DEADLINE FOUNDRY_RETRIES FOUNDRY_LOG_LEVEL
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of at most 80 columns; a text with line ends stays as it is, any other is filled."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(get_terminal_size().columns, WIDTH) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(
            text if "\n" in text else "\n".join(self._split_lines(text, width)), width, indent
        )


class Parser(argparse.ArgumentParser):
    """An argument parser that leaves the report of wrong arguments to its caller.

    Attributes:
        fill: Adds what is not made before it is needed; ``None`` when nothing is missing.
    """

    fill: Callable[[Parser], object] | None = None

    def whole(self) -> Parser:
        """Return it with all of its arguments."""
        fill, self.fill = self.fill, None
        if fill is not None:
            fill(self)
        return self

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the arguments; those that are unknown are this parser's to refuse, with its usage."""
        found, unknown = argparse.ArgumentParser.parse_known_args(self.whole(), args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown[0])}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(self.format_usage(), message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), choices) or f" (choose from {', '.join(choices)})"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint}")

    def _meant(self, unknown: str) -> str:
        return did_you_mean(unknown.partition("=")[0], self._option_string_actions)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own ignores a stdout that cannot be written.
        (file or sys.stderr).write(message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the known word that is most like another; ``""`` if none is like it."""
    from difflib import get_close_matches  # for what is misspelt alone

    return "".join(f" (did you mean {each}?)" for each in get_close_matches(word, known, 1))


def build_parser() -> Parser:
    """Return the parser; parsed arguments name their command in ``command``.

    Its methods raise UsageError for wrong arguments.
    """
    parser = Parser(
        prog="foundry-rest",
        description="Talk to Microsoft Foundry Local: language models on your own machine.",
        epilog=_EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=f"foundry-rest {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        added = commands.add_parser(
            command.name,
            help=command.text,
            description=f"{command.text[0].upper()}{command.text[1:]}.",
            formatter_class=_Help,
        )
        added.fill = partial(_fill, command)
    return parser


def _fill(command: Command, parser: Parser) -> None:
    module, _, function = command.arguments.partition(":")
    getattr(import_module(f"foundry_rest.cli.{module}"), function)(parser)
    examples = "\n".join(f"  {line}" for line in command.examples)
    parser.epilog = f"examples:\n{examples}\n" + (f"\n{parser.epilog}" if parser.epilog else "")
    parser.set_defaults(command=command.runs or command.name)


def add_chat(chat: argparse.ArgumentParser) -> None:
    """Add the arguments of ``chat``."""
    chat.add_argument("prompt", nargs="?", help="the prompt; a document on stdin follows it")
    add_options(chat, "model", "system", "max-tokens", "temperature")
    chat.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    chat.add_argument("--stats", action="store_true", help="print the figures of the call to stderr")
    add_options(chat, "metrics-textfile", json="print one JSON object with usage and timing")
    add_service_options(chat)
