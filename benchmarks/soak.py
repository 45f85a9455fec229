"""Many calls against a service that fails in every fifth answer: what must hold however long it runs.

python benchmarks/soak.py --calls 20000 --threads 16

No answer is wrong, no call hangs, no exception is foreign, and open files and memory stay flat. Each prompt
holds a number that the answer repeats, so that answers that were swapped or shortened are found. The service
is a ``FaultServer`` in a process of its own. Ends with exit code 1 when a rule is broken.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from foundry_rest import BreakerPolicy, FoundryAPIClient, FoundryError, RetryPolicy, Timeouts  # noqa: E402
from foundry_rest.testing import (  # noqa: E402
    DEMO_MODEL,
    MALFORMED,
    FaultServer,
    Request,
    Script,
    answer,
    chat_completion,
    chat_events,
    chat_stream,
    cut,
    error_event,
    html_page,
    inference_failed,
    json_error,
    pause,
    reset,
    sse,
    stall,
    unavailable,
)

CHAT = "/v1/chat/completions"
#: Share of answers that fail.
FAULTS = 0.2
DEADLINE, SILENCE = 10.0, 0.25
#: Growth that is no leak: files (connections of all threads), bytes (what the allocator keeps).
FILES, MEMORY = 40, 16 * 2**20


def text_for(number: int) -> str:
    """Return the one right answer to a prompt."""
    return f"the number {number} is {number * 7919} when multiplied"


# ---------------------------------------------------------------- the service


def faults_of_stream(text: str) -> list[Script]:
    """Return every way in which a stream fails here."""
    words = chat_events(text, finish=None, usage=False)[:4]
    return [
        chat_stream(text)[:4] + cut(),
        chat_stream(text)[:4] + pause(0.002) + reset(),
        cut(),
        inference_failed(),
        unavailable(),
        sse([*words, error_event()], done=False),
        sse([*words, MALFORMED]),
        sse(words, done=False),
        html_page(),
        chat_stream(text)[:4] + stall(),
    ]


def faults_of_plain(text: str) -> list[Script]:
    """Return every way in which a plain answer fails here."""
    whole = chat_completion(text)
    body = whole[1:].data
    return [
        answer(200, body[:40], length=len(body)) + cut(),
        whole[:1] + pause(0.002) + reset(),
        cut(),
        inference_failed(),
        unavailable(),
        json_error(200, "Inference failed"),
        answer(200, body[:40]),
        html_page(),
        whole[:1] + stall(),
    ]


def serve() -> None:
    """Answer until standard input ends; print the address first."""
    dice = random.Random(1)  # the faults may come in any order, but are the same ones each time

    def chat(request: Request) -> Script:
        body = request.json()
        text = text_for(int(body["messages"][-1]["content"].split()[-1]))
        is_stream = body.get("stream") is True
        if dice.random() < FAULTS:
            return dice.choice((faults_of_stream if is_stream else faults_of_plain)(text))
        return chat_stream(text) if is_stream else chat_completion(text)

    with FaultServer() as server:
        server.on("POST", CHAT, chat)
        print(server.url, flush=True)
        sys.stdin.read()


@contextmanager
def service() -> Iterator[str]:
    """Run the service in a process of its own; yield its address."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


# ---------------------------------------------------------------- the load


@dataclass
class Figures:
    """Hold how the calls ended."""

    ended: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    slowest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, how: str, seconds: float, broken: str = "") -> None:
        """Count one call."""
        with self.lock:
            self.ended[how] += 1
            self.slowest = max(self.slowest, seconds)
            self.broken += [broken] if broken else []


def connect(url: str, dialect: str) -> FoundryAPIClient:
    """Return a client that gives up soon and leaves the service alone late."""
    return FoundryAPIClient(
        url,
        model=DEMO_MODEL,
        dialect=dialect,
        timeout=Timeouts(2, SILENCE, SILENCE),
        deadline=DEADLINE,
        retries=RetryPolicy(2, base=0.002, floor=0.001),
        breaker=BreakerPolicy(failures=50, reset_after=0.05, reset_max=0.05),
    )


def ask(client: FoundryAPIClient, number: int) -> str:
    """Return the text of one answer: of even numbers whole, of odd ones as a stream."""
    prompt = f"Multiply {number}"
    if number % 2 == 0:
        return client.complete(prompt).content
    with client.stream_complete(prompt) as chunks:
        return "".join(chunk.content for chunk in chunks)


def judge(client: FoundryAPIClient, number: int, figures: Figures) -> None:
    """Make one call and hold its end against the rules."""
    began, broken = time.monotonic(), ""
    try:
        got = ask(client, number)
        how = "right" if got == text_for(number) else "WRONG"
        broken = f"wrong answer to {number}: {got!r}" if how == "WRONG" else ""
    except FoundryError as error:
        how = type(error).__name__
        if not text_for(number).startswith(getattr(error, "text", "")):
            broken = f"{how} to {number} holds a foreign text: {error.text!r}"
    except Exception as error:  # noqa: BLE001
        how = "FOREIGN"
        broken = f"foreign exception: {error!r}"
    seconds = time.monotonic() - began
    figures.add(how, seconds, broken or (f"{number} took {seconds:.1f} s" * (seconds > DEADLINE + 1)))


def load(clients: list[FoundryAPIClient], numbers: range, threads: int, figures: Figures) -> None:
    """Ask every number once."""
    todo = iter(numbers)

    def work(client: FoundryAPIClient) -> None:
        for number in todo:
            judge(client, number, figures)

    running = [
        threading.Thread(target=work, args=(client,), daemon=True)
        for client in itertools.islice(itertools.cycle(clients), threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        while thread.is_alive():
            ended = sum(figures.ended.values())
            thread.join(DEADLINE + 5)
            if thread.is_alive() and sum(figures.ended.values()) == ended:
                figures.broken.append("a call hangs")
                return


def weigh() -> tuple[int, int]:
    """Return this process's open files and its memory in bytes."""
    gc.collect()
    process = psutil.Process()
    return process.num_fds() if hasattr(process, "num_fds") else 0, process.memory_info().rss


def soak(calls: int, threads: int) -> list[str]:
    """Run all calls, print the figures, and return the rules that were broken."""
    figures, began = Figures(), time.monotonic()
    tenth = calls // 10
    with service() as url, connect(url, "2.x") as native, connect(url, "openai") as openai:
        load([native, openai], range(tenth), threads, figures)
        early = weigh()
        load([native, openai], range(tenth, calls), threads, figures)
        late = weigh()
    broken = list(figures.broken)
    ended = sum(figures.ended.values())
    if ended != calls:
        broken.append(f"{calls} calls were begun, {ended} ended")
    if late[0] > early[0] + FILES or late[1] > early[1] + MEMORY:
        broken.append("open files or memory grow")
    print(f"{ended} calls over {threads} threads in {time.monotonic() - began:.1f} s")
    print("  ".join(f"{how} {count}" for how, count in figures.ended.most_common()))
    print(f"slowest call {figures.slowest:.2f} s")
    print(f"open files {early[0]} -> {late[0]}, memory {early[1] / 2**20:.1f} -> {late[1] / 2**20:.1f} MiB")
    return broken


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return 0
    broken = soak(options.calls, options.threads)
    for rule in broken[:20]:
        print(f"BROKEN: {rule}")
    return 1 if broken else 0


if __name__ == "__main__":
    import logging

    logging.getLogger("foundry_rest").setLevel(logging.CRITICAL)
    sys.exit(main())
