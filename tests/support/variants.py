"""Some of a test's many variants, where it is run in full elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

#: Variants of one test that are run: the rule is what may differ between systems and versions of Python.
VARIANTS = 3


def sample(names: Sequence[str]) -> set[int]:
    """Return which tests are run: of each test, by the name without its variant, some from first to last."""
    variants: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        variants.setdefault(name.partition("[")[0], []).append(number)
    taken = set()
    for numbers in variants.values():
        step = max(1.0, (len(numbers) - 1) / (VARIANTS - 1))
        taken |= {numbers[round(step * each)] for each in range(min(VARIANTS, len(numbers)))}
    return taken
