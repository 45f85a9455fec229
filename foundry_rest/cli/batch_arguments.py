"""The arguments of the command ``batch``."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options, add_service_options


def add_batch(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``batch``."""
    parser.add_argument(
        "input", nargs="?", metavar="INPUT", help="JSON lines, one prompt a line, or CSV; - for stdin"
    )
    add_options(parser, "output")
    parser.add_argument("--errors", metavar="FILE", help="where failures go; default the output itself")
    parser.add_argument("--ordered", action="store_true", help="write the results in the order of the input")
    parser.add_argument("--report", metavar="FILE", help="write a page of HTML with figures and plots")
    add_options(parser, "metrics-textfile", "ping", "splay", json="print the summary as JSON")
    parser.add_argument(
        "--merge", nargs="+", metavar=("OUT", "PART"), help="only merge the outputs PART... into OUT"
    )
    _add_input(parser.add_argument_group("what is sent"))
    _add_run(parser.add_argument_group("how it is run"))
    add_service_options(parser, deadline="seconds for one call, retries included")


def _add_input(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        choices=("auto", "jsonl", "text", "csv"),
        default="auto",
        help="form of the input (default: by its name and its first byte)",
    )
    group.add_argument(
        "--prompt", metavar="TEMPLATE", help="prompt with columns in braces: 'Summarise: {text}'"
    )
    group.add_argument("--id", metavar="COLUMN", default="", help="column that names the request")
    add_options(
        group,
        model="model of what names none (default: FOUNDRY_MODEL, else phi-4-mini)",
        system="system message put before each prompt",
        max_tokens="most tokens of each answer",
        temperature="",
    )
    group.add_argument("--limit", type=int, metavar="N", help="take the first N rows only")
    group.add_argument("--shard", metavar="K/N", help="take part K of N, by the hash of custom_id")
    group.add_argument("--dry-run", action="store_true", help="check the input, print counts, send nothing")
    group.add_argument("--skip-invalid", action="store_true", help="leave out what cannot be sent")


def _number_or_auto(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--concurrency",
        type=_number_or_auto,
        metavar="N",
        help="calls at a time, or auto: as many as bring more tokens/s (default 4)",
    )
    group.add_argument(
        "--host-slots",
        type=int,
        metavar="N",
        help="calls at a time of all your batches on this machine that have this option",
    )
    group.add_argument(
        "--sync",
        choices=("every", "second", "none"),
        default="every",
        help="sync the journal with each group of results (default), once a second, or never",
    )
    group.add_argument(
        "--retry-failed",
        nargs="?",
        choices=("transient", "all"),
        const="all",
        default="none",
        help="send again what failed in earlier runs: all of it, or what may succeed later",
    )
    group.add_argument("--stop-after", type=float, metavar="S", help="seconds for the whole job")
    group.add_argument("--max-errors", type=int, metavar="N", help="stop after N failures")
    group.add_argument(
        "--max-downtime", type=float, metavar="S", default=300.0, help="stop after S without a service (300)"
    )
    group.add_argument(
        "--grace", type=float, metavar="S", default=10.0, help="seconds for calls under way at SIGTERM (10)"
    )
