"""The arguments of the command ``chat``, and of ``run``, as ollama spells it."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options, add_service_options


def add_chat_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``chat``, whose model is an option."""
    _add_prompt(parser)
    add_options(parser, "model", "system", "temperature", "max-tokens")
    _add_the_rest(parser)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``run``, whose model comes first."""
    parser.add_argument("model", metavar="NAME", help="the model's alias or id")
    _add_prompt(parser)
    add_options(parser, "system", "temperature", "max-tokens")
    _add_the_rest(parser)


def _add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "prompt",
        nargs="?",
        help="the prompt; a document on stdin follows it; without one a terminal holds a conversation",
    )


def _add_the_rest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stats", action="store_true", help="print the figures of the call to stderr")
    add_options(parser, "metrics-textfile", "splay")
    _add_question(parser.add_argument_group("what is asked"))
    _add_answer(parser.add_argument_group("how it is answered"))
    _add_keeping(parser.add_argument_group("what is kept"))
    add_service_options(parser)


def _add_question(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--template",
        metavar="NAME|FILE",
        help="a text with {input} where the prompt goes: a file, or a name among your templates",
    )
    group.add_argument(
        "--tool",
        action="append",
        default=[],
        metavar="MODULE:FUNCTION",
        help="a function that the model may call; may be repeated",
    )
    for name, what in (("image", "a picture"), ("audio", "a recording")):
        group.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="FILE",
            help=f"{what} that goes with the prompt, where service and model take it; may be repeated",
        )


def _add_answer(group: argparse._ArgumentGroup) -> None:
    form = group.add_mutually_exclusive_group()
    add_options(form, json="print one JSON object with usage and timing")
    form.add_argument(
        "--schema", metavar="FILE", help="print JSON that fits this JSON schema, or fail; needs jsonschema"
    )
    group.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    group.add_argument("--plain", action="store_true", help="do not draw Markdown on a terminal")


def _add_keeping(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--keep", action="store_true", help="keep this conversation in a private file, for -c; else none is"
    )
    group.add_argument(
        "-c",
        "--continue",
        dest="continues",
        action="store_true",
        help="go on with the conversation that was kept last, and keep it",
    )
