"""Programs of the kind that people write for Foundry Local, run as their users run them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.runtime import LocalRuntime

pytestmark = pytest.mark.runtime
PROGRAMS, ROOT = Path(__file__).with_name("programs"), Path(__file__).parents[3]
EMBEDDER = "qwen3-embedding-0.6b"
QUESTION, ANSWER = "Who wrote Hamlet?", "William Shakespeare wrote Hamlet"
WEATHER, SUNNY = "What is the weather in Paris?", "It is 18 degrees and sunny in Paris."


@pytest.fixture(scope="module")
def service(folders):
    """Return a runtime that serves a model to chat with and one for vectors; nothing is loaded."""
    with LocalRuntime([folders / DEFAULT_MODEL, folders / EMBEDDER]) as started:
        yield started


def free_port():
    """Return a port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def answers_at(port):
    """Tell whether something listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(place, url, name, *arguments, stdin=""):
    """Run a program in the folder, and return what it prints; it ends well and complains of nothing."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / f"{name}.py"), *arguments],
        input=stdin,
        env={**os.environ, "FOUNDRY_ENDPOINT": url, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        cwd=place,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_assistant(service, place):
    """Each answer is followed by the files that it is from."""
    told = run(place, service.url, "assistant", "texts", stdin=f"{QUESTION}\nHello\n")

    assert told.startswith(ANSWER)
    assert told.count("\n[from ") == 2
    assert ".txt" in told


def test_summaries(service, place, rows):
    """The table has a line for each text, in order, and no errors."""
    run(place, service.url, "summaries", "texts", "table.csv")
    table = rows(place / "table.csv")

    assert [row["file"] for row in table] == ["plays.txt", "spiders.txt", "towns.txt"]
    assert all(row["summary"] and not row["error"] for row in table)


def test_evaluation(service, place, rows):
    """Every answer has a score of the type that was asked for, and each model a mean."""
    name = f"{DEFAULT_MODEL}-generic-cpu:1"
    told = run(place, service.url, "evaluation", "cases.csv", "table.csv", DEFAULT_MODEL, DEFAULT_MODEL, name)
    table = rows(place / "table.csv")

    assert [line.rpartition(": ")[0] for line in told.splitlines()] == [DEFAULT_MODEL, name]
    assert told.count(" of 2\n") == 2
    assert [row["question"] for row in table] == [QUESTION] * 2 + ["What is two plus two?"] * 2
    assert all(row["score"] in "12345" and row["answer"] for row in table)


def test_agent(service, place):
    """It calls what it was given, answers from that, and goes on."""
    told = run(place, service.url, "agent", "notes.txt", stdin=f"{WEATHER}\n{QUESTION}\n").splitlines()

    assert told[0].startswith("[get_weather(")
    assert told[1] == SUNNY
    assert len(told) >= 3


def test_handover(service, place):
    """`openai` streams the answers from where it is sent to."""
    told = run(place, service.url, "handover", DEFAULT_MODEL, stdin=f"{QUESTION}\nHello\n")

    assert told.startswith(ANSWER)
    assert len(told.splitlines()) >= 2
    assert "[" not in told


def test_web(service, place, within):
    """A page gets the answer as server-sent events, up to the last one."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "web.py"), str(port)],
        env={**os.environ, "FOUNDRY_ENDPOINT": service.url, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    try:
        assert within(30, lambda: answers_at(port))
        page = requests.get(f"http://127.0.0.1:{port}/?{quote(QUESTION)}", timeout=30)
    finally:
        server.kill()
        server.communicate()

    assert page.headers["Content-Type"] == "text/event-stream"
    assert page.text.startswith("data: ")
    assert page.text.split("\n\n")[-2].startswith("event: end\n")
