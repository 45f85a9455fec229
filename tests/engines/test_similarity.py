"""The nearest vectors with numpy: those that Python itself finds, in the same order."""

from __future__ import annotations

import random

from support.engines import needs

from foundry_rest import EmbeddingReply
from foundry_rest.schema import similarity

pytestmark = needs("numpy")


def test_the_same_as_by_hand(monkeypatch):
    """Also of texts that are there twice, whose scores differ in the last digit by the order of a sum."""
    chance = random.Random(7)
    vectors = [[chance.gauss(0, 1) for _ in range(384)] for _ in range(500)]
    vectors += [[2 * x for x in vector] for vector in vectors[:200]] + [[], [0.0] * 384]
    reply, query = EmbeddingReply(vectors=vectors), [chance.gauss(0, 1) for _ in range(384)]
    with_numpy = reply.top(query, 100)
    monkeypatch.setattr(similarity, "find_spec", lambda name: None)

    assert [match.index for match in with_numpy] == [match.index for match in reply.top(query, 100)]
