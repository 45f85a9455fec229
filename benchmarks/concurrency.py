"""How many calls at a time ``auto`` finds: in simulations, and on the real runtime with the demo model.

python benchmarks/concurrency.py [simulated] [batch] [interactive] [--short]

``simulated`` compares it with every fixed number, on three shapes of service with answers of log-normal
length: exit code 1 below 95 % of the best throughput, or above 1.5 times the p50 of the smallest number that
reaches 95 %. ``batch`` answers one file with fixed numbers and with ``auto``, in turns. ``interactive`` asks
beside a batch: exit code 1 when that takes more than 2.5 times as long as alone.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.limiters import SHAPES, compared  # noqa: E402

from foundry_rest import FoundryAPIClient  # noqa: E402
from foundry_rest.batch.job import answer_file  # noqa: E402
from foundry_rest.batch.run import Settings  # noqa: E402
from foundry_rest.batch.stop import Stop  # noqa: E402
from foundry_rest.runtime import demo_model_dir  # noqa: E402

THROUGHPUT, P50, BESIDE = 0.95, 1.5, 2.5
CALLS, SEEDS = 10_000, 5
#: Answers' lengths: sigma of the logarithm, work besides the tokens, and how much calls alike differ.
KINDS = {
    "sigma 0.5": {"spread": 0.5},
    "sigma 1": {"spread": 1.0},
    "sigma 1, noisy": {"spread": 1.0, "overhead": 40.0, "jitter": 0.1},
}
NUMBERS: tuple[int | str, ...] = (1, 2, 3, 4, 8, "auto")
#: Tokens of an answer of the real runtime: median, and sigma of the logarithm.
MEDIAN, SIGMA = 48, 0.7
PROMPT = "What is the capital of France?"


def simulated(*, short: bool) -> bool:
    """Print the worst and the median of some seeds."""
    calls, seeds, fits = (6_000, 2, True) if short else (CALLS, SEEDS, True)
    print("| service | lengths | throughput, worst (median) | p50, worst (median) | limit at the end |")
    print("|---|---|---|---|---|")
    for shape, power in SHAPES.items():
        for kind, options in KINDS.items():
            found = [compared(power, calls, seed, **options) for seed in range(1, seeds + 1)]
            tokens, times = [each[0] for each in found], [each[1] for each in found]
            ends = ", ".join(str(each[2].limits[-1]) for each in found)
            print(
                f"| {shape} | {kind} | {min(tokens):.3f} ({statistics.median(tokens):.3f}) "
                f"| {max(times):.2f} ({statistics.median(times):.2f}) | {ends} |"
            )
            fits = fits and min(tokens) >= THROUGHPUT and max(times) <= P50
    return fits


def endless(folder: Path) -> Path:
    """Return a folder with the demo model that ends no answer by itself, so that its length can be chosen."""
    made = folder / "endless"
    made.mkdir()
    for file in demo_model_dir().iterdir():
        (made / file.name).symlink_to(file)
    config = json.loads((made / "genai_config.json").read_bytes())
    config["model"]["eos_token_id"] = config["model"]["vocab_size"] - 1
    (made / "genai_config.json").unlink()
    (made / "genai_config.json").write_text(json.dumps(config), "utf-8")
    return made


def write(path: Path, count: int) -> None:
    """Write so many requests, with answers of log-normal length."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            length = max(4, min(200, round(MEDIAN * chance.lognormvariate(0, SIGMA))))
            row = {"custom_id": f"r{number}", "prompt": PROMPT, "max_tokens": length}
            file.write(json.dumps(row) + "\n")


def batch(*, short: bool) -> bool:
    """Answer a file with each number, in turns; print tokens per second and p50."""
    count, rounds, numbers = (400, 5, NUMBERS[1::2]) if short else (2_000, 5, NUMBERS)
    found: dict[int | str, list[tuple[float, float, int]]] = {number: [] for number in numbers}
    with (
        tempfile.TemporaryDirectory() as folder,
        FoundryAPIClient.embedded([endless(Path(folder))]) as client,
    ):
        source = Path(folder, "in.jsonl")
        write(source, count)
        client.complete(PROMPT, max_tokens=MEDIAN)
        for turn in range(rounds):
            for number in numbers:
                output = Path(folder, f"out-{turn}-{number}.jsonl")
                settings = Settings(concurrency=number, sync="second")  # type: ignore[arg-type]
                summary = answer_file(client, source, output, settings=settings).summary
                found[number].append((summary.tokens_per_second, summary.latency.p50, summary.concurrency))
    print("| at a time | tokens/s, median (all) | to 4, by turns (all) | p50 in ms | reached |")
    print("|---|---|---|---|---|")
    for number, rows in found.items():
        speeds = sorted(round(row[0]) for row in rows)
        ratios = sorted(round(row[0] / other[0], 2) for row, other in zip(rows, found[4], strict=True))
        p50 = 1000 * statistics.median(row[1] for row in rows)
        reached = ", ".join(str(row[2]) for row in rows)
        print(
            f"| {number} | {statistics.median(speeds):,.0f} ({speeds}) "
            f"| {statistics.median(ratios):.2f} ({ratios}) | {p50:.1f} | {reached} |"
        )
    return True


def interactive(*, short: bool) -> bool:
    """Ask again and again, alone and beside a batch with ``auto`` and with 4; print the medians."""
    asked, ratios = 20 if short else 200, {}
    with (
        tempfile.TemporaryDirectory() as folder,
        FoundryAPIClient.embedded([endless(Path(folder))]) as client,
    ):
        source = Path(folder, "in.jsonl")
        write(source, 100_000)
        client.complete(PROMPT, max_tokens=MEDIAN)
        for number in ("auto", 4):
            alone, stop = ask(client, asked), Stop()
            settings = Settings(concurrency=number, sync="second")  # type: ignore[arg-type]
            output = Path(folder, f"out-{number}.jsonl")
            running = threading.Thread(
                target=answer_file, args=(client, source, output), kwargs={"settings": settings, "stop": stop}
            )
            running.start()
            time.sleep(3)
            beside = ask(client, asked)
            stop.ask("measured")
            running.join()
            ratios[number] = beside / alone
            print(f"beside {number}: {1000 * beside:.1f} ms, alone {1000 * alone:.1f}: {ratios[number]:.2f}")
    return ratios["auto"] <= BESIDE


def ask(client: FoundryAPIClient, times: int) -> float:
    """Return the median seconds of a call, with pauses in between."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        client.complete(PROMPT, max_tokens=MEDIAN)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.02)
    return statistics.median(seconds)


CASES = {"simulated": simulated, "batch": batch, "interactive": interactive}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    parser.add_argument("--short", action="store_true", help="fewer calls")
    given = parser.parse_args()
    failed = [name for name in given.cases or CASES if not CASES[name](short=given.short)]
    sys.exit(f"out of bounds: {', '.join(failed)}" if failed else 0)
