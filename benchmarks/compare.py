"""This package, its peers and the floor, side by side in one run on this machine.

python benchmarks/compare.py            all cases, about 20 minutes
python benchmarks/compare.py --short    a report in less than a minute, for CI

Prints medians, ratios and the project's targets as Markdown. A missed target is told, never an error: a busy
machine must not fail a build. ``pip install -e .[bench]`` brings the peers; one that is missing is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from comparison.cases import CASES, Row, missing, real_runtime, run_case  # noqa: E402
from comparison.crew import Crew  # noqa: E402
from comparison.report import change_lines, lines_of, plot, to_result  # noqa: E402
from comparison.starts import run_starts  # noqa: E402
from comparison.stub import stub  # noqa: E402
from comparison.targets import Rows  # noqa: E402

NAMES = ("start", *CASES)


def run(names: list[str], *, short: bool) -> tuple[Rows, list[str]]:
    """Return the rows of the named cases, and notes on what was left out."""
    rows: Rows = {}
    notes: list[str] = []
    with contextlib.ExitStack() as servers:
        crew = Crew(notes.append)
        servers.callback(crew.close)
        if "start" in names:
            rows.update(_told("start", run_starts(notes.append, short=short)))
        url = servers.enter_context(stub())
        for name in (name for name in CASES if name in names):
            where = _runtime(servers, notes) if name == "runtime" else url
            for case in CASES[name] if where else ():
                rows.update(_told(name, run_case(case, where, crew, short=short)))
    return rows, notes


def _told(name: str, rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    """Pass rows on, and tell on standard error how far the run is."""
    for title, row in rows:
        print(f"{name}: {title}", file=sys.stderr, flush=True)
        yield title, row


def _runtime(servers: contextlib.ExitStack, notes: list[str]) -> str:
    """Return the address of the real runtime, ``""`` where there is none."""
    from foundry_rest import FoundryError

    try:
        return servers.enter_context(real_runtime())
    except FoundryError as error:
        notes.append(f"the real runtime: {error}")
        return ""


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--short", action="store_true", help="few repetitions: shows that all runs, not how fast"
    )
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=list(NAMES), metavar="CASE", help=", ".join(NAMES)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result")
    parser.add_argument("--against", type=Path, metavar="FILE", help="show the change against a kept result")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the main rows (needs matplotlib)")
    options = parser.parse_args()
    rows, notes = run(options.only, short=options.short)
    result = to_result(rows, missing=missing(short=options.short), notes=notes, short=options.short)
    print("\n".join(lines_of(result)))
    if options.against:
        print("\n".join(change_lines(result, json.loads(options.against.read_text("utf-8")))))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if options.plot:
        plot(result, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
