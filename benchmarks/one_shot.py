"""What a program that asks one question and ends costs, beside the same with requests and with openai.

python benchmarks/one_shot.py                   install this checkout as a wheel, and openai, and measure
python benchmarks/one_shot.py --python PATH     measure what the environment of this interpreter holds
python benchmarks/one_shot.py --against PATH    in turns with what another one holds, such as an older wheel

The wheel and openai have an environment each, so that neither imports what only the other one brings. Each
program is a process of its own that asks a stub of a 2.x service on loopback. Its CPU time is taken, system
calls included, the programs in turns, and the least of each is compared, for other work on the machine only
adds to it; so is ``foundry-rest --help`` with an import of argparse. Exit code 1 when a ratio is above its
bound.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from comparison.behaviour import MODEL  # noqa: E402
from comparison.crew import clean_environment  # noqa: E402
from comparison.starts import timed  # noqa: E402
from comparison.stub import stub  # noqa: E402

ROUNDS = 30
#: What a wheel is made of.
SOURCES = ("foundry_rest", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg", "setup.py")
OURS = """
from foundry_rest import FoundryAPIClient
print(FoundryAPIClient().complete("Hello", max_tokens=64).content)
"""
REQUESTS = """
import os, requests
reply = requests.post(
    os.environ["FOUNDRY_ENDPOINT"] + "/v1/chat/completions",
    json={
        "model": os.environ["FOUNDRY_MODEL"],
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 64,
    },
    timeout=30,
)
reply.raise_for_status()
print(reply.json()["choices"][0]["message"]["content"])
"""
OPENAI = """
import os, openai
client = openai.OpenAI(base_url=os.environ["FOUNDRY_ENDPOINT"] + "/v1", api_key="none")
reply = client.chat.completions.create(
    model=os.environ["FOUNDRY_MODEL"], messages=[{"role": "user", "content": "Hello"}], max_tokens=64
)
print(reply.choices[0].message.content)
"""
#: Which program may take how many times the CPU of which other.
BOUNDS = (("ours", "requests", 1.25), ("ours", "openai", 0.25), ("--help", "argparse", 1.5))


def own_commands(python: Path) -> dict[str, list[str]]:
    """Return this package's programs by name, as an environment's interpreter runs them."""
    command = shutil.which("foundry-rest", path=str(python.parent))
    if command is None:
        sys.exit(f"foundry_rest is not installed in the environment of {python}")
    return {"ours": [str(python), "-I", "-c", OURS], "--help": [command, "--help"]}


@contextlib.contextmanager
def installed(*wanted: str) -> Iterator[Path]:
    """Yield the interpreter of a new environment that holds these packages."""
    with tempfile.TemporaryDirectory() as made:
        venv.create(made, with_pip=True)
        python = Path(made, *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        yield python


@contextlib.contextmanager
def sources() -> Iterator[str]:
    """Yield a copy of what a wheel is made of, because a build leaves files behind."""
    with tempfile.TemporaryDirectory() as made:
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(made, name))
        yield made


def measured(programs: Mapping[str, list[str]], url: str, rounds: int) -> dict[str, list[float]]:
    """Run all programs in turns; return the milliseconds of CPU of each run."""
    environment = {**clean_environment(), "FOUNDRY_ENDPOINT": url, "FOUNDRY_MODEL": MODEL}
    del environment["PYTHONPATH"]  # what is installed is measured: -I leaves out the working directory, too
    for command in programs.values():  # compiles, and fails where one cannot run
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            taken[name].append(timed(command, environment)[0])
    return taken


def report(least: Mapping[str, float], prefix: str = "") -> bool:
    """Print the ratios; tell whether all are within their bounds."""
    ratios = [(own, other, least[prefix + own] / least[other], most) for own, other, most in BOUNDS]
    for own, other, ratio, most in ratios:
        print(f"{prefix}{own} / {other:10}{ratio:6.2f}   bound {most}")
    return all(ratio <= most for *_, ratio, most in ratios)


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", type=Path, metavar="PATH", help="interpreter that has foundry_rest")
    parser.add_argument("--openai", type=Path, metavar="PATH", help="interpreter that has openai")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="interpreter that has another foundry_rest"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each program ({ROUNDS})")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        own = options.python or stack.enter_context(installed(stack.enter_context(sources())))
        peer = options.openai or stack.enter_context(installed("openai"))
        programs = {
            **own_commands(own),
            "requests": [str(own), "-I", "-c", REQUESTS],
            "openai": [str(peer), "-I", "-c", OPENAI],
            "argparse": [str(own), "-I", "-c", "import argparse"],
        }
        if options.against:
            programs |= {f"before: {name}": each for name, each in own_commands(options.against).items()}
        url = stack.enter_context(stub())
        taken = measured(programs, url, options.rounds)
    least = {name: min(values) for name, values in taken.items()}
    for name, values in taken.items():
        print(f"{name:18}{least[name]:8.1f} ms of CPU at least, median {statistics.median(values):.1f}")
    if options.against:
        report(least, "before: ")
    return 0 if report(least) else 1


if __name__ == "__main__":
    sys.exit(main())
