"""The index of a run's requests: names, keys, order, places of results."""

from __future__ import annotations

import msgspec
import pytest
from support.batches import MEANINGS, filled, request

from foundry_rest.batch import request_index
from foundry_rest.batch.request_index import Place, RequestIndex
from foundry_rest.schema.batch import EMBEDDINGS, BatchRequest


def names(requests) -> list[str]:
    """Return the names of requests."""
    return [each.custom_id for each in requests]


def test_requests_come_back():
    """A request is what it was, with its line, its route and its model."""
    given = request("ü\n'\"", "Grüße 😀", temperature=0.5, extra=None)
    with filled(given) as index:
        identity = index.find("ü\n'\"")
        (found,) = index.pending()
        assert found.request == given
        assert (identity.line, found.url, identity.model) == (1, given.url, "m")
        assert found.identity == identity
        assert index.find("other") is None
        assert (len(index), index.answered(), index.changed()) == (1, 0, 0)


def test_names_are_unique():
    """A second request of a name is refused with the line of the first, and changes nothing."""
    with filled("a", "b") as index:
        assert index.add(7, request("a", "another")) == 1
        assert len(index) == 2
        assert next(index.pending()).request == request("a")


def test_names_differ_by_every_character():
    """Names that look alike or differ in case are different names."""
    with filled("a", "A", "a ", "\u00e9", "e\u0301", "a\u200b") as index:
        assert len(index) == 6


def test_models():
    """Models are counted in the order in which they first came."""
    given = [request(name, model=model) for name, model in [("a", "z"), ("b", "y"), ("c", "z")]]
    with filled(*given) as index:
        assert index.models == {"z": 2, "y": 1}
        assert list(index.models) == ["z", "y"]
        assert index.add(9, request("a", model="new")) == 1
        assert list(index.models) == ["z", "y"]
    with RequestIndex() as empty:
        assert empty.models == {}
        assert list(empty.pending()) == []
        assert list(empty.places(ordered=True)) == list(empty.places(ordered=False)) == []


@pytest.mark.parametrize("chunk", [1, 2, 256])
def test_pending_by_model(monkeypatch, chunk):
    """What has no result comes model by model, each in the order of the lines, in pieces of any size."""
    monkeypatch.setattr(request_index, "_CHUNK", chunk)
    given = [request(f"{model}{number}", model=model) for number in range(5) for model in "yxz"]
    with filled(*given) as index:
        index.note(1, Place(10, 5, True))  # y0
        index.note(2, Place(20, 5, False), again=True)  # x0
        assert names(index.pending()) == [
            *(f"y{number}" for number in range(1, 5)),
            *(f"x{number}" for number in range(5)),
            *(f"z{number}" for number in range(5)),
        ]
        assert index.answered() == 1


def test_pending_while_results_are_noted(monkeypatch):
    """Noting results while the requests are read leaves none out and gives none twice."""
    monkeypatch.setattr(request_index, "_CHUNK", 3)
    with filled(*map(str, range(20))) as index:
        seen = []
        for each in index.pending():
            seen.append(each.custom_id)
            index.note(each.identity.line, Place(each.identity.line, 1, True))
        assert seen == [str(number) for number in range(20)]


def test_places():
    """Results are in the order of the lines, or in that of the journal with those without one last."""
    with filled("a", "b", "c", "d") as index:
        index.note(1, Place(30, 5, True))
        index.note(3, Place(10, 6, False))
        index.note(4, Place(20, 7, True))
        found = {"a": Place(30, 5, True), "b": None, "c": Place(10, 6, False), "d": Place(20, 7, True)}
        assert list(index.places(ordered=True)) == list(found.items())
        assert names_of(index.places(ordered=False)) == ["c", "d", "a", "b"]
        index.note(3, Place(40, 6, True))
        assert names_of(index.places(ordered=False)) == ["d", "a", "c", "b"]
        assert index.answered() == 3


def names_of(places) -> list[str]:
    """Return the names of places."""
    return [name for name, _ in places]


def test_changed():
    """A request whose results were for another body alone is changed; one with a good one is none."""
    with filled("a", "b", "c") as index:
        index.note_changed(1)
        index.note_changed(2)
        index.note_changed(2)
        assert index.changed() == 2
        index.note(2, Place(1, 1, True))
        assert index.changed() == 1


# ---------------------------------------------------------------- keys


def key(given: BatchRequest, meaning: str = MEANINGS["m"]) -> str:
    """Return the key of a request."""
    with filled(given) as index:
        return index.find(given.custom_id).key(meaning)


def test_keys_stay():
    """The key of a request is the same in every version: a journal of last year is believed."""
    assert key(request("a", "Hello", temperature=0.5)) == "d9d8ac78d357f89671997fd5d74bb966"


def test_the_order_of_members_does_not_matter():
    """Two spellings of the same body have one key, at every depth."""
    one = BatchRequest("a", "/v1/x", {"model": "m", "a": {"x": 1, "y": [{"p": 1, "q": 2}]}, "b": 1})
    two = BatchRequest("a", "/v1/x", {"b": 1, "a": {"y": [{"q": 2, "p": 1}], "x": 1}, "model": "m"})

    assert key(one) == key(two)


def test_the_name_of_a_model_does_not_matter():
    """An alias and the id it stands for are one model: what counts is the meaning."""
    assert key(request("a", model="alias")) == key(request("a", model="id"))
    assert key(request("a"), "\nx:1\n2.x") != key(request("a"), "\nx:2\n2.x")
    assert key(request("a"), "\nx:1\n2.x") != key(request("a"), "\nx:1\n1.x")


@pytest.mark.parametrize(
    "other",
    [
        request("a", "other"),
        request("a", "Hello "),
        request("a", "Hello", temperature=0),
        request("a", "Hello", temperature=1),
        request("a", "Hello", seed=None),
        request("a", "Hello", stop=["a", "b"]),
        request("a", "Hello", stop=["b", "a"]),
        BatchRequest("a", EMBEDDINGS, request("a", "Hello").body),
    ],
)
def test_every_change_has_another_key(other):
    """Another prompt, parameter, order of a list or route is another request."""
    assert key(other) != key(request("a", "Hello"))


def test_a_name_is_no_part_of_the_key():
    """The name stands beside the key: the same body under another name has the same one."""
    assert key(request("a", "Hello")) == key(request("b", "Hello"))


def test_any_json_can_be_indexed():
    """Large numbers, deep values and every character come back as they were."""
    value = {"n": 10**40, "f": 1e300, "t": "\u2028\x7f\U0001f600"}
    deep: object = 1
    for _ in range(60):
        deep = [deep]
    given = BatchRequest("a", "/v1/x", {"model": "m", "v": value, "d": deep, "": None})
    with filled(given) as index:
        assert msgspec.json.decode(next(index.pending()).body) == given.body
