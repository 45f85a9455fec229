"""Typed answers as models write them, asked of every generation over a socket."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.cases import each_case
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import InvalidReply
from foundry_rest.testing import DEMO_MODEL

GENERATIONS = ("2.x", "1.x", "0.x", "openai")


class Person(msgspec.Struct):
    """A person."""

    name: str
    age: int


GOOD = '{"name": "Ann", "age": 3}'
DRAFT = '{"name": "Bob", "age": 4}'
#: What models put around an answer.
WRITTEN = [
    GOOD,
    f"```json\n{GOOD}\n```",
    f"Sure [here it is]:\n```\n{GOOD}\n```\nIs that {{fine}}?",
    f"<think>Perhaps {DRAFT}</think>{GOOD}",
    f"<think>Perhaps {DRAFT}</think>\n\n```json\n{GOOD}\n```<|end|>",
    f"Perhaps {DRAFT}? No.\n</think>\n{GOOD}",
    f"First {DRAFT}, then {GOOD}.",
    f"{GOOD}<|im_end|>",
]
CUT = [
    "184",
    "Answer: 184",
    "1.5",
    "-1",
    "<think>7</think>1",
    "[1, 2",
    '{"name": "Ann"',
    '"An',
    "tru",
    "true",
]


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=request.param) as made:
        yield made


@pytest.mark.parametrize("text", WRITTEN)
def test_what_stands_around_the_answer(server, client, text):
    """Thoughts, prose, fences and special tokens do not matter, and nothing is asked again."""
    server.on("POST", CHAT, answer(text))

    assert client.complete("Who?", response_model=Person) == Person("Ann", 3)
    assert len(server.asked(CHAT)) == 1


@each_case("text, kind", list(itertools.product(CUT, [int, float, bool, str, list[int], Person])))
def test_an_answer_cut_by_max_tokens(server, client, text, kind):
    """What max_tokens cut is of no type, for nobody knows what it would have become."""
    server.on("POST", CHAT, answer(text, "length"))

    with pytest.raises(InvalidReply, match="max_tokens cut the answer"):
        client.complete("How many?", response_model=kind)


@pytest.mark.parametrize("reason", ["content_filter", "max_tokens", "model_length"])
def test_an_answer_cut_for_another_reason(server, client, reason):
    """The beginning of a number is no number, whatever cut it; what is closed is whole."""
    server.on("POST", CHAT, answer("184", reason), answer("184", reason), answer("[184]", reason))

    with pytest.raises(InvalidReply, match="the answer is no int"):
        client.complete("How many?", response_model=int, max_reasks=1)
    assert client.complete("How many?", response_model=list[int]) == [184]
