"""The arguments of the command ``bench``."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options, add_service_options

#: Numbers of the command line, which are settings of the same name, and what they are.
_NUMBERS = {
    "requests": "requests of one run; in a sweep at least 4 for each at a time (default 20)",
    "repeat": "runs with each number at a time; tells the median and the spread (default 1)",
    "warmup": "requests before the first run, which are in no figure (default 2)",
    "seed": "what the prompts are made from (default 0)",
    "prompt-tokens": "length of these prompts (default 128)",
    "max-tokens": "most tokens of an answer (default 64)",
}


def add_bench(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``bench``."""
    add_options(parser, "model")
    parser.add_argument(
        "--concurrency",
        default="sweep",
        metavar="N",
        help="requests at a time, or sweep: 1, 2, 4, ... until throughput grows by less than 5%% (default)",
    )
    for name, text in _NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, metavar="N", help=text)
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", metavar="TEXT", help="send this prompt in place of made ones")
    prompts.add_argument("--prompts", metavar="FILE", help="send the lines of a file in turn")
    parser.add_argument(
        "--goodput",
        metavar="BOUNDS",
        help="count what is fast enough: ttft:500,tpot:50,e2e:5000, in milliseconds",
    )
    parser.add_argument("--plot", metavar="FILE", help="write plots as SVG")
    add_options(parser, json="print JSON with the names of vllm bench serve")
    add_service_options(parser, retries="tries after the first (default 0)")
    parser.set_defaults(retries=0)
