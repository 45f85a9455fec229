"""The arguments of the command ``cache``."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options

_ACTIONS = {
    "stats": "print how many answers are in it, of which model, and how often used",
    "clear": "remove the answers in it and print how many there were",
}
_OLDER = "only those kept more than S seconds ago"


def add_cache(cache: argparse.ArgumentParser) -> None:
    """Add its actions."""
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in _ACTIONS.items():
        action = actions.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=cache.formatter_class,
            epilog=f"examples:\n  foundry-rest cache {name} answers.sqlite\n"
            f"  foundry-rest cache {name} answers.sqlite --json\n",
        )
        action.add_argument("file", metavar="FILE", help="the file given as cache= to the client")
        add_options(action, "json")
        if name == "clear":
            action.add_argument("--older-than", type=float, default=0.0, metavar="S", help=_OLDER)
