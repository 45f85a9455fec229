"""``docs/reference/command.md`` says what the parser of ``foundry-rest`` takes, and is written from it.

``FOUNDRY_WRITE_DOCS=1 pytest tests/unit/cli/test_command_page.py`` writes it anew.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from foundry_rest.cli.command_table import COMMANDS
from foundry_rest.cli.exit_codes import CHECK_EXIT_CODES, DOCTOR_EXIT_CODES, EXIT_CODES, ExitCode
from foundry_rest.cli.help import OTHERS, SETTINGS
from foundry_rest.cli.parser import build_parser

FILE = Path(__file__).parents[3] / "docs" / "reference" / "command.md"
WRITES = os.environ.get("FOUNDRY_WRITE_DOCS") == "1"

INTRODUCTION = """\
# The command

`foundry-rest COMMAND ...` does from a shell what the client does in a program. `foundry-rest --help`
lists the commands, `foundry-rest COMMAND --help` says of one what this page says. stdout carries the
answer alone; everything else goes to stderr.

Written from the parser by `FOUNDRY_WRITE_DOCS=1 pytest tests/unit/cli/test_command_page.py`; a test
compares.
"""
PRECEDENCE = """\
An option wins over a variable, a variable over the default; an empty one counts as not set.
`foundry-rest doctor` tells whether a value can be used.
"""
PLACES = """\
`foundry-rest help files` prints what is kept on the machine at hand, and where;
[settings.md](settings.md#files) has the places of each system.
"""


def cell(text: str) -> str:
    """Return a text as it stands in a table: words in angle brackets and bars as they are."""
    return text.replace("|", r"\|").replace("<", r"\<")


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table of Markdown."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def value_of(action: argparse.Action) -> str:
    """Return what stands behind an option, or for an argument."""
    return "" if action.nargs == 0 else str(action.metavar or action.dest.upper())


def shown(action: argparse.Action) -> str:
    """Return an option in all its spellings, or an argument, as it is typed."""
    value = value_of(action)
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    if not names:
        return f"`{value}{' ...' if action.nargs in ('*', '+') else ''}`".replace("|", r"\|")
    return f"{names} `{value}`".replace("|", r"\|") if value else names


def meaning(action: argparse.Action) -> str:
    """Return what is said of it, with its default in place."""
    return cell((action.help or "") % {**vars(action), "prog": "foundry-rest"})


def usage(name: str, parser: argparse.ArgumentParser) -> str:
    """Return how a command is typed, in one line."""
    words = []
    for action in parser._actions:
        if not action.option_strings:
            word = value_of(action) + (" ..." if action.nargs in ("*", "+") else "")
            words.append(f"[{word}]" if action.nargs in ("?", "*") else word)
    return " ".join(["foundry-rest", name, "[OPTION ...]", *words])


def options(parser: argparse.ArgumentParser) -> str:
    """Return the table of a parser's arguments and options, in the order of its help."""
    actions = [action for group in parser._action_groups for action in group._group_actions]
    plain = [
        each for each in actions if each.dest != "help" and not isinstance(each, argparse._SubParsersAction)
    ]
    rows = [(shown(each), meaning(each)) for each in plain if each.help != argparse.SUPPRESS]
    return table(("argument", "meaning"), rows) if rows else ""


def section(name: str) -> list[str]:
    """Return what is said of one command."""
    parser = commands()[name]
    parts = [
        f"## {name}\n",
        f"{parser.description}\n",
        f"```text\n{usage(name, parser)}\n```\n",
        options(parser),
    ]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                parts += [f"### {name} {word}\n", f"{below.description}\n", options(below)]
    return [*(part for part in parts if part), f"```text\n{(parser.epilog or '').strip()}\n```\n"]


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    (action,) = build_parser()._subparsers._group_actions
    return {name: action.choices[name] for name in COMMANDS}


def codes(table_of: Iterable[ExitCode]) -> str:
    """Return the table of exit codes."""
    return table(("code", "meaning"), ((f"`{each.code}`", cell(each.meaning)) for each in table_of))


def names(variables: str) -> str:
    """Return names that a comma divides as literals."""
    return ", ".join(f"`{name}`" for name in variables.split(", "))


def page() -> str:
    """Return the whole page."""
    summary = table(
        ("command", "what it does"),
        ((f"[{name}](#{name})", cell(row.text)) for name, row in COMMANDS.items()),
    )
    environment = {**SETTINGS, **OTHERS}
    parts = [
        INTRODUCTION,
        summary,
        *(part for name in COMMANDS for part in section(name)),
        "## Exit codes\n",
        "Of all commands but `check` and `doctor`:\n",
        codes(EXIT_CODES),
        "Of `check`, as monitors read them:\n",
        codes(CHECK_EXIT_CODES),
        "Of `doctor`:\n",
        codes(DOCTOR_EXIT_CODES),
        "## Environment\n",
        PRECEDENCE,
        table(("variable", "meaning"), ((names(name), cell(text)) for name, text in environment.items())),
        "## Files\n",
        PLACES,
    ]
    return "\n".join(parts)


def test_the_page_is_current():
    """The page is what the parser says: every command, argument, option, exit code and variable."""
    if WRITES:
        FILE.write_text(page(), encoding="utf-8", newline="\n")

    assert FILE.read_text(encoding="utf-8") == page()


def test_every_option_is_there():
    """Each spelling of each option of each command stands in the page; none is lost on the way there."""
    text = FILE.read_text(encoding="utf-8")
    for name, parser in commands().items():
        own = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        spellings = {word for action in parser._actions for word in action.option_strings} - {"-h", "--help"}

        assert {word for word in spellings if f"`{word}`" not in own} == set()
