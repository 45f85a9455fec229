"""Tool calls out of fragments: by index or id, however the fragments are cut and mixed."""

from __future__ import annotations

import itertools
import random

import pytest

from foundry_rest.schema import FunctionCall, ToolCall
from foundry_rest.stream.tool_calls import ToolCallBuilder

CALLS = (("f", '{"n": 1, "text": "a{b"}'), ("g", '{"n": 2}'), ("f", '{"n": 3}'))


def fragment(index=None, id=None, name=None, arguments=None) -> ToolCall:
    """Return one fragment of a stream."""
    return ToolCall(id=id, type="function", function=FunctionCall(name, arguments), index=index)


def built(*fragments) -> list[tuple[str, str]]:
    """Return name and arguments of the calls that the fragments make."""
    builder = ToolCallBuilder()
    for each in fragments:
        builder.add(each)
    return [(call.name, call.arguments) for call in builder.build()]


def cut(number, name, arguments, *, pieces, ids=True, indexes=True) -> list[ToolCall]:
    """Return a call in so many pieces; the first brings its name."""
    index, id = number if indexes else None, f"call_{number}" if ids else None
    size = max(1, -(-len(arguments) // pieces))
    texts = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    head = fragment(index, id, name, "")
    return [head, *(fragment(index, None, None, text) for text in texts)]


def interleaved(rows, seed) -> list[ToolCall]:
    """Return the rows mixed, each in its own order."""
    order = [number for number, row in enumerate(rows) for _ in row]
    random.Random(seed).shuffle(order)
    queues = [iter(row) for row in rows]
    return [next(queues[number]) for number in order]


@pytest.mark.parametrize("pieces", [1, 2, 5, 99])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_interleaved_fragments(pieces, ids, seed):
    """Fragments of several calls may come in any mixture: the index says whose they are."""
    rows = [cut(number, *call, pieces=pieces, ids=ids) for number, call in enumerate(CALLS)]

    assert built(*interleaved(rows, seed)) == list(CALLS)


@pytest.mark.parametrize("pieces", [1, 3, 99])
@pytest.mark.parametrize("ids", [True, False])
def test_fragments_without_an_index(pieces, ids):
    """One call after the other: what brings a name begins a new one, what does not goes on."""
    rows = [cut(number, *call, pieces=pieces, ids=ids, indexes=False) for number, call in enumerate(CALLS)]

    assert built(*itertools.chain(*rows)) == list(CALLS)


@pytest.mark.parametrize("pieces", [1, 3, 99])
@pytest.mark.parametrize("ids", [True, False])
def test_every_call_with_the_same_index(pieces, ids):
    """Some servers number every call 0: id or name tell them apart."""
    rows = [cut(number, *call, pieces=pieces, ids=ids) for number, call in enumerate(CALLS)]
    same = [ToolCall(each.id, each.type, each.function, 0) for each in itertools.chain(*rows)]

    assert built(*same) == list(CALLS)


@pytest.mark.parametrize("index", [0, None])
@pytest.mark.parametrize("id", ["call_1", None])
def test_a_name_in_every_fragment(index, id):
    """A repeated name is no new call while the arguments are not whole."""
    pieces = ('{"n"', ": 1", "}")

    assert built(*(fragment(index, id, "f", piece) for piece in pieces)) == [("f", '{"n": 1}')]


def test_whole_calls():
    """Foundry Local sends each call whole; two of one function with the same arguments are two."""
    calls = [fragment(number, f"id{number}", "f", "{}") for number in range(2)]

    assert built(*calls) == [("f", "{}")] * 2


def test_indexes_order_the_calls():
    """The order of the indexes counts, not that of arrival."""
    assert built(fragment(1, "b", "g", "{}"), fragment(0, "a", "f", "{}")) == [("f", "{}"), ("g", "{}")]


def test_no_arguments():
    """A call without arguments has an empty object, only once it is whole."""
    first = fragment(0, "a", "f")

    assert first.arguments == ""
    assert built(first) == [("f", "{}")]
    assert built(first, fragment(0, None, None, '{"a": 1}')) == [("f", '{"a": 1}')]
