"""What a batch costs: memory for any number of lines, CPU for each, and throughput with many slots.

python benchmarks/batch.py [memory] [ordered] [cpu] [throughput] [host_slots] [--short]

The service is a stub in a process of its own. Figures are ratios within one run; exit code 1 when one is
above its bound: 30 MB more for 200,000 lines than for 2,000, 1.5 times the CPU of a bare ``complete()``, 0.97
of the throughput of bare ``complete()`` from as many threads, and of a file without slots of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from foundry_rest import FoundryAPIClient  # noqa: E402
from foundry_rest.batch.job import answer_file  # noqa: E402
from foundry_rest.batch.run import Settings  # noqa: E402
from foundry_rest.resilience.host_slots import HostSlots  # noqa: E402
from foundry_rest.testing import DEMO_MODEL  # noqa: E402

#: Lines, and what ``--short`` makes of them: enough to see memory that grows with each.
FEW, MANY, SHORT_MANY = 2_000, 200_000, 12_000
MEMORY, CPU, THROUGHPUT = 30 * 2**20, 1.5, 0.97
#: Seconds for which the first request is stuck in ``ordered``, and of each answer in ``throughput``.
STUCK, SHORT_STUCK, LATENCY = 60.0, 5.0, 0.05
SLOTS = 64
STUB = """
import asyncio, json, sys
BODY = json.dumps({"id": "c", "object": "chat.completion", "model": "MODEL", "choices": [{"index": 0,
    "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}).encode()
LIST = json.dumps({"object": "list", "data": [{"id": "MODEL", "object": "model"}]}).encode()
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = [line for line in head.split(b"\\r\\n") if line.lower().startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
            delay = STUCK if b"stuck" in body else LATENCY if body else 0
            if delay:
                await asyncio.sleep(delay)
            answer = BODY if body else LIST
            head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: "
            writer.write(head + b"%d\\r\\n\\r\\n" % len(answer) + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextmanager
def stub(latency: float = 0.0, stuck: float = 0.0) -> Iterator[str]:
    """Serve a plain answer for each request, and yield the address."""
    program = STUB.replace("MODEL", DEMO_MODEL).replace("LATENCY", str(latency)).replace("STUCK", str(stuck))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def client(url: str, slots: int = SLOTS) -> FoundryAPIClient:
    """Return a client of the stub, which answers without a stream."""
    return FoundryAPIClient(
        url, model=DEMO_MODEL, dialect="openai", max_concurrency=slots, timeout=STUCK + 30, breaker=None
    )


def write_lines(path: Path, count: int, first: str = "hello 0") -> None:
    """Write so many prompts as short JSON lines."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            prompt = f"hello {number} " * 10 if number else first
            file.write(json.dumps({"custom_id": f"r{number}", "prompt": prompt}) + "\n")


def run(url: str, count: int, *, ordered: bool = False, first: str = "hello 0") -> int:
    """Answer so many lines in a process of their own; return the most memory that it used, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        write_lines(source, count, first)
        code = (
            "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]; import batch; batch.child(*sys.argv[3:])"
        )
        command = [sys.executable, "-c", code, str(ROOT), str(ROOT / "benchmarks"), url, str(source)]
        done = subprocess.run(
            [*command, str(output), str(int(ordered))], check=True, capture_output=True, text=True
        )
        names = [json.loads(line)["custom_id"] for line in output.open(encoding="utf-8")]
        in_order = names == [f"r{number}" for number in range(count)]
        if len(names) != count or len(set(names)) != count or (ordered and not in_order):
            sys.exit("the output is wrong")
        return int(done.stdout)


def child(url: str, source: str, output: str, ordered: str) -> None:
    """Answer a file, and print the most memory that this process used."""
    with client(url) as made:
        outcome = answer_file(
            made, source, output, ordered=ordered == "1", settings=Settings(concurrency=8, sync="second")
        )
    if not outcome.is_whole:
        sys.exit(str(outcome))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def memory(*, short: bool) -> bool:
    """Compare the memory of many lines with that of few."""
    lines = SHORT_MANY if short else MANY
    with stub() as url:
        few, many = run(url, FEW), run(url, lines)
    print(f"memory: {few / 2**20:.0f} MiB at {FEW:,} lines, {many / 2**20:.0f} MiB at {lines:,}")
    return many - few <= MEMORY


def ordered(*, short: bool) -> bool:
    """Do the same with the first request stuck, and the output in order."""
    lines = SHORT_MANY if short else MANY
    with stub(stuck=SHORT_STUCK if short else STUCK) as url:
        few, many = run(url, FEW), run(url, lines, ordered=True, first="stuck")
    print(f"memory, first stuck: {few / 2**20:.0f} MiB at {FEW:,} lines, {many / 2**20:.0f} MiB at {lines:,}")
    return many - few <= MEMORY


def cpu(*, short: bool) -> bool:
    """Compare the CPU of an item of a batch with that of a bare call."""
    count, ratios = 200 if short else 2_000, []
    with stub() as url, client(url) as made, tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        write_lines(source, count)
        made.complete("hello")
        for number in range(5):
            output = Path(folder, f"out{number}.jsonl")
            bare = used(lambda: [made.complete("hello 1 " * 10) for _ in range(count)])
            batch = used(lambda out=output: answer_file(made, source, out, settings=Settings(concurrency=1)))
            ratios.append(batch / bare)
    print(f"CPU of an item / of complete(): {statistics.median(ratios):.2f} of {sorted(ratios)}")
    return statistics.median(ratios) <= CPU


def throughput(*, short: bool) -> bool:
    """Compare the throughput of ``client.batch()`` with that of bare calls from as many threads.

    That of a file is printed beside it, without the check of the input before and the output after the run:
    its journal, keys and figures are work of its own, which shows where bare calls alone fill the core.
    """
    count, bare, batch, file = 640 if short else 3_200, [], [], []
    with stub(latency=LATENCY) as url, client(url) as made, tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        write_lines(source, count)
        in_threads(made, SLOTS)
        for number in range(5):
            bare.append(timed(lambda: in_threads(made, count)))
            prompts = ("hello 1 " * 10 for _ in range(count))
            batch.append(timed(lambda given=prompts: list(made.batch(given, max_concurrency=SLOTS))))
            output = Path(folder, f"out{number}.jsonl")
            outcome = answer_file(made, source, output, settings=Settings(concurrency=SLOTS))
            file.append(outcome.summary.elapsed)
    # The best of five rounds, because whatever else the machine does only ever slows one down.
    ratio = min(bare) / min(batch)
    print(f"throughput of client.batch() / of complete() from {SLOTS} threads: {ratio:.3f}")
    print(f"throughput of a file / of complete() from {SLOTS} threads: {min(bare) / min(file):.3f}")
    return ratio >= THROUGHPUT


def host_slots(*, short: bool) -> bool:
    """Compare the throughput of a file with slots of the machine that nobody else wants with that without."""
    count, without, with_slots, size = 160 if short else 800, [], [], 4
    with stub(latency=LATENCY) as url, client(url) as made, tempfile.TemporaryDirectory() as folder:
        source, slots = Path(folder, "in.jsonl"), HostSlots(size, Path(folder, "slots"))
        write_lines(source, count)
        for number in range(5):
            for bound, seconds in ((None, without), (size, with_slots)):
                settings = Settings(concurrency=size, host_slots=bound, sync="none")
                output = Path(folder, f"out{number}-{bound}.jsonl")
                seconds.append(answer_file(made, source, output, settings=settings).summary.elapsed)
        alone = min(timed(lambda: [slots.acquire().release() for _ in range(1_000)]) for _ in range(5))
    ratio = min(without) / min(with_slots)
    print(f"a slot of the machine, taken and given back: {alone * 1e3:.0f} us")
    print(f"throughput of a file with slots of the machine / without: {ratio:.3f}")
    return ratio >= THROUGHPUT


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def used(work: Callable[[], object]) -> float:
    """Return the CPU seconds that this process spends on some work."""
    began = psutil.Process(os.getpid()).cpu_times()
    work()
    ended = psutil.Process(os.getpid()).cpu_times()
    return (ended.user + ended.system) - (began.user + began.system)


def in_threads(made: FoundryAPIClient, count: int) -> None:
    """Make so many calls, evenly from as many threads as there are slots."""

    def work() -> None:
        for _ in range(count // SLOTS):
            made.complete("hello 1 " * 10)

    threads = [threading.Thread(target=work) for _ in range(SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


CASES = {
    "memory": memory,
    "ordered": ordered,
    "cpu": cpu,
    "throughput": throughput,
    "host_slots": host_slots,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE")
    parser.add_argument("--short", action="store_true", help="fewer lines")
    given = parser.parse_args()
    failed = [name for name in given.cases or CASES if not CASES[name](short=given.short)]
    sys.exit(f"above the bound: {', '.join(failed)}" if failed else 0)
