"""Check the demo model on a running service: `python check.py http://127.0.0.1:PORT`.

The model must be loaded (see README.md). Asks for every pair at temperature 0, streamed and not, and demands
the exact answer and finish_reason "stop".
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

MODEL = "demo-chat-generic-cpu:1"
PAIRS = Path(__file__).with_name("pairs.json")
SECONDS = 30.0


def main() -> int:
    """Check every pair both ways and return 1 if any differs."""
    url = sys.argv[1].rstrip("/") + "/v1/chat/completions"
    pairs = json.loads(PAIRS.read_text(encoding="utf-8"))
    wrong = [line for pair in pairs for line in _differences(url, pair)]
    print(*wrong, f"{len(pairs)} pairs, {len(wrong)} differences", sep="\n")
    return 1 if wrong else 0


def _differences(url: str, pair: dict[str, str]) -> Iterator[str]:
    """Yield a line for each way of asking that does not give the answer and a stop."""
    for ask in (ask_whole, ask_stream):
        got = ask(url, pair["question"])
        if got != (pair["answer"], "stop"):
            yield f"{ask.__name__} {pair['question']!r}: {got!r}"


def ask_whole(url: str, question: str) -> tuple[str, str]:
    """Ask without streaming; return the text and the finish reason."""
    with _post(url, question, stream=False) as reply:
        choice = reply.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def ask_stream(url: str, question: str) -> tuple[str, str]:
    """Ask with streaming; return the joined text and the finish reason."""
    text, reason = "", ""
    with _post(url, question, stream=True) as reply:
        for choice in _choices(reply):
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
    return text, reason


def _choices(reply: requests.Response) -> Iterator[dict[str, Any]]:
    """Yield the choices of every event of a stream."""
    for line in reply.iter_lines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            yield from json.loads(line[6:])["choices"]


def _post(url: str, question: str, *, stream: bool) -> requests.Response:
    """Send one question at temperature 0 and fail on an error status."""
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "stream": stream,
    }
    reply = requests.post(url, json=body, stream=stream, timeout=SECONDS)
    reply.raise_for_status()
    return reply


if __name__ == "__main__":
    sys.exit(main())
