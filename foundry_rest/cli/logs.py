"""The command ``logs``: where the service's own log is, its last lines, and what is added to it."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from foundry_rest.checks import whole_number
from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.streams import print_note, print_text
from foundry_rest.ops.service_log import ServiceLog, find_log


def logs(arguments: Namespace) -> None:
    """Print the last lines, and with ``--follow`` whatever is added, until Ctrl-C."""
    count = whole_number("--lines", arguments.lines, 0)
    with client_for(arguments) as client:
        found = find_log(client)
    end = found.last(count, whole=arguments.follow)
    lines = end.lines
    if arguments.json:
        print_json({"file": str(end.file), "running": found.is_of_running, "lines": lines}, indent=0)
    else:
        _note(found, end.file, is_empty=not lines and count > 0)
        for line in lines:
            print_text(line)
    if arguments.follow:
        for text in found.added(end):
            print_text(f"{json.dumps({'added': text})}\n" if arguments.json else text, end="")


def _note(found: ServiceLog, file: Path, *, is_empty: bool) -> None:
    if not found.is_of_running:
        print_note("No service answers; this is what the last one of the foundry command has left.")
    print_note(f"{file}{' is empty so far' if is_empty else ''}")
