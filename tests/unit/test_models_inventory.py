"""What the service lists, what its files tell, and what lies in memory, put together."""

from __future__ import annotations

import pytest

from foundry_rest.models.inventory import describe, mark
from foundry_rest.models.names import best_match, same_model
from foundry_rest.schema import ModelInfo


def model(id: str, **facts) -> ModelInfo:
    """Return a model with the parts of its id."""
    name, _, version = id.partition(":")
    return ModelInfo(id=id, name=name, version=version, **facts)


#: As 1.x lists: what is cached, by name alone, with its alias.
LISTED = model("phi-generic-cpu", alias="phi", cached=True)
OLD = model("phi-generic-cpu:1", device="CPU", cached=True)
NEW = model("phi-generic-cpu:2", device="CPU", cached=False)
ABSENT = model("qwen-generic-cpu:1", alias="qwen", cached=False)


def ids(models):
    """Return the ids."""
    return [info.id for info in models]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a:1", "A:1", True),
        ("a", "a:1", True),
        ("A:1", "a", True),
        ("a:1", "a:2", False),
        ("a", "ab:1", False),
        ("a", "b", False),
    ],
)
def test_same_model(one, other, same):
    """Case does not count, and one side may lack the version; two versions are two models."""
    assert same_model(one, other) is same


@pytest.mark.parametrize(
    ("listed", "details", "named", "found"),
    [
        # 2.x: bare ids of the whole catalog; the file adds nothing that is not listed.
        ([model("a:1")], [model("a:1", alias="x"), model("b:1")], [], ["a:1"]),
        # 1.x: the list is what is cached, without versions; the file has the rest of the catalog.
        ([LISTED], [OLD, NEW, ABSENT], [], ["phi-generic-cpu:1", "phi-generic-cpu:2", "qwen-generic-cpu:1"]),
        ([LISTED], [NEW, OLD], ["phi-generic-cpu:2"], ["phi-generic-cpu:2", "phi-generic-cpu:1"]),
        # 1.x on another machine: what is in memory tells the version.
        ([LISTED], [], ["phi-generic-cpu:7"], ["phi-generic-cpu:7"]),
        ([LISTED], [], [], ["phi-generic-cpu"]),
        # The catalog is out of reach: what the file remembers is better than nothing.
        ([], [OLD], [], ["phi-generic-cpu:1"]),
        # Put there by hand, in no catalog.
        ([model("a:1")], [], ["a:1", "mine:3", "mine:3"], ["a:1", "mine:3"]),
    ],
)
def test_describe(listed, details, named, found):
    """Listed first, with details; then what only the file or the memory knows, each once."""
    assert ids(describe(listed, details, named=named)) == found


def test_details_are_filled_in():
    """The alias comes from where it is told, the rest from the catalog file."""
    (info, *_) = describe([LISTED], [OLD])

    assert (info.alias, info.device, info.version, info.cached) == ("phi", "CPU", "1", True)


@pytest.mark.parametrize(
    ("loaded", "cached", "expected"),
    [
        ([], None, (False, None)),
        ([], [], (False, False)),
        (["A"], [], (True, True)),
        ([], ["a:1"], (False, True)),
        (["a:2"], ["a:2"], (False, False)),
    ],
)
def test_mark(loaded, cached, expected):
    """What is in memory is on the disk; what nobody tells stays unknown."""
    info = mark(model("a:1"), loaded, cached)

    assert (info.loaded, info.cached) == expected


def test_a_device_is_chosen():
    """Only variants for the device count, in any case."""
    gpu = model("phi-cuda-gpu:1", alias="phi", device="GPU")
    cpu = model("phi-generic-cpu:1", alias="phi", device="CPU")

    assert best_match("phi", [cpu, gpu]) is gpu
    assert best_match("phi", [cpu, gpu], "CPU") is cpu
    assert best_match("phi", [cpu, gpu], "NPU") is None
    assert best_match("phi-cuda-gpu:1", [cpu, gpu], "CPU") is None


def test_any_version_where_none_is_told():
    """1.x on another machine lists names alone, and takes an id with a version."""
    assert model("phi-generic-cpu").has_name("PHI-generic-cpu:3")
    assert not model("phi-generic-cpu:1").has_name("phi-generic-cpu:3")
