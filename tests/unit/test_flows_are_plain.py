"""The programs of tests/integration/flows/programs are short, and do none of what the client is there for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FLOWS = Path(__file__).parents[1] / "integration" / "flows" / "programs"
#: Most lines of each, with its docstrings and empty lines.
MOST = {"assistant": 44, "evaluation": 63, "handover": 36, "summaries": 23, "web": 24, "agent": 61}
#: Modules with which programs wait, try again, look for ports, lock, or read JSON that models wrote.
BY_HAND = {"asyncio", "backoff", "httpx", "json", "multiprocessing", "psutil", "re", "requests", "socket"}
BY_HAND |= {"subprocess", "tenacity", "threading", "time", "urllib.request", "urllib3"}
#: The same in other ways: attributes, and what is imported.
NAMES = {
    "Condition",
    "Lock",
    "RLock",
    "Semaphore",
    "acquire",
    "decode",
    "loads",
    "raw_decode",
    "retry",
    "sleep",
}


def by_hand(source: str) -> list[str]:
    """Return what a program does by hand."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
            )
            found += [one for one in modules if {one, one.partition(".")[0]} & BY_HAND]
            found += [one.name for one in node.names if one.name in NAMES]
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            found.append(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "FoundryAPIClient" and node.args:
            found.append("an address")
        elif isinstance(node, (ast.While, ast.For)) and repeats(node):
            found.append("a retry loop")
    return found


def repeats(loop: ast.While | ast.For) -> bool:
    """Tell whether a loop does the same again after a failure: it counts or goes on for ever, and catches."""
    counts = isinstance(loop, ast.While) or (
        isinstance(loop.iter, ast.Call) and getattr(loop.iter.func, "id", "") in {"range", "count"}
    )
    return counts and any(isinstance(node, ast.Try) for node in ast.walk(loop))


def test_each_is_there():
    """There are six, and no helper beside them."""
    assert {path.stem for path in FLOWS.glob("*.py")} == set(MOST)


@pytest.mark.parametrize("name", MOST)
def test_lines(name):
    """A program has at most its lines."""
    assert len((FLOWS / f"{name}.py").read_text("utf-8").splitlines()) <= MOST[name]


@pytest.mark.parametrize("name", MOST)
def test_nothing_is_done_by_hand(name):
    """No retry loop, no search for a port, no repair of JSON, no lock."""
    assert by_hand((FLOWS / f"{name}.py").read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("for _ in range(3):\n  try: ask()\n  except Exception: pass", ["a retry loop"]),
        ("while True:\n  try: ask()\n  except Exception: pass", ["a retry loop"]),
        ("import socket", ["socket"]),
        ("from time import sleep", ["time", "sleep"]),
        ("FoundryAPIClient('http://127.0.0.1:5273')", ["an address"]),
        ("import json\njson.loads(text)", ["json", "loads"]),
        ("msgspec.json.decode(text)", ["decode"]),
        ("with threading.Lock(): ask()", ["Lock"]),
        ("for prompt in prompts:\n  try: ask(prompt)\n  except Exception: tell()", []),
    ],
)
def test_what_is_found(source, what):
    """What the programs must not do is found where it is done, and a loop over questions is no retry."""
    assert by_hand(source) == what
