"""The nearest vectors: by cosine, in the same order with numpy and without."""

from __future__ import annotations

import math
import random
import sys

import pytest

from foundry_rest import ConfigError, EmbeddingReply
from foundry_rest.schema import similarity


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    """Leave numpy out, wherever it is."""
    monkeypatch.setattr(similarity, "find_spec", lambda name: None)


def test_the_nearest():
    """The first is the one of the same direction, however long; the last the opposite one."""
    reply = EmbeddingReply(vectors=[[-1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [1.0, 1.0]])
    found = reply.top([5.0, 0.0], 4)
    assert [match.index for match in found] == [2, 3, 1, 0]
    assert [match.score for match in found] == pytest.approx([1.0, math.sqrt(0.5), 0.0, -1.0])
    assert [match.index for match in reply.top([5.0, 0.0], 2)] == [2, 3]
    assert [match.index for match in reply.top(EmbeddingReply(vectors=[[5.0, 0.0]]), 1)] == [2]


def test_equally_near_ones():
    """The earlier text comes first."""
    reply = EmbeddingReply(vectors=[[1.0, 2.0], [2.0, 4.0], [1.0, 2.0]])
    assert [match.index for match in reply.top([3.0, 6.0], 3)] == [0, 1, 2]


def test_texts_without_a_vector():
    """Those that failed are left out; a vector of zeros is near to nothing."""
    reply = EmbeddingReply(vectors=[[], [0.0, 0.0], [1.0, 0.0]])
    assert [(match.index, match.score) for match in reply.top([1.0, 0.0], 5)] == [(2, 1.0), (1, 0.0)]
    assert EmbeddingReply(vectors=[[]]).top([1.0], 1) == []


@pytest.mark.parametrize(("query", "k"), [([1.0], 1), ([1.0, 2.0], 0), ([1.0, 2.0], 1.5)])
def test_wrong_arguments(query, k):
    """A vector of another model, or no number, is refused."""
    with pytest.raises(ConfigError):
        EmbeddingReply(vectors=[[1.0, 2.0]]).top(query, k)


def test_numpy_is_not_needed():
    """Nothing of it is imported without it."""
    before = "numpy" in sys.modules
    EmbeddingReply(vectors=[[1.0]]).top([1.0])
    assert ("numpy" in sys.modules) == before


def test_a_random_order():
    """It is that of the exact cosines."""
    chance = random.Random(3)
    vectors = [[chance.gauss(0, 1) for _ in range(16)] for _ in range(300)]
    query = [chance.gauss(0, 1) for _ in range(16)]

    def cosine(vector):
        product = math.fsum(one * two for one, two in zip(vector, query, strict=True))
        return product / math.sqrt(math.fsum(x * x for x in vector) * math.fsum(x * x for x in query))

    expected = sorted(range(300), key=lambda n: -cosine(vectors[n]))[:20]
    assert [match.index for match in EmbeddingReply(vectors=vectors).top(query, 20)] == expected
