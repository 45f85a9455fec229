"""The programs without a service: each tells it in one error, and none goes round and round."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from foundry_rest import FoundryAPIClient, ServiceUnreachable
from foundry_rest.testing import dead_address

REFUSED = "connection refused"


@pytest.fixture
def away():
    """Return a function that makes a client of a service that is not there, and closes it at the end."""
    with ExitStack() as opened:
        url = opened.enter_context(dead_address())
        yield lambda: opened.enter_context(FoundryAPIClient(url, retries=0))


def test_tables_without_a_service(program, rows, away, place):
    """Each line tells the failure, and none is left out."""
    program("summaries").summarise(away(), place / "texts", place / "table.csv")
    told = program("evaluation").evaluate(away(), place / "cases.csv", place / "scores.csv", "judge", "model")

    assert list(told) == ["model: nothing was judged"]
    assert [REFUSED in row["error"] for row in rows(place / "table.csv")] == [True] * 3
    assert [REFUSED in row["reason"] for row in rows(place / "scores.csv")] == [True] * 2


def test_talks_without_a_service(program, away, place):
    """A turn is one error; documents that cannot be read in are an error of the program."""
    agent = program("agent")
    assert [
        REFUSED in piece
        for piece in agent.converse(away(), [agent.get_weather], ["What is the weather in Paris?"])
    ] == [True]
    assert [REFUSED in piece for piece in program("handover").chat(away(), ["Hello"])] == [True, False]
    with pytest.raises(ServiceUnreachable, match=REFUSED):
        list(program("assistant").assist(away(), place / "texts", ["Hello"]))


def test_a_page_without_a_service(program, away):
    """It is a 503 with the failure, and what to do in the second line."""
    started = []
    (page,) = program("web").chat(away(), {"QUERY_STRING": "Hello"}, lambda *got: started.append(got))
    failure, advice = page.decode().splitlines()

    assert started == [("503 Service Unavailable", [("Content-Type", "text/plain")])]
    assert REFUSED in failure
    assert advice
