"""The options that commands share: one table of their letters, values and words, and who takes them.

A letter means the same in every command; only where a service is watched ``-t`` is a time-out and not a
temperature, as plugins of monitors have it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple


class Option(NamedTuple):
    """One option, as argparse takes it.

    Attributes:
        flags: Its letters and names, with a space between them.
        help: What it does.
        metavar: Name of its value; ``""`` for an option without one.
        type: What its value is read by.
        action: What is done with it; ``""`` for the action that fits the value.
    """

    flags: str
    help: str
    metavar: str = ""
    type: Callable[[str], object] = str
    action: str = ""

    def add_to(self, place: argparse._ActionsContainer, text: str = "") -> None:
        """Add it to a parser or a group, with other words where ``text`` has some."""
        words = text or self.help
        if self.metavar:
            action = self.action or "store"
            place.add_argument(
                *self.flags.split(), action=action, metavar=self.metavar, type=self.type, help=words
            )
        else:
            place.add_argument(*self.flags.split(), action=self.action or "store_true", help=words)


MODEL_HELP = "alias, such as phi-4-mini, or id"
#: Name -> option.
OPTIONS = {
    "model": Option("-m --model", "alias or id (default: FOUNDRY_MODEL, else phi-4-mini)", "NAME"),
    "system": Option("-s --system", "system message put before the prompt", "TEXT"),
    "temperature": Option("-t --temperature", "0 (always the same) to 2", "T", float),
    "max-tokens": Option("--max-tokens", "most tokens of the answer (default 2048)", "N", int),
    "json": Option("--json", "print JSON, errors too"),
    "lines": Option("-n --lines", "how many of its last lines (default 20)", "N", int),
    "follow": Option("-f --follow", "go on with what is added, until Ctrl-C"),
    "output": Option("-o --output", "where the results go, as OpenAI's output lines", "FILE"),
    "warning": Option("-w --warning", "what is warning; may be repeated", "[NAME=]RANGE", action="append"),
    "critical": Option("-c --critical", "what is critical; may be repeated", "[NAME=]RANGE", action="append"),
    "metrics-textfile": Option(
        "--metrics-textfile",
        "leave figures of this run for node_exporter in FILE.prom; its name is the label job",
        "FILE",
    ),
    "ping": Option("--ping", "tell a monitor such as healthchecks.io: URL/start, then URL/EXIT_CODE", "URL"),
    "splay": Option(
        "--splay", "wait at random up to S seconds first: for the same cron line on many machines", "S", float
    ),
    # ---------------------------------------------------------------- how the service is asked
    "url": Option(
        "--url",
        "address of the service, or of several with commas (default: FOUNDRY_ENDPOINT, else discovered)",
        "URL",
    ),
    "start": Option("--start", "start the service with the foundry command when none answers"),
    "timeout": Option("--timeout", "longest silence, in seconds (default 30)", "S", float),
    "deadline": Option("--deadline", "seconds for a whole call, retries included", "S", float),
    "within": Option("-t --timeout --deadline", "seconds for all of it", "S", float),
    "retries": Option("--retries", "tries after the first (default 3)", "N", int),
    "header": Option(
        "-H --header",
        "send this header, too, or those of a file, one a line; may be repeated",
        "NAME:VALUE|@FILE",
        action="append",
    ),
    "verbose": Option("-v --verbose", "log every step of a call to stderr"),
}


def add_options(place: argparse._ActionsContainer, *names: str, **texts: str) -> None:
    """Add options of the table; ``texts`` are names and the words that an option has in this command."""
    for name in (*names, *texts):
        OPTIONS[name.replace("_", "-")].add_to(place, texts.get(name, ""))


def add_service_options(parser: argparse.ArgumentParser, **texts: str) -> argparse._MutuallyExclusiveGroup:
    """Add how the service is found and asked; return the group of which one may be given."""
    group = parser.add_argument_group("the service and the calls to it")
    where = group.add_mutually_exclusive_group()
    add_options(where, "url", "start")
    for name in ("timeout", "deadline", "retries", "header", "verbose"):
        OPTIONS[name].add_to(group, texts.get(name, ""))
    return where


def add_watching_options(parser: argparse.ArgumentParser, **texts: str) -> None:
    """Add how a service is asked whose present state is wanted: nothing is started or tried again.

    The time-out is for all that is asked, and so is the deadline: two names of one option.
    """
    group = parser.add_argument_group("the service and the calls to it")
    for name in ("url", "within", "retries", "header", "verbose"):
        OPTIONS[name].add_to(group, texts.get(name, ""))
    parser.set_defaults(start=False, deadline=None, retries=0)
