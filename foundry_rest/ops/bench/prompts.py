"""Prompts made from a seed, all different, and of a length that was measured on the model's own tokenizer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count, cycle, islice

import msgspec

from foundry_rest.ops.bench.settings import BenchSettings

_TASK = "Write a long story in which these words occur."
#: Common words, one token each in most vocabularies, so that a guess without a tokenizer is near.
_WORDS = """
apple river stone lamp garden winter music paper window bridge ocean silver forest engine
letter market story doctor summer mountain coffee planet castle farmer circle button camera
dragon field glass horse island kitchen ladder mirror needle orange pencil queen road school
table uncle valley wheel yellow bread cloud door eagle flower ghost hammer iron jacket king
leaf moon night office piano rain ship train
""".split()  # noqa: SIM905 (a table of 60 quoted words is hard to read)


class Length(msgspec.Struct, frozen=True):
    """How many tokens the service counts for a prompt: ``base`` and ``per_word`` for each word."""

    base: float = 0.0
    per_word: float = 1.0

    @classmethod
    def between(cls, shorter: tuple[int, int], longer: tuple[int, int]) -> Length:
        """Return the length by the (words, tokens) of two prompts.

        Counts that cannot be, such as those of a service that tells none, leave a token for each word.
        """
        if not 0 < shorter[1] < longer[1]:
            return cls()
        per_word = (longer[1] - shorter[1]) / (longer[0] - shorter[0])
        return cls(shorter[1] - per_word * shorter[0], per_word)

    def words_for(self, tokens: int) -> int:
        """Return how many words make a prompt of about so many tokens."""
        return max(1, round((tokens - self.base) / self.per_word))


class Prompts:
    """The prompts of a bench, one after the other; the same settings give the same ones."""

    def __init__(self, settings: BenchSettings) -> None:
        self.length = Length()
        self._settings = settings
        self._numbers = count()
        self._given = cycle(settings.prompts)

    def take(self, number: int) -> list[str]:
        """Return the next so many prompts."""
        if self._settings.prompts:
            return list(islice(self._given, number))
        words = self.length.words_for(self._settings.prompt_tokens)
        return [prompt_of(f"{self._settings.seed}-{next(self._numbers)}", words) for _ in range(number)]


def prompt_of(seed: str, words: int, vocabulary: Sequence[str] = _WORDS) -> str:
    """Return the prompt of a seed; its first words differ from others', so that no service knows them."""
    drawn = random.Random(seed).choices(vocabulary, k=words)  # noqa: S311 (no secret)
    return f"{' '.join(drawn)}. {_TASK}"
