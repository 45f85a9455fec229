"""A type as the shape of an answer: its JSON schema, what a model is told, and how its text is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.schema.decoding import SchemaMismatch, read_json

T = TypeVar("T")

#: How the decoder of 2.x (llguidance) is to follow the schema: it ignores keywords and formats it lacks,
#: because the answer is checked here all the same, and it allows JSON's usual white space alone. Small
#: models else write line feeds until max_tokens ends them (measured on 2.2.1).
#: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
GUIDANCE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
_FENCE = re.compile(r"```\w*\s*\n(.*?)```", re.DOTALL)
_OBJECT_OR_ARRAY = re.compile(r"[{\[].*[}\]]", re.DOTALL)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Structure(msgspec.Struct, Generic[T], frozen=True):
    """Hold what is needed to ask for an answer of one type.

    Attributes:
        name: The type's name.
        schema: Its JSON schema.
        read: Returns the value in a text, or raises ``SchemaMismatch``.
    """

    name: str
    schema: Mapping[str, object]
    read: Callable[[str], T]

    @property
    def response_format(self) -> dict[str, object]:
        """Return what makes a service write nothing else, in OpenAI's spelling."""
        schema = {**self.schema, "x-guidance": GUIDANCE}
        wrapper = {"name": self.name, "schema": schema, "strict": True}
        return {"type": "json_schema", "json_schema": wrapper}

    @property
    def instruction(self) -> str:
        """Return what tells a model the same in words."""
        schema = msgspec.json.encode(self.schema).decode()
        return f"Answer with JSON alone, no other text, that conforms to this JSON schema: {schema}"


def structure_of(kind: type[T]) -> Structure[T]:
    """Return the structure of a type: a pydantic model, or anything msgspec can read.

    Raises:
        ConfigError: The type cannot be said in a JSON schema.
    """
    name = getattr(kind, "__name__", "answer")
    is_pydantic = hasattr(kind, "model_validate_json") and hasattr(kind, "model_json_schema")
    try:
        schema = kind.model_json_schema() if is_pydantic else msgspec.json.schema(kind)  # type: ignore[attr-defined]
    except (TypeError, ValueError, RuntimeError, NameError) as error:
        what = type(error).__name__
        raise ConfigError(f"response_model {name} cannot be said in a JSON schema: {what}") from error
    read = _read_pydantic if is_pydantic else read_json
    return Structure(_NOT_IN_NAME.sub("_", name)[:64], closed(schema), lambda text: read(text, kind))


def closed(schema: Mapping[str, object]) -> dict[str, object]:
    """Return a schema whose objects allow no keys beyond their properties, unless they say so.

    JSON schema allows any, and a model that may write more keys often does not stop.
    """
    done: dict[str, object] = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        done.setdefault("additionalProperties", False)
    return done


def _closed(value: object) -> object:
    if isinstance(value, Mapping):
        return closed(value)
    return [_closed(item) for item in value] if isinstance(value, (list, tuple)) else value


def find_json(text: str) -> str:
    """Return the JSON in an answer that was asked for in words: without its fence, or the prose around it."""
    fenced = _FENCE.search(text)
    inner = fenced[1] if fenced else text
    found = _OBJECT_OR_ARRAY.search(inner)
    return (found[0] if found else inner).strip()


def _read_pydantic(text: str, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(text)  # type: ignore[attr-defined,no-any-return]
    except ValueError as error:
        raise _misfit(error) from None


def _misfit(error: ValueError) -> SchemaMismatch:
    """Return the first of the errors that pydantic lists; its type alone never quotes the text."""
    listed = getattr(error, "errors", None)
    first = listed()[0] if listed is not None else {}
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first.get("loc", ()))
    return SchemaMismatch(
        str(first.get("type", "invalid")).replace("_", " "), f"${path}", first.get("msg", "")
    )
