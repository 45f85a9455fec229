"""Read JSON that a model wrote as a type; what does not fit is said once for logs, once for the model."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from foundry_rest.errors.parsing import UNDECODABLE

T = TypeVar("T")

#: msgspec's sentences that quote the type alone; of any other only what stands before a value is shown.
_QUOTES_THE_TYPE = ("Expected ", "Object missing ", "JSON is ")
_VALUE = re.compile(r" (?=['`\d-]).*", re.DOTALL)


class SchemaMismatch(Exception):
    """Report that a text is not what was asked for.

    Attributes:
        what: What is wrong, without a word of the text.
        where: Path in the text, such as ``$.members[0].age``.
        detail: The same for the model that wrote it; may quote the text.
    """

    def __init__(self, what: str, where: str = "$", detail: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.detail = what, where, detail or what


def read_json(text: str, kind: type[T]) -> T:
    """Return ``text`` read as ``kind``.

    Raises:
        Misfit: It is not JSON, or not of that type.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except UNDECODABLE as error:
        detail, _, path = str(error).partition(" - at ")
        raise SchemaMismatch(_shown(error, detail), path.strip("`") or "$", detail) from None


def _shown(error: Exception, detail: str) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return "it is not whole JSON"
    if error.__cause__ is not None:
        return "the type's own check refuses it"
    return detail if detail.startswith(_QUOTES_THE_TYPE) else _VALUE.sub("", detail)
