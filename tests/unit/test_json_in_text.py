"""An answer of a type among thoughts, prose, fences and tokens; and a cut one that fits no type."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest

from foundry_rest.endpoints.structured import read_answer
from foundry_rest.schema import ChatReply
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.json_in_text import json_values
from foundry_rest.schema.structure import structure_of


class City(msgspec.Struct):
    """A type whose members may all be missing: it fits more than it should."""

    name: str = ""
    people: int | None = None
    mayor: dict[str, Any] | None = None


VALUE = {"name": "Paris [75]", "people": 3, "mayor": {"name": "A. {B}"}}
JSON = json.dumps(VALUE)
DRAFT = '{"name": "Lyon"}'
#: What stands before the answer, and behind it.
BEFORE = {
    "nothing": "",
    "a fence": "```json\n",
    "prose": "Here you are [as asked]:\n",
    "braces in prose": "The set {x, y} gives: ",
    "a draft": f"First I thought {DRAFT}, but no: ",
    "thoughts": f"<think>Maybe {DRAFT}?</think>",
    "thoughts without their begin": f"Maybe {DRAFT}?\n</think>\n",
    "thoughts and a fence": f"<think>\n{DRAFT}\n</think>\n```\n",
}
AFTER = {"nothing": "", "a fence": "\n```", "prose": "\nIs that right [or not]?", "a token": "<|im_end|>"}


def read(text, kind=City, finish_reason="stop"):
    """Return what an answer with this text is as a value of a type."""
    return read_answer(ChatReply(content=text, finish_reason=finish_reason), structure_of(kind))


@pytest.mark.parametrize(
    ("before", "after"),
    list(itertools.product(BEFORE.values(), AFTER.values())),
    ids=[f"{one}, {other}" for one, other in itertools.product(BEFORE, AFTER)],
)
def test_the_last_value_that_fits(before, after):
    """Whatever stands around it, the answer is the last JSON value after the thoughts that fits the type."""
    assert read(f"{before}{JSON}{after}") == City(**VALUE)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "I counted 3, then 4. Answer: 42.", 42),
        (float, "<think>2.5</think>\n-1.5e3", -1500.0),
        (bool, "true", True),
        (list[int], "Sorted: [1, 2, 3]", [1, 2, 3]),
        (str, '"yes"', "yes"),
        (int | None, "null", None),
    ],
)
def test_values_of_other_kinds(kind, text, value):
    """Numbers, lists and constants are found as objects are."""
    assert read(text, kind) == value


@pytest.mark.parametrize("kind", [int, float, int | None, list[int], City])
@pytest.mark.parametrize(
    "text", ["18444444", "Answer: 18444444", "-18", '{"name": "Paris"', "[1, 2", "[[1], [2"]
)
def test_a_cut_answer_fits_no_type(kind, text):
    """What max_tokens cut may be the beginning of anything: 184 of 18444444, two elements of a list."""
    with pytest.raises(SchemaMismatch):
        read(text, kind, "length")


@pytest.mark.parametrize("text", [JSON, f"Here: {JSON}", f"{JSON}\n\n\n\n"])
def test_a_cut_answer_that_is_closed(text):
    """A value that its own syntax closes is whole, whatever was cut behind it."""
    assert read(text, City, "length") == City(**VALUE)


@pytest.mark.parametrize("end", range(1, len(JSON)))
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_every_cut_of_an_answer(end, reason):
    """A part that is nested in a broken value is no answer, though it would fit."""
    with pytest.raises(SchemaMismatch):
        read(JSON[:end], City, reason)


@pytest.mark.parametrize(
    "text",
    [
        '{"mayor": {"name": "A"}, oops}',
        '{name: {"name": "A"}}',
        '{\'name\': {"name": "A"}}',
        '[{"name": "A"}, oops]',
        "<think>" + JSON,
        "no JSON at all",
        "",
    ],
)
def test_no_answer(text):
    """Broken JSON gives none of its parts, and thoughts without an end give nothing."""
    with pytest.raises(SchemaMismatch):
        read(text)


def test_the_error_tells_what_is_wrong_with_the_value():
    """A value that does not fit tells more than that the text around it is no JSON."""
    with pytest.raises(SchemaMismatch) as caught:
        read('Here: {"people": "many"}')

    assert caught.value.where == "$.people"


def test_many_brackets_cost_no_more_than_their_bound():
    """An answer of nothing but brackets ends soon."""
    assert len(list(json_values("[" * 100_000))) == 1
    assert len(list(json_values("1 " * 100_000))) <= 2001
