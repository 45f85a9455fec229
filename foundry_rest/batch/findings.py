"""What is wrong with the lines of an input, found before anything is sent.

The codes are OpenAI's where it has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from foundry_rest.batch.template import Template
from foundry_rest.errors import ConfigError
from foundry_rest.schema.batch import BatchRequest, Mistake, is_line, mistakes, read_request
from foundry_rest.values import Value


class Finding(Value, msgspec.Struct, frozen=True):
    """One reason why a line cannot be sent.

    Attributes:
        line: Number of the line, from 1; 0 for the whole input.
        code: Kind of the mistake, such as ``"duplicate_custom_id"``.
        message: What is wrong.
    """

    line: int
    code: str
    message: str


class Defaults(msgspec.Struct, frozen=True):
    """What the command line says about rows that are prompts.

    Attributes:
        model: Model of a request that names none.
        params: Parameters of chat, and ``system``.
        template: Template of the prompt, filled with a row's members; ``None`` for the member ``prompt``.
        id_column: Member that is the ``custom_id``; ``""`` for ``line-N``.
    """

    model: str
    params: Mapping[str, object] = {}
    template: Template | None = None
    id_column: str = ""


def check_row(line: int, given: object, defaults: Defaults) -> BatchRequest | list[Finding]:
    """Return the request of one row, or everything that is wrong with it."""
    try:
        row = given if is_line(given) else _short_form(given, defaults)
        found = [Finding(line, *mistake) for mistake in _mistakes(row, defaults)]  # type: ignore[arg-type]
        if found:
            return found
        request = read_request(row, f"line-{line}", defaults.model)
        request.check()
    except ConfigError as error:
        return [Finding(line, "invalid_request", str(error))]
    return request


def _mistakes(row: Mapping[str, object], defaults: Defaults) -> Iterator[Mistake]:
    if is_line(row) and (defaults.params or defaults.template):
        text = "the line has a body of its own: options for prompts do not apply to it"
        yield Mistake("invalid_request", text)
    yield from mistakes(row)


def _short_form(given: object, defaults: Defaults) -> dict[str, object]:
    """Return a row as a short mapping, with the template filled and the options of the command line."""
    row = {"prompt": given} if isinstance(given, str) else dict(given)  # type: ignore[call-overload]
    if defaults.template is not None:
        prompt = defaults.template.fill(row)
        row = {"prompt": prompt, **_named(row, defaults.id_column or "custom_id")}
    elif defaults.id_column:
        named = _named(row, defaults.id_column)
        row = {**{name: value for name, value in row.items() if name != defaults.id_column}, **named}
    return {**defaults.params, **row}


def _named(row: Mapping[str, object], column: str) -> dict[str, object]:
    if column not in row:
        if column == "custom_id":
            return {}
        raise ConfigError(f"there is no column {column!r}; there are: {', '.join(row)}")
    name = row[column]
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        raise ConfigError(f"{column!r} names the request: it must be text or a whole number")
    return {"custom_id": str(name)}
