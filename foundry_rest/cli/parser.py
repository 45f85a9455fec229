"""The parser of the command ``foundry-rest``, and its help.

A command's arguments are made when it is asked for: `--help` needs their names and words alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence

from foundry_rest import __version__
from foundry_rest.cli.command_table import COMMANDS, Command
from foundry_rest.cli.exit_codes import describe
from foundry_rest.cli.failures import UsageError

TYPE_CHECKING = False  # not from `typing`, for which ``--help`` would wait
if TYPE_CHECKING:
    from typing import NoReturn

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
        super().__init__(prog, max_help_position=28, width=min(_columns(), WIDTH) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return super()._fill_text(
            text if "\n" in text else "\n".join(self._split_lines(text, width)), width, indent
        )


class Parser(argparse.ArgumentParser):
    """An argument parser that leaves the report of wrong arguments to its caller."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Return the arguments; those that are unknown are this parser's to refuse, with its usage."""
        found, unknown = super().parse_known_args(args, namespace)
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


def _columns() -> int:
    """Return the terminal's columns as shutil does, whose import costs more than the help itself."""
    try:
        return int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns
    except (ValueError, OSError):  # no number; stdout is closed, or no terminal
        return WIDTH


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
    commands.choices = commands._name_parser_map = _Parsers(COMMANDS)  # type: ignore[assignment] # noqa: SLF001
    # What add_parser() would do, but for the parser, which costs a tenth of a millisecond.
    commands._choices_actions += [  # noqa: SLF001
        commands._ChoicesPseudoAction(row.name, (), row.text)  # noqa: SLF001
        for row in COMMANDS.values()
    ]
    return parser


class _Parsers(dict[str, "Parser | None"]):
    """The parsers of the commands, each of which is made when it is asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(names))

    def __getitem__(self, name: str) -> Parser:
        made = self.get(name)
        if made is None:
            self[name] = made = _parser_of(COMMANDS[name])
        return made


def _parser_of(command: Command) -> Parser:
    from importlib import import_module

    description = f"{command.text[0].upper()}{command.text[1:]}."
    parser = Parser(prog=f"foundry-rest {command.name}", description=description, formatter_class=_Help)
    module, _, function = command.arguments.partition(":")
    getattr(import_module(f"foundry_rest.cli.{module}"), function)(parser)
    examples = "\n".join(f"  {line}" for line in command.examples)
    parser.epilog = f"examples:\n{examples}\n" + (f"\n{parser.epilog}" if parser.epilog else "")
    parser.set_defaults(command=command.runs or command.name)
    return parser
