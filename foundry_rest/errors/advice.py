"""Advice: what to do next, as data with two renderings: in the library's words and in the command's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from typing_extensions import Self


class Words(msgspec.Struct, frozen=True):
    """One sentence in the words of the library and of the command.

    Attributes:
        library: Names arguments and methods.
        command: Names options and commands of ``foundry-rest``; ``None`` for the same words.
        runs: Command that the sentence advises to run; that one does not say it.
    """

    library: str
    command: str | None = None
    runs: str = ""

    @property
    def in_command(self) -> str:
        """Return the sentence in the command's words."""
        return self.library if self.command is None else self.command


class Advice(str):
    """What to do next: as text in the library's words, by ``for_command`` in the command's.

    Args:
        parts: Sentences; a plain text has the same words in both, and advice adds its own sentences.
    """

    __slots__ = ("sentences",)
    sentences: tuple[Words, ...]

    def __new__(cls, *parts: str | Words) -> Self:  # noqa: D102 (the class says it)
        sentences = tuple(_sentences(parts))
        advice = super().__new__(cls, _join(each.library for each in sentences))
        advice.sentences = sentences
        return advice

    def for_command(self, running: str = "") -> str:
        """Return the advice in the words of the command, without what ``running`` itself does."""
        return _join(each.in_command for each in self.sentences if not running or each.runs != running)

    def __reduce__(self) -> tuple[type[Self], tuple[Words, ...]]:
        return type(self), self.sentences


def in_command(text: str, running: str = "") -> str:
    """Return advice in the words of the command, for the command ``running``; a plain text as it is."""
    return text.for_command(running) if isinstance(text, Advice) else text


def _sentences(parts: Iterable[str | Words]) -> Iterable[Words]:
    for part in parts:
        if isinstance(part, Advice):
            yield from part.sentences
        else:
            yield part if isinstance(part, Words) else Words(part)


def _join(sentences: Iterable[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


# ---------------------------------------------------------------- what the error tree advises

LARGER_DEADLINE: str = Advice(
    Words(
        "Give a larger deadline= (FOUNDRY_DEADLINE), a smaller max_tokens, or a smaller model.",
        "Give a larger --deadline (FOUNDRY_DEADLINE), a smaller --max-tokens, or a smaller model.",
    )
)
CHECK_SERVICE: str = Advice(
    Words("Check that the service runs: foundry-rest health.", runs="health"),
    Words("Start one: foundry-rest serve.", runs="serve"),
)
LARGER_TIMEOUT: str = Advice(
    Words(
        "If the service is only slow, give a larger timeout= (FOUNDRY_TIMEOUT).",
        "If the service is only slow, give a larger --timeout (FOUNDRY_TIMEOUT).",
    )
)
ASK_AGAIN: str = Advice(
    Words(
        "The text so far is in error.text; ask again for a whole answer.",
        "Ask again for a whole answer.",
    )
)
SHORTEN: str = Advice(
    Words(
        "Lower max_tokens (max_output_tokens) or shorten the messages.",
        "Give a smaller --max-tokens or a shorter prompt.",
    )
)
GIVE_KEY: str = Advice(Words("Give api_key= (FOUNDRY_API_KEY) or auth=.", "Set FOUNDRY_API_KEY."))
KEY_WAS_KEPT: str = Advice(
    "FOUNDRY_API_KEY was not sent: it cannot be seen whose service this is.",
    Words("Name it: base_url= (FOUNDRY_ENDPOINT).", "Name it: --url (FOUNDRY_ENDPOINT)."),
)
SLOW_DOWN: str = Advice(
    Words(
        "Wait error.retry_after seconds or lower the number of parallel calls.",
        "Wait a while, or run fewer commands at a time.",
    )
)
SEE_LOG: str = Advice(
    "The service's own log tells more.",
    Words("Whether it still answers is told by: foundry-rest health.", runs="health"),
)
