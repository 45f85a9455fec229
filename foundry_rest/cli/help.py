"""The command ``help``: what is said of a command, and of what concerns all of them."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from foundry_rest.cli.exit_codes import (
    CHECK_EXIT_CODES,
    DOCTOR_EXIT_CODES,
    describe,
)
from foundry_rest.cli.parser import build_parser
from foundry_rest.cli.streams import print_text

#: Variable -> what it sets, and its default.
SETTINGS = {
    "FOUNDRY_ENDPOINT": "address of the service, or of several, as --url",
    "FOUNDRY_MODEL": "model, alias or id, as --model (default: phi-4-mini)",
    "FOUNDRY_API_KEY": "key, sent as Bearer token; never to another user's service",
    "FOUNDRY_TIMEOUT": "longest silence in seconds, as --timeout (default: 30)",
    "FOUNDRY_DEADLINE": "seconds for a whole call, as --deadline (default: none)",
    "FOUNDRY_RETRIES": "tries after the first, as --retries (default: 3)",
    "FOUNDRY_LOG_LEVEL": "DEBUG, INFO, WARNING, ERROR or CRITICAL (default: INFO)",
}
#: Variables of others that are read.
OTHERS = {
    "NO_COLOR": "draw without colours",
    "PYTHONIOENCODING": "encoding of pipes (default: UTF-8)",
    "HTTP_PROXY, NO_PROXY": "way to a service on another machine; never to this one",
    "REQUESTS_CA_BUNDLE": "certificates that are trusted",
}
#: What is kept on a machine, in the order of its places.
FILES = (
    "address of a service that `serve` runs",
    "conversations of chat --keep, for this user alone",
    "templates of chat --template; only read",
    "places of batches on this machine (--host-slots)",
    "models of the embedded runtime",
    "a running embedded runtime, with its log",
    "the foundry command's models and logs; only read",
    "results of a batch so far, beside its output; it goes on from there",
)


def help(arguments: Namespace) -> None:
    """Print the help of a command, a topic, or the command itself."""
    parser = build_parser()
    if arguments.topic in _TOPICS:
        print_text(_TOPICS[arguments.topic]())
    elif arguments.topic is None:
        print_text(parser.format_help(), end="")
    else:
        parser.parse_args([arguments.topic, "--help"])


def _exit_codes() -> str:
    return f"""\
The exit codes of all commands but check and doctor:
{describe()}

check, as monitors read them:
{describe(CHECK_EXIT_CODES)}

doctor:
{describe(DOCTOR_EXIT_CODES)}"""


def _environment() -> str:
    return f"""\
An option wins over a variable, a variable over the default; an empty one counts
as not set. Whether a value can be used is told by: foundry-rest doctor

{_table(SETTINGS)}

Read, too:
{_table(OTHERS)}"""


def _files() -> str:
    from foundry_rest.cli.chat_input import template_folder
    from foundry_rest.cli.conversation_files import folder
    from foundry_rest.resilience.host_slots import default_directory
    from foundry_rest.services.discovery.registry_file import registry_path

    places = (
        registry_path().with_name("service-PID.json"),
        folder(),
        template_folder(),
        default_directory(),
        Path.home() / ".foundry_rest" / "cache" / "models",
        Path(tempfile.gettempdir(), "foundry_rest-*"),
        Path.home() / ".foundry",
        "OUTPUT.journal",
    )
    rows = "\n".join(f"  {place}\n      {text}" for place, text in zip(places, FILES, strict=True))
    return f"""\
What is kept on this machine, and where:
{rows}

Answers and figures are kept only where a file is named: cache=, -o,
--metrics-textfile, --report, --plot; conversations only with --keep."""


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows)) + 2
    return "\n".join(f"  {name:<{width}}{text}" for name, text in rows.items())


_TOPICS: dict[str, Callable[[], str]] = {
    "exit-codes": _exit_codes,
    "environment": _environment,
    "files": _files,
}
