"""The arguments of ``foundry-rest``."""

from __future__ import annotations

import argparse

from foundry_rest import __version__

_EPILOG = """\
The service is found by --url, FOUNDRY_ENDPOINT, or the file that `foundry-rest serve` writes.

exit codes:
  0    done
  1    the service said no, or the output cannot be written
  2    wrong arguments, settings or input
  3    no service found, or it does not answer
  4    time ran out
  5    the answer broke off or cannot be read
  130  interrupted (Ctrl-C)
  141  the reader of the output left

environment: FOUNDRY_ENDPOINT FOUNDRY_MODEL FOUNDRY_API_KEY FOUNDRY_TIMEOUT FOUNDRY_DEADLINE
             FOUNDRY_RETRIES FOUNDRY_LOG_LEVEL
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; parsed arguments name their command in ``command``."""
    parser = argparse.ArgumentParser(
        prog="foundry-rest",
        description="Talk to Microsoft Foundry Local: language models on your own machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"foundry-rest {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_chat(commands)
    _add_report(commands, "models", "list the models the service knows")
    _add_report(commands, "health", "tell how the service is; exits 3 when it does not answer")
    _add_serve(commands)
    return parser


_Commands = argparse._SubParsersAction  # noqa: SLF001 (argparse has no public name for it)


def _add_demo(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "start the embedded runtime with a tiny built-in model and show an answer, a story and figures"
    commands.add_parser("demo", help=text, description=text.capitalize() + ".")


def _add_chat(commands: _Commands[argparse.ArgumentParser]) -> None:
    text = "ask a model; the prompt is an argument, or comes from stdin"
    chat = commands.add_parser("chat", help=text, description=text.capitalize() + ".")
    chat.add_argument("prompt", nargs="?", help="the prompt; - or nothing: read it from stdin")
    chat.add_argument("--model", help="alias or id (default: FOUNDRY_MODEL, else phi-4-mini)")
    chat.add_argument("--system", help="system message put before the prompt")
    chat.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer (default 2048)")
    chat.add_argument("--temperature", type=float, metavar="T", help="0 (always the same) to 2")
    chat.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    chat.add_argument("--json", action="store_true", help="print one JSON object with usage and timing")
    _add_service(chat)


def _add_report(commands: _Commands[argparse.ArgumentParser], name: str, text: str) -> None:
    report = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    report.add_argument("--json", action="store_true", help="print JSON")
    _add_service(report)


def _add_serve(commands: _Commands[argparse.ArgumentParser]) -> None:
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
    serve.add_argument("--host", default="127.0.0.1", help="address to bind (default 127.0.0.1)")
    serve.add_argument("--port", type=int, default=0, help="port to bind (default: a free one)")


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="address of the service (default: FOUNDRY_ENDPOINT, else discovered)")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds of silence borne (default 30)")
