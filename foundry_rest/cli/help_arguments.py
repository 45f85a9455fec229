"""The arguments of the commands that explain the command."""

from __future__ import annotations

import argparse

from foundry_rest.cli.command_table import COMMANDS

SHELLS = ("bash", "zsh", "fish", "powershell")
TOPICS = ("exit-codes", "environment", "files")
_INSTALL = """\
To have it in each new shell:
  bash        add to ~/.bashrc: eval "$(foundry-rest completion bash)"
  zsh         add to ~/.zshrc, after compinit:
              eval "$(foundry-rest completion zsh)"
  fish        run what the second example shows, once
  PowerShell  add to $PROFILE:
              foundry-rest completion powershell | Out-String | iex
"""


def add_completion(completion: argparse.ArgumentParser) -> None:
    """Add the arguments of ``completion``."""
    completion.epilog = _INSTALL
    completion.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def add_help(explain: argparse.ArgumentParser) -> None:
    """Add the arguments of ``help``."""
    names = (*TOPICS, *COMMANDS)
    text = f"{', '.join(TOPICS)}, or a command (default: the list of commands)"
    explain.add_argument("topic", nargs="?", choices=names, metavar="TOPIC", help=text)
