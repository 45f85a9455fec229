"""Which vectors are nearest to another one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from foundry_rest.checks import whole_number
from foundry_rest.errors import ConfigError
from foundry_rest.schema.embeddings import Match

#: Digits of a score that count: sums in another order differ in the sixteenth, and must not change the order.
_DIGITS = 12


def nearest(vectors: Sequence[Sequence[float]], query: Sequence[float], k: int) -> list[Match]:
    """Return the ``k`` vectors nearest to another one by their cosine; empty ones are left out.

    Raises:
        ConfigError: The vectors are of another length, or ``k`` is no whole number above 0.
    """
    whole_number("k", k, 1)
    places = [index for index, vector in enumerate(vectors) if len(vector)]
    if any(len(vectors[index]) != len(query) for index in places):
        raise ConfigError("the query's vector is of another length: another model made it")
    if not places:
        return []
    given = [vectors[index] for index in places]
    scores = _by_numpy(given, query) if find_spec("numpy") else list(_by_hand(given, query))
    found = [Match(index, round(score, _DIGITS)) for index, score in zip(places, scores, strict=True)]
    return sorted(found, key=lambda match: (-match.score, match.index))[:k]


def _by_hand(vectors: Sequence[Sequence[float]], query: Sequence[float]) -> Iterator[float]:
    length = math.hypot(*query)
    for vector in vectors:
        product = length * math.hypot(*vector)
        yield sum(map(lambda one, two: one * two, vector, query)) / product if product else 0.0


def _by_numpy(vectors: Sequence[Sequence[float]], query: Sequence[float]) -> list[float]:
    import numpy as np

    matrix, wanted = np.asarray(vectors, dtype=float), np.asarray(query, dtype=float)
    products = np.linalg.norm(matrix, axis=1) * np.linalg.norm(wanted)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: list[float] = np.where(products > 0, matrix @ wanted / products, 0.0).tolist()
    return scores
