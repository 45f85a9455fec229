"""What is wrong with the lines of an input, found before anything is sent.

The codes are OpenAI's where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from foundry_rest.batch.template import Template
from foundry_rest.errors import ConfigError
from foundry_rest.schema.batch import LINE, MAX_ID, BatchRequest, read_request, route_of
from foundry_rest.values import Value

#: Members that carry a key, or lead a request elsewhere; their values are never shown.
_CREDENTIAL = re.compile(
    r"(x[-_])?api[-_]?(key|token|base)|base[-_]?url|authorization|cookie|(extra[-_]?)?headers|credentials?"
    r"|password|secret|bearer|(access|auth|bearer|id|refresh|secret|session)[-_]?(token|key)"
    r"|[a-z]+[-_](secret|access|api|session)[-_]?(access[-_]?)?(key|token)([-_]id)?|organization",
    re.IGNORECASE,
)


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
    is_line = isinstance(given, Mapping) and not given.keys().isdisjoint(("body", "url", "method"))
    found = list(_check_line(line, given, defaults)) if is_line else []  # type: ignore[arg-type]
    if found:
        return found
    try:
        request = read_request(
            given if is_line else _short_form(given, defaults), f"line-{line}", defaults.model
        )
        request.check()
        found = [] if is_line else list(_check_body(line, request.body))
    except ConfigError as error:
        return [Finding(line, "invalid_request", str(error))]
    return found or request


def _check_line(line: int, given: Mapping[str, object], defaults: Defaults) -> Iterator[Finding]:
    """Yield what is wrong with one of OpenAI's lines, apart from the parameters in its body."""
    if defaults.params or defaults.template:
        text = "the line has a body of its own: options for prompts do not apply to it"
        yield Finding(line, "invalid_request", text)
    name = given.get("custom_id")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ID:
        text = f"custom_id must be text of 1 to {MAX_ID} characters"
        yield Finding(line, "missing_required_parameter", text)
    for member in given:
        if _CREDENTIAL.fullmatch(member):
            yield _credential(line, member)
        elif member not in LINE:
            # What is no name may be a key that slipped in.
            shown = repr(member) if member.isidentifier() else "of such a name"
            yield Finding(line, "unknown_parameter", f"a line has no member {shown}; it has {_MEMBERS}")
    if route_of(given.get("url")) is None:
        text = "url must be /v1/chat/completions, /v1/responses or /v1/embeddings"
        yield Finding(line, "url_mismatch", text)
    if given.get("method", "POST") != "POST":
        yield Finding(line, "invalid_method", "method must be POST")
    body = given.get("body")
    if isinstance(body, Mapping):
        yield from _check_body(line, body)
    else:
        yield Finding(line, "missing_required_parameter", "body must be an object")


def _check_body(line: int, body: Mapping[str, object]) -> Iterator[Finding]:
    if body.get("stream"):
        text = "stream: true makes no sense in a batch: each answer is written as a whole"
        yield Finding(line, "invalid_stream", text)
    for member in body:
        if _CREDENTIAL.fullmatch(member):
            yield _credential(line, member)


def _credential(line: int, member: str) -> Finding:
    text = f"{member!r} does not belong into a file: give the key by FOUNDRY_API_KEY"
    return Finding(line, "credentials_in_body", text)


_MEMBERS = ", ".join(LINE)


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
