"""The programs whose service is killed, or loses its model, in the middle: they go on.

What broke off is one clear error.
"""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest
from support.deaths import kill_runtime
from support.platforms import posix

from foundry_rest.config import DEFAULT_MODEL
from foundry_rest.events import CallFinished

pytestmark = [pytest.mark.runtime, posix]
QUESTION, WEATHER = "Who wrote Hamlet?", "What is the weather in Paris?"


@pytest.fixture
def mortal(embedded):
    """Return a client whose service is killed when its first chat is answered, while others are under way."""
    told = []

    def observe(event):
        if isinstance(event, CallFinished) and event.call == "chat.complete" and not told:
            told.append(event)
            os.kill(client._owned[1].pid, signal.SIGKILL)

    client = embedded(observers=[observe])
    yield client
    assert told
    assert len(client._owned[1]._revived) == 1


def broken(lines, undisturbed, column):
    """Return what broke off among the lines of a table; all others are as if nothing had happened."""
    errors = [line[column] for line, good in zip(lines, undisturbed, strict=True) if line != good]
    assert all("connection" in error for error in errors), errors
    return errors


@pytest.mark.parametrize("name", ["assistant", "handover"])
def test_a_chat_whose_service_is_killed(name, program, embedded, place):
    """The answer that broke off ends in one error, and the next one is whole."""
    client = embedded("endless")
    start = {
        "assistant": lambda said: program("assistant").assist(client, place / "texts", said),
        "handover": lambda said: program("handover").chat(client, said),
    }[name]
    pieces = start(["Hello", "Hello again"])
    told = [next(pieces)]
    kill_runtime(client)
    told += pieces
    failed = [at for at, piece in enumerate(told) if piece.startswith("\n[") and "[from" not in piece]

    assert len(failed) == 1, [told[at] for at in failed]
    assert "onnection" in told[failed[0]]
    assert len(told) - failed[0] > 100


def test_a_page_whose_service_is_killed(program, embedded):
    """The last event says that the answer is not whole; the next page is."""
    client, started = embedded("endless"), []
    ask = partial(
        program("web").chat, client, {"QUERY_STRING": "Hello%20there"}, lambda *got: started.append(got)
    )
    events = ask()
    next(events)
    kill_runtime(client)
    *_, last = events
    *_, end = ask()

    assert last.startswith(b"event: failed\n")
    assert b"StreamInterrupted" in last
    assert end.startswith(b"event: end\n")
    assert [status for status, _ in started] == ["200 OK"] * 2


def test_an_agent_whose_service_is_killed(program, embedded):
    """A service that dies while a function runs is started again, and gives the same answer."""
    client = embedded()

    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        kill_runtime(client)
        return "18 degrees and sunny"

    assert list(program("agent").converse(client, [get_weather], [WEATHER]))[1:] == [
        "It is 18 degrees and sunny in Paris."
    ]


def test_an_agent_whose_model_is_unloaded(program, embedded):
    """A model that is no longer in memory for the next turn is loaded again."""
    client = embedded()

    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        client.models.unload(DEFAULT_MODEL)
        return "18 degrees and sunny"

    told = list(program("agent").converse(client, [get_weather], [WEATHER]))
    assert told[1:] == ["It is 18 degrees and sunny in Paris."]


def test_summaries_whose_service_is_killed(program, rows, mortal, place):
    """An answer that had begun is an error in its line, for at most the four under way; no other is lost."""
    for number in range(40):
        (place / "texts" / f"{number}.txt").write_text(QUESTION, encoding="utf-8")
    tables = [place / "killed.csv", place / "undisturbed.csv"]
    for table in tables:
        program("summaries").summarise(mortal, place / "texts", table)
    killed, undisturbed = map(rows, tables)

    assert len(killed) == 43
    assert not any(row["error"] for row in undisturbed)
    assert len(broken(killed, undisturbed, "error")) <= 4


def test_an_evaluation_whose_service_is_killed(program, rows, mortal, place):
    """Four workers meet the death: what had begun is told in the table, every other case has its score."""
    (place / "cases.csv").write_text("question,expected\n" + f"{QUESTION},Shakespeare\n" * 20, "utf-8")
    tables = [place / "killed.csv", place / "undisturbed.csv"]
    means = [
        list(program("evaluation").evaluate(mortal, place / "cases.csv", table, DEFAULT_MODEL, DEFAULT_MODEL))
        for table in tables
    ]
    killed, undisturbed = map(rows, tables)
    failed = broken(killed, undisturbed, "reason")

    assert len(failed) <= 4
    assert [mean.rpartition(" of ")[2] for (mean,) in means] == [str(20 - len(failed)), "20"]
