"""Whole processes: what an import costs, and the start of the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from comparison.cases import SLOW, Row
from comparison.crew import clean_environment

#: Programs, by subject; the first is taken off all others.
IMPORTS = {
    "python": "pass",
    "http.client": "import http.client, json",
    "urllib3": "import urllib3",
    "requests": "import requests",
    "openai": "import openai",
    "ollama": "import ollama",
    "litellm": "import litellm",
    "foundry_rest": "import foundry_rest",
    "FoundryAPIClient": "from foundry_rest import FoundryAPIClient",
}
COMMANDS = {
    "import argparse": ["-c", "import argparse"],
    "foundry-rest --help": ["-m", "foundry_rest", "--help"],
    "foundry-rest --version": ["-m", "foundry_rest", "--version"],
}


def run_starts(note: Callable[[str], None], *, short: bool) -> Iterator[tuple[str, Row]]:
    """Start every program in turns; yield rows of CPU and wall time. ``note`` is told what cannot start."""
    rounds = 2 if short else 25
    wanted = {name: ["-c", code] for name, code in IMPORTS.items() if not (short and name in SLOW)}
    imports = {name: arguments for name, arguments in wanted.items() if _runs(arguments)}
    for name in wanted.keys() - imports.keys():
        note(f"import of {name}: it fails here")
    for title, programs in (("import", imports), ("start", COMMANDS)):
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range(rounds):
            for name, arguments in programs.items():
                if name not in SLOW or number < rounds // 5:
                    turns[name].append(timed([sys.executable, *arguments], _environment()))
        yield from _rows(title, turns)


def _rows(title: str, turns: dict[str, list[tuple[float, float]]]) -> Iterator[tuple[str, Row]]:
    """Yield one row for CPU and one for wall time; imports without Python's own start."""
    for at, figure in enumerate(("CPU", "wall")):
        values = {name: [turn[at] for turn in taken] for name, taken in turns.items()}
        bare = Row("ms", values).median("python") or 0.0
        values.pop("python", None)
        yield f"{title}: {figure}", Row("ms", {n: [each - bare for each in v] for n, v in values.items()})


def _runs(arguments: list[str]) -> bool:
    """Tell whether a program can run here; its files are in the page cache afterwards."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, env=_environment(), check=False)
    return done.returncode == 0


def _environment() -> dict[str, str]:
    return {**clean_environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a program to its end; return CPU and wall time in milliseconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    if not hasattr(os, "wait4"):
        process.wait()
        wall = (time.perf_counter() - began) * 1000
        return wall, wall
    _, status, usage = os.wait4(process.pid, 0)
    wall = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    return (usage.ru_utime + usage.ru_stime) * 1000, wall
