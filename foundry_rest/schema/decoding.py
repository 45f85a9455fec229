"""Decode JSON that a model wrote; describe a mismatch for logs, without the text, and for the model."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from foundry_rest.raw_json import UNDECODABLE

T = TypeVar("T")

#: What is wrong with a text that is no JSON at all.
NOT_JSON = "it is not whole JSON"

#: Messages of msgspec that begin like this name only types; any other is cut before the value it quotes.
_NAMES_TYPES_ONLY = ("Expected ", "Object missing ", "JSON is ")
_VALUE = re.compile(r" (?=['`\d-]).*", re.DOTALL)


class SchemaMismatch(Exception):
    """The mismatch between a text and the type it was to be decoded as.

    Attributes:
        what: The reason, without quoting the text.
        where: Path in the text, such as ``$.members[0].age``.
        detail: The reason for the model that wrote the text; may quote it.
    """

    def __init__(self, what: str, where: str = "$", detail: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.detail = what, where, detail or what


class Refusal(SchemaMismatch):
    """The words with which a caller's own check refused a value; they are for logs and the model alike."""

    def __init__(self, words: str) -> None:
        super().__init__(words, "")


def read_json(text: str, kind: type[T]) -> T:
    """Return ``text`` decoded as ``kind``.

    Raises:
        SchemaMismatch: It is not JSON, or not of that type.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except UNDECODABLE as error:
        detail, _, path = str(error).partition(" - at ")
        raise SchemaMismatch(_without_text(error, detail), path.strip("`") or "$", detail) from None


def _without_text(error: Exception, detail: str) -> str:
    """Return msgspec's message without anything that it quotes from the text."""
    if not isinstance(error, msgspec.ValidationError):
        return NOT_JSON
    if error.__cause__ is not None:
        return "the type's own check refuses it"
    return detail if detail.startswith(_NAMES_TYPES_ONLY) else _VALUE.sub("", detail)
