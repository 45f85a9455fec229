"""Which model a name means, and what loading an alias reveals."""

from __future__ import annotations

import pytest

from foundry_rest.errors import ModelNotFound
from foundry_rest.models.names import best_match, loaded_as, near_names, suggest
from foundry_rest.schema import ModelInfo
from foundry_rest.services.target import LearnedNames


def model(id: str, alias: str = "phi-4", device: str = "CPU", *, cached: bool | None = None) -> ModelInfo:
    """Return a model with the usual parts of its id."""
    name, _, version = id.partition(":")
    return ModelInfo(id=id, alias=alias, name=name, version=version, device=device, cached=cached)


CPU1, CPU10, CPU9 = model("phi-4-generic-cpu:1"), model("phi-4-generic-cpu:10"), model("phi-4-generic-cpu:9")
GPU = model("phi-4-cuda-gpu:1", device="GPU")
NPU = model("phi-4-qnn-npu:1", device="npu")
MINI = model("Phi-4-mini-instruct-generic-cpu:5", "phi-4-mini")


@pytest.mark.parametrize(
    ("name", "models", "best"),
    [
        ("phi-4", [CPU1, GPU, NPU], NPU),
        ("phi-4", [CPU1, GPU], GPU),
        ("phi-4", [CPU1, CPU9, CPU10], CPU10),
        ("phi-4-generic-cpu", [CPU9, CPU10, GPU], CPU10),
        ("phi-4-generic-cpu:1", [CPU10, CPU1], CPU1),
        ("PHI-4", [MINI, CPU1], CPU1),
        (
            "phi-4",
            [model("a-gpu:1", device="GPU", cached=False), model("a:1", cached=True)],
            model("a:1", cached=True),
        ),
        ("phi-4", [model("a:x", device=""), CPU1], CPU1),
        ("phi-4", [MINI], None),
        ("phi", [CPU1], None),
        ("phi-4", [], None),
    ],
)
def test_best_match(name, models, best):
    """Exact id first, then what is on disk, the fastest device, the newest version."""
    assert best_match(name, models) == best


@pytest.mark.parametrize(
    ("name", "word", "before", "after", "id"),
    [
        ("phi-4", "loaded", [], ["x-generic-cpu:1"], "x-generic-cpu:1"),
        ("phi-4", "loaded", ["y:1"], ["y:1", "x-generic-cpu:1"], "x-generic-cpu:1"),
        # Another thread loaded its model meanwhile: ours is among the new ones, or was there already.
        ("phi-4", "loaded", [], [CPU1.id, "y-generic-cpu:1"], CPU1.id),
        ("phi-4", "already_loaded", [CPU1.id], [CPU1.id, "y-generic-cpu:1"], CPU1.id),
        ("phi-4", "already_loaded", [], [CPU1.id, MINI.id], CPU1.id),
        ("phi-4-mini", "already_loaded", [], [CPU1.id, MINI.id], MINI.id),
        ("phi-4", "already_loaded", ["x:1"], ["x:1"], "x:1"),
        ("phi-4-generic-cpu:1", "already_loaded", [], [MINI.id, CPU1.id], CPU1.id),
        # Nothing fits, or two do: better no answer than another model's.
        ("phi-4", "already_loaded", [], ["x:1", "y:1"], None),
        ("phi-4", "already_loaded", [], [CPU1.id, GPU.id], None),
        ("phi-4", "already_loaded", [], ["phi-40-generic-cpu:1", "y:1"], None),
        ("phi-4", "loaded", [], [], None),
    ],
)
def test_loaded_as(name, word, before, after, id):
    """The service's word, what is new in memory, and the names tell which id an alias became."""
    assert loaded_as(name, word, before, after) == id


def test_near_names():
    """Near misses are offered as aliases and ids; three at most, none for a stranger."""
    models = [CPU1, GPU, MINI, ModelInfo(id="other:1")]

    assert near_names("phi4", models)[0] == "phi-4"
    assert near_names("PHI4", models)[0] == "phi-4"
    assert near_names("ohter:1", models) == ("other:1",)
    assert near_names("zzz", models) == ()
    assert len(near_names("phi-4-generic", models)) <= 3


def test_names_are_learnt_both_ways():
    """What was learnt is known by the spelling asked for, by the id, and by the alias when it was that."""
    names = LearnedNames()
    names.learn("PHI-4", CPU1)
    names.learn(CPU9.id, CPU9)

    assert [names.id_of(name) for name in ("PHI-4", "phi-4", CPU1.id)] == [CPU1.id] * 3
    assert names.id_of(CPU9.id) == CPU9.id
    assert (names.id_of("other"), names.get("other")) == ("other", None)


@pytest.mark.parametrize(
    ("served", "advice"),
    [
        (["qwen"], "It serves qwen."),
        (["b", "a", "b"], "It serves a, b."),
        (list("abcdefg"), "It serves a, b, c, d, e and 2 more: list them with client.models.list() or"),
        ([], "List the names it knows"),
        (["phi-4"], "Did you mean phi-4"),
    ],
)
def test_a_service_that_serves_others(served, advice):
    """A name without a near one is answered with what there is, as far as it is short."""
    error = ModelNotFound("no", model="phi-4-mini")
    suggest(error, [model(f"{alias}-generic-cpu:{at}", alias) for at, alias in enumerate(served)])

    assert error.advice.startswith(advice)


@pytest.mark.parametrize(
    ("alias", "advice"),
    [
        ("phi-4", "takes another name here: give 'phi-4'."),
        ("", "takes a model's alias here, which may be 'phi-4'."),
    ],
)
def test_an_id_that_is_listed_and_not_understood(alias, advice):
    """The advice names what the service understands in its place, also where it lists no aliases."""
    error = ModelNotFound("no", model="phi-4-generic-cpu:1")
    suggest(error, [model("phi-4-generic-cpu:1", alias)])

    assert error.advice.endswith(advice)
