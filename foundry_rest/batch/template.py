"""Templates of prompts: text with the names of columns in braces."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from string import Formatter

from foundry_rest.errors import ConfigError


class Template:
    """A text such as ``"Summarise: {text}"``; ``{{`` and ``}}`` stand for the braces themselves.

    Args:
        text: The template.

    Attributes:
        fields: The names in it, in their order.

    Raises:
        ConfigError: A brace is left open, or something other than a name is in them.
    """

    def __init__(self, text: str) -> None:
        try:
            self._parts = [(before, field) for before, field, _, _ in _checked(text)]
        except ValueError as error:
            raise ConfigError(f"the template of the prompt cannot be read: {error}") from None
        self.fields = tuple(field for _, field in self._parts if field is not None)

    def check(self, columns: Collection[str]) -> None:
        """Raise ConfigError if a name is none of the columns."""
        missing = next((field for field in self.fields if field not in columns), None)
        if missing is not None:
            raise ConfigError(f"there is no column {missing!r}; there are: {', '.join(columns)}")

    def fill(self, row: Mapping[str, object]) -> str:
        """Return the text with the row's values in place of the names."""
        self.check(row)
        return "".join(
            before + ("" if field is None else _shown(row[field])) for before, field in self._parts
        )


def _checked(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    parts = list(Formatter().parse(text))
    for _, field, form, conversion in parts:
        if field is not None and (not field or form or conversion):
            raise ValueError("braces hold the name of a column alone; {{ and }} are the braces themselves")
    if not any(field for _, field, _, _ in parts):
        raise ValueError("it names no column in braces")
    return parts


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
