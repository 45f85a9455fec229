"""The arguments of the command ``foundry-rest``, and its help."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

from foundry_rest import __version__
from foundry_rest.cli.batch_arguments import (
    add_batch_arguments,
    add_metrics_arguments,
    add_ping_argument,
)
from foundry_rest.cli.bench_arguments import add_bench_arguments
from foundry_rest.cli.exit_codes import CHECK_EXIT_CODES, DOCTOR_EXIT_CODES, describe
from foundry_rest.cli.failures import UsageError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

_EPILOG = f"""\
The service is found by --url, FOUNDRY_ENDPOINT, the file that `foundry-rest serve` writes, or the
`foundry` command, which --start lets start it.

exit codes:
{describe()}

environment: FOUNDRY_ENDPOINT FOUNDRY_MODEL FOUNDRY_API_KEY FOUNDRY_TIMEOUT FOUNDRY_DEADLINE
             FOUNDRY_RETRIES FOUNDRY_LOG_LEVEL
"""


class _Parser(argparse.ArgumentParser):
    """An argument parser that leaves the report of wrong arguments to its caller."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.format_usage(), message)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own ignores a stdout that cannot be written.
        (file or sys.stderr).write(message)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; parsed arguments name their command in ``command``.

    Its methods raise UsageError for wrong arguments.
    """
    parser = _Parser(
        prog="foundry-rest",
        description="Talk to Microsoft Foundry Local: language models on your own machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"foundry-rest {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_chat(commands)
    _add_batch(commands)
    _add_models(commands)
    _add_load(commands)
    _add_unload(commands)
    _add_download(commands)
    _add_health(commands)
    _add_check(commands)
    _add_doctor(commands)
    _add_monitor(commands)
    _add_bench(commands)
    _add_serve(commands)
    _add_cache(commands)
    _add_url(commands)
    return parser


_RANGES = """\
RANGE is as in other plugins: 0.5 (more alerts), 10: (less), 10:20, @10:20 (inside), ~:10; NAME is latency
(the default, in seconds), memory (of the service, in MB) or answer (in seconds).
"""
_URL_HELP = "address of the service (default: FOUNDRY_ENDPOINT, else discovered)"
_MODEL_HELP = "alias, such as phi-4-mini, or id"
_Commands = argparse._SubParsersAction  # noqa: SLF001 (argparse has no public name for it)


def _add_demo(commands: _Commands[_Parser]) -> None:
    text = "start the embedded runtime with a tiny built-in model and show an answer, a story and figures"
    _add_command(commands, "demo", text)


def _add_chat(commands: _Commands[_Parser]) -> None:
    chat = _add_command(commands, "chat", "ask a model; the prompt is an argument, or stdin, or both")
    chat.add_argument("prompt", nargs="?", help="the prompt; a document on stdin follows it")
    chat.add_argument("--model", help="alias or id (default: FOUNDRY_MODEL, else phi-4-mini)")
    chat.add_argument("--system", help="system message put before the prompt")
    chat.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer (default 2048)")
    chat.add_argument("--temperature", type=float, metavar="T", help="0 (always the same) to 2")
    chat.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    chat.add_argument("--json", action="store_true", help="print one JSON object with usage and timing")
    chat.add_argument("--stats", action="store_true", help="print the figures of the call to stderr")
    add_metrics_arguments(chat)
    _add_service_options(chat)


def _add_batch(commands: _Commands[_Parser]) -> None:
    batch = _add_command(
        commands, "batch", "answer a file of prompts or of OpenAI's batch lines; run again, it goes on"
    )
    add_batch_arguments(batch)
    _add_service_options(batch)


def _add_models(commands: _Commands[_Parser]) -> None:
    models = _add_command(commands, "models", "list the models the service knows")
    which = models.add_mutually_exclusive_group()
    models.set_defaults(which="known")
    for name, text in (("cached", "only those on its disk"), ("loaded", "only those in its memory")):
        which.add_argument(f"--{name}", action="store_const", dest="which", const=name, help=text)
    models.add_argument("--json", action="store_true", help="print JSON")
    models.add_argument("action", nargs="?", choices=("remove",), help="delete the model NAME from the disk")
    models.add_argument("name", nargs="?", metavar="NAME", help=_MODEL_HELP)
    models.add_argument("--yes", action="store_true", help="remove it without a question on the terminal")
    _add_service_options(models)


def _add_load(commands: _Commands[_Parser]) -> None:
    load = _add_command(commands, "load", "load a model into memory and print its id")
    load.add_argument("name", metavar="NAME", help=_MODEL_HELP)
    load.add_argument("--ttl", type=int, metavar="S", help="seconds without use after which it may go (0.x)")
    load.add_argument("--device", metavar="D", help="only a variant for NPU, GPU or CPU")
    load.add_argument("--json", action="store_true", help="print the model as JSON")
    _add_service_options(load, "seconds the load may take (default 600)")


def _add_unload(commands: _Commands[_Parser]) -> None:
    unload = _add_command(commands, "unload", "drop a model from memory, or all of them and print their ids")
    which = unload.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", help=_MODEL_HELP)
    which.add_argument("--all", action="store_true", help="every model in memory")
    unload.add_argument(
        "--respect-ttl", action="store_true", help="keep it until its time to live is over (0.x)"
    )
    _add_service_options(unload)


def _add_download(commands: _Commands[_Parser]) -> None:
    download = _add_command(commands, "download", "fetch a model from the catalog and print its id")
    download.add_argument("name", metavar="NAME", help=_MODEL_HELP)
    download.add_argument("--json", action="store_true", help="print the model as JSON")
    where = _add_service_options(download, "longest silence between two steps, in seconds (default 600)")
    where.add_argument(
        "--embedded",
        action="store_true",
        help="fetch it with the embedded runtime, which then serves it; needs no service",
    )


def _add_health(commands: _Commands[_Parser]) -> None:
    health = _add_command(
        commands, "health", "tell how the service is; exits 3 when there is none, 4 when it is silent"
    )
    health.add_argument("--json", action="store_true", help="print JSON")
    _add_service_options(health)


def _add_check(commands: _Commands[_Parser]) -> None:
    check = _add_command(commands, "check", "give one line and an exit code to Nagios, Icinga or cron")
    check.formatter_class = argparse.RawDescriptionHelpFormatter
    check.epilog = f"{_RANGES}\nexit codes:\n{describe(CHECK_EXIT_CODES)}\n"
    _add_verdict_options(check)
    check.set_defaults(tokens=1)
    add_metrics_arguments(check)
    add_ping_argument(check)


def _add_monitor(commands: _Commands[_Parser]) -> None:
    monitor = _add_command(commands, "monitor", "check again and again: a screen, a page, or a line a change")
    monitor.formatter_class = argparse.RawDescriptionHelpFormatter
    monitor.epilog = _RANGES
    _add_verdict_options(monitor)
    monitor.add_argument(
        "--interval", type=float, default=5.0, metavar="S", help="seconds from check to check (default 5)"
    )
    monitor.add_argument(
        "--tokens", type=int, default=16, metavar="N", help="tokens for --answer (default 16)"
    )
    monitor.add_argument("--count", type=int, metavar="N", help="end after N checks")
    monitor.add_argument(
        "--web", type=int, metavar="PORT", help="also show it as a page on this machine; 0 for a free port"
    )
    monitor.add_argument("--json", action="store_true", help="print a JSON object for each check and change")


def _add_verdict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="alias or id of a model that must be loaded")
    parser.add_argument("--answer", action="store_true", help="also let the model give a token")
    for short, name in (("-w", "warning"), ("-c", "critical")):
        parser.add_argument(
            short, f"--{name}", action="append", default=[], metavar="[NAME=]RANGE", help=f"what is {name}"
        )
    parser.add_argument(
        "-t", "--timeout", type=float, default=10.0, metavar="S", help="seconds for a check (default 10)"
    )
    parser.add_argument("--url", help=_URL_HELP)
    parser.set_defaults(start=False)


def _add_doctor(commands: _Commands[_Parser]) -> None:
    text = "look for what is wrong here, with the service and on the way to it; starts and changes nothing"
    doctor = _add_command(commands, "doctor", text)
    doctor.formatter_class = argparse.RawDescriptionHelpFormatter
    doctor.epilog = f"""\
The report holds no keys, no user name and no home directory, so it can be pasted into an issue.

exit codes:
{describe(DOCTOR_EXIT_CODES)}
"""
    doctor.add_argument("--url", help=_URL_HELP)
    doctor.add_argument("--model", help=f"{_MODEL_HELP}, that is wanted (default: FOUNDRY_MODEL)")
    doctor.add_argument("--offline", action="store_true", help="ask no service and no network")
    doctor.add_argument("--strict", action="store_true", help="exit 1 for a warning, too")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.add_argument(
        "--timeout", type=float, default=2.0, metavar="S", help="seconds for all checks (default 2)"
    )


def _add_bench(commands: _Commands[_Parser]) -> None:
    text = "measure how fast the service answers, and tell what to set a client to"
    bench = _add_command(commands, "bench", text)
    add_bench_arguments(bench)
    _add_service_options(bench)


def _add_serve(commands: _Commands[_Parser]) -> None:
    text = "run the embedded runtime in the foreground for other processes"
    serve = commands.add_parser(
        "serve",
        help=text,
        description=f"{text.capitalize()}; prints its address and tells other programs of this user.",
    )
    serve.add_argument(
        "--model-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="ONNX Runtime GenAI folder to serve; may be repeated (default: the public catalog)",
    )
    serve.add_argument("--demo", action="store_true", help="serve the built-in demo model, a memorised toy")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    serve.add_argument(
        "--port", type=int, help="port to bind, 0 for a free one (default 26527, while taken a free one)"
    )
    serve.add_argument(
        "--load",
        action="append",
        default=[],
        metavar="NAME",
        help="model to have in memory before the address is printed; may be repeated",
    )


def _add_url(commands: _Commands[_Parser]) -> None:
    url = _add_command(commands, "url", "print the address of the service, for other programs")
    _add_service_options(url)


def _add_cache(commands: _Commands[_Parser]) -> None:
    cache = _add_command(commands, "cache", "look into a file of kept answers, or clear it; asks no service")
    actions = cache.add_subparsers(dest="action", required=True, metavar="ACTION")
    stats = _add_command(
        actions, "stats", "print how many answers are in it, of which model, and how often used"
    )
    clear = _add_command(actions, "clear", "remove the answers in it and print how many there were")
    clear.add_argument(
        "--older-than", type=float, default=0.0, metavar="S", help="only those kept more than S seconds ago"
    )
    for action in (stats, clear):
        action.add_argument("file", metavar="FILE", help="the file given as cache= to the client")
        action.add_argument("--json", action="store_true", help="print JSON")


def _add_command(
    commands: _Commands[_Parser] | _Commands[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _add_service_options(
    parser: argparse.ArgumentParser, timeout_help: str = "longest silence, in seconds (default 30)"
) -> argparse._MutuallyExclusiveGroup:
    parser.add_argument("--timeout", type=float, metavar="S", help=timeout_help)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", help=_URL_HELP)
    where.add_argument(
        "--start", action="store_true", help="start the service with the foundry command when none answers"
    )
    return where
