"""A program that speaks plain requests, with one line more: it survives what ended it before."""

from __future__ import annotations

import os
import signal
import types
from pathlib import Path

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.adapter import FoundryAdapter
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.services.discovery.registry_file import Entry, remove, write
from foundry_rest.testing import chat_stream, cut, stall

SOURCE = Path(__file__).with_name("legacy_program.py").read_text(encoding="utf-8")
MARK = "        self.session = requests.Session()\n"
LINE = '        self.session.mount("http://127.0.0.1:5273", adapter)\n'
kills = pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")


def program(client=None):
    """Return the program; with a client, with the line that mounts it."""
    module = types.ModuleType("legacy_program")
    if client is not None:
        module.adapter = FoundryAdapter(client)
    exec(
        compile(SOURCE.replace(MARK, MARK + LINE) if client else SOURCE, "legacy_program.py", "exec"),
        vars(module),
    )
    return module


@pytest.fixture
def moving():
    """Return a runtime that is found by its entry in the registry file, and a client that finds it."""
    with LocalRuntime(demo_model_dir()) as runtime, FoundryAPIClient(deadline=20) as client:
        write(Entry(url=runtime.url, pid=runtime.pid, started=clock.now()))
        yield runtime, client
        remove(runtime.pid)


def test_it_is_plain_requests():
    """The program has 100 lines, names requests alone, and the line is the only one that is added."""
    assert len(SOURCE.splitlines()) <= 100
    assert "foundry_rest" not in SOURCE
    assert SOURCE.count(MARK) == 1


@pytest.mark.runtime
def test_it_works_as_before(runtime, client, answers, capsys):
    """Unchanged on the service's own address, and with the line on any: the same output."""
    assert program().main(runtime.url) == 0
    before = capsys.readouterr().out
    assert program(client).main() == 0
    assert capsys.readouterr().out == before
    assert answers["What is the capital of France?"] in before


@pytest.mark.runtime
@kills
def test_a_service_that_is_killed_and_moves(moving, answers, within):
    """Between two questions the service dies and comes back at another port; a model is not in memory."""
    runtime, client = moving
    assistant = program(client).Assistant()
    question = "What is the capital of France?"
    assert assistant.ask(question) == answers[question]
    first = runtime.url
    os.kill(runtime.pid, signal.SIGKILL)
    assert within(5, lambda: not runtime.is_alive())
    runtime.start()
    write(Entry(url=runtime.url, pid=runtime.pid, started=clock.now()))

    assert assistant.ask(question) == answers[question]
    assert "".join(assistant.write(question)) == answers[question]
    assert runtime.url != first


@pytest.mark.runtime
def test_a_model_that_is_unloaded(own_client, unload, answers):
    """It is loaded again before the program learns of it."""
    assistant = program(own_client).Assistant()
    question = "What is the capital of France?"
    assert assistant.ask(question) == answers[question]
    unload(own_client)
    assert assistant.ask(question) == answers[question]
    unload(own_client)
    assert "".join(assistant.write(question)) == answers[question]


def test_a_cut_stream(faults):
    """It is a failure of the program's own kind, after the pieces that came; plain requests ends tidily."""
    faults.on("POST", CHAT, chat_stream("one two three")[:3] + cut())
    with FoundryAPIClient(faults.url, retries=0) as client:
        made = program(client)
        pieces = []
        with pytest.raises(made.Failed, match="StreamInterrupted"):
            pieces.extend(made.Assistant().write("Hi"))
    assert "".join(pieces)


@pytest.mark.runtime
@kills
def test_a_stream_whose_service_is_killed(moving):
    """On the real runtime, too, a half story is a failure."""
    runtime, client = moving
    made = program(client)
    story = made.Assistant().write("Write a story about AI", max_tokens=2000)
    next(story)
    os.kill(runtime.pid, signal.SIGKILL)
    with pytest.raises(made.Failed):
        list(story)


def test_a_service_past_its_deadline(faults):
    """A slow service ends as the program's own failure, when the deadline says so."""
    faults.on("POST", CHAT, stall())
    with FoundryAPIClient(faults.url, deadline=0.3) as client:
        made = program(client)
        began = clock.monotonic()
        with pytest.raises(made.Failed, match="too slow"):
            made.Assistant().ask("Hi")
    assert clock.monotonic() - began < 2
