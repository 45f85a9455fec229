"""Whether the bench tells the truth: its figures against the timestamps of a stub that paces its events.

python benchmarks/bench_stub.py [CASE ...] [--requests N]

The stub is a FaultServer in a process of its own. It paces its events, writes down when each request came and
when each event was sent, and its figures are made of that by the same formulas. Exit code 1 if a median, a
mean or a throughput of the bench is more than 10 % off, twice in a row, and more than 0.2 ms: a gap within a
packet is nothing on both sides. The 99th percentiles are printed alone: of 40 requests that is one, which a
busy machine may delay. The first token and the end are told about 1 ms late, on a busy machine 3 ms, which
both sides need to send and read a request.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from foundry_rest import FoundryAPIClient  # noqa: E402
from foundry_rest.ops.bench import BenchSettings, Measurement, bench  # noqa: E402
from foundry_rest.ops.bench.figures import run_of  # noqa: E402
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_event, event, json_error, sse  # noqa: E402
from foundry_rest.testing.script import Script, Silence, Step, Wire  # noqa: E402

OFF, LEAST_MS = 0.10, 0.2
CHAT = "/v1/chat/completions"
COMPARED = (
    *(f"{each}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el") for each in ("median", "mean", "p99")),
    *("request_throughput", "output_throughput", "output_throughput_per_user", "completed", "failed"),
)


@dataclass(frozen=True)
class Case:
    """What the stub does, and how many requests at a time it is asked.

    Attributes:
        concurrency: Requests at a time.
        first: Seconds before the first event, at least and at most.
        gap: Seconds between two packets.
        most: Most events in one packet.
        thoughts: How many of the events are thoughts.
        failing: Every how many requests one fails; 0 for none.
    """

    concurrency: int = 1
    first: tuple[float, float] = (0.04, 0.08)
    gap: tuple[float, float] = (0.002, 0.012)
    most: int = 1
    thoughts: int = 0
    failing: int = 0


CASES = {
    "one": Case(),
    "packed": Case(most=10),
    "eight": Case(concurrency=8),
    "eight, packed": Case(concurrency=8, most=10),
    "thoughts": Case(concurrency=2, thoughts=8),
    "failing": Case(concurrency=4, most=4, failing=5),
    "thirty-two": Case(concurrency=32, first=(0.1, 0.2), gap=(0.02, 0.04)),
}
TOKENS = 24


@dataclass(frozen=True)
class Stamped:
    """Bytes to send, and where their time is written."""

    data: bytes
    times: list[float]
    count: int = 1

    def play(self, wire: Wire) -> None:
        """Write down the time and send."""
        self.times.extend([time.monotonic()] * self.count)
        wire.send(self.data)


@dataclass
class Stub:
    """The service: what it does with each request, and what it wrote down."""

    case: Case
    served: list[dict[str, object]] = field(default_factory=list)

    def answer(self, _request: object) -> Script:
        """Return the answer to one request."""
        chance = random.Random(len(self.served))
        fails = bool(self.case.failing) and len(self.served) % self.case.failing == self.case.failing - 1
        entry = {"began": time.monotonic(), "fails": fails, "outputs": [], "ends": []}
        self.served.append(entry)
        if fails:
            return json_error(500, "as told")
        return Script(tuple(self._steps(chance, entry)))

    def _steps(self, chance: random.Random, entry: dict[str, object]) -> list[Step]:
        groups, left = [], [_event(number < self.case.thoughts) for number in range(TOKENS)]
        while left:
            size = chance.randint(1, self.case.most)
            groups.append(left[:size])
            left = left[size:]
        usage = {"prompt_tokens": 9, "completion_tokens": TOKENS, "total_tokens": TOKENS + 9}
        last = [chat_event({}, "stop"), event(json.dumps({"choices": [], "usage": usage}))]
        head, *sends = sse([b"".join(group) for group in (*groups, last)])
        steps: list[Step] = [head, Silence(chance.uniform(*self.case.first))]
        for group, step in zip(groups, sends, strict=False):
            steps += [
                Stamped(step.data, entry["outputs"], len(group)),
                Silence(chance.uniform(*self.case.gap)),
            ]
        steps += [Stamped(sends[len(groups)].data, entry["ends"]), *sends[len(groups) + 1 :]]
        return steps


def _event(is_thought: bool) -> bytes:  # noqa: FBT001
    return chat_event({"reasoning_content": "hm "} if is_thought else {"content": "word "})


def serve(name: str) -> None:
    """Serve one case until stdin ends, then print what was written down."""
    stub = Stub(CASES[name])
    with FaultServer() as server:
        server.on("POST", CHAT, stub.answer)
        print(server.url, flush=True)
        sys.stdin.read()
    print(json.dumps(stub.served))


def by_stub(served: Sequence[dict[str, object]], case: Case, warmup: int) -> dict[str, float | None]:
    """Return the figures by the stub's timestamps."""
    return run_of(case.concurrency, [_measurement(each, case) for each in served[warmup:]]).figures


def _measurement(entry: dict[str, object], case: Case) -> Measurement:
    began, outputs = entry["began"], entry["outputs"]
    if entry["fails"]:
        return Measurement(began=began, ended=began, error="ServerError")
    return Measurement(
        began=began,
        ended=entry["ends"][0],
        outputs=array("d", outputs),
        first_content=outputs[case.thoughts],
        first_thought=outputs[0] if case.thoughts else None,
        completion_tokens=TOKENS,
    )


def compare(name: str, requests: int) -> bool:
    """Run one case, print the figures of both sides, and return whether they agree."""
    case = CASES[name]
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = child.stdout.readline().strip()
    settings = BenchSettings(
        requests=max(requests, 4 * case.concurrency),
        concurrency=case.concurrency,
        warmup=2,
        max_tokens=TOKENS,
    )
    with FoundryAPIClient(url, model=DEMO_MODEL, retries=0, breaker=None, auto_load=False) as client:
        ours = bench(client, settings).levels[0].figures
    served, _ = child.communicate()
    theirs = by_stub(json.loads(served), case, settings.warmup)
    print(f"\n{name}: {case}")
    print(f"{'figure':<30}{'bench':>12}{'stub':>12}{'off':>9}")
    agrees = True
    for figure in COMPARED:
        one, other = ours[figure] or 0.0, theirs[figure] or 0.0
        off = abs(one - other) / other if other else 0.0
        is_near = (
            figure.startswith("p99")
            or off <= OFF
            or (figure.endswith("_ms") and abs(one - other) <= LEAST_MS)
        )
        agrees = agrees and is_near
        print(f"{figure:<30}{one:>12.3f}{other:>12.3f}{off:>8.1%}{'' if is_near else '  !'}")
    return agrees


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--serve", choices=CASES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        sys.exit()
    # Twice: another program may have had the processor.
    wrong = [
        name for name in given.cases or CASES if not any(compare(name, given.requests) for _ in range(2))
    ]
    sys.exit(f"more than 10 % off, twice: {', '.join(wrong)}" if wrong else 0)
