"""Structured output: a type's JSON schema, the instruction for the model, and the decoder of its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.schema.decoding import SchemaMismatch, read_json

T = TypeVar("T")

#: Options for the constrained decoder of 2.x (llguidance). "lenient": it ignores keywords and formats that
#: it does not support, because the text is checked here anyway. The others allow only JSON's usual white
#: space: else small models write line feeds until max_tokens ends them (docs/reference/service.md, section
#: 7.3).
#: https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md
GUIDANCE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Structure(msgspec.Struct, Generic[T], frozen=True):
    """Everything that is needed to request a value of one type.

    Attributes:
        name: The type's name.
        schema: Its JSON schema.
        read: Decodes a text into the value, or raises ``SchemaMismatch``.
    """

    name: str
    schema: Mapping[str, object]
    read: Callable[[str], T]

    @property
    def guided_format(self) -> dict[str, object]:
        """Return the ``response_format`` for 2.x, with the options of its decoder."""
        return self._format({**self.schema, "x-guidance": GUIDANCE})

    @property
    def strict_format(self) -> dict[str, object]:
        """Return the ``response_format`` for other servers, in the part of JSON schema OpenAI takes."""
        return self._format(strict(self.schema))

    @property
    def instruction(self) -> str:
        """Return the instruction that asks the model for the same in words."""
        schema = msgspec.json.encode(self.schema).decode()
        return f"Answer with JSON alone, no other text, that conforms to this JSON schema: {schema}"

    def _format(self, schema: Mapping[str, object]) -> dict[str, object]:
        return {"type": "json_schema", "json_schema": {"name": self.name, "schema": schema, "strict": True}}


def structure_of(kind: type[T]) -> Structure[T]:
    """Return the structure of a type: a pydantic model, or any type that msgspec can decode.

    Raises:
        ConfigError: The type has no JSON schema.
    """
    name = getattr(kind, "__name__", "answer")
    is_pydantic = hasattr(kind, "model_validate_json") and hasattr(kind, "model_json_schema")
    try:
        schema = kind.model_json_schema() if is_pydantic else msgspec.json.schema(kind)  # type: ignore[attr-defined]
    except (TypeError, ValueError, RuntimeError, NameError) as error:
        # msgspec ends with the type to blame, pydantic with a link.
        what = str(error).split("\n\n")[0 if is_pydantic else -1] or type(error).__name__
        raise ConfigError(f"response_model {name} cannot be said in a JSON schema: {what}") from error
    read = _read_pydantic if is_pydantic else read_json
    return Structure(_NOT_IN_NAME.sub("_", name)[:64], closed(schema), lambda text: read(text, kind))


def closed(schema: Mapping[str, object]) -> dict[str, object]:
    """Return a schema whose objects allow no additional properties, unless they state it themselves.

    JSON schema allows any by default, and a model that may write more keys often does not stop.
    """
    result: dict[str, object] = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        result.setdefault("additionalProperties", False)
    return result


def strict(schema: Mapping[str, object]) -> dict[str, object]:
    """Return a closed schema without a reference at its root and without defaults, all properties required.

    OpenAI's own servers refuse any other: https://platform.openai.com/docs/guides/structured-outputs
    """
    reference = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    definitions = schema.get("$defs")
    if reference and isinstance(definitions, Mapping):
        schema = {**definitions[reference], "$defs": definitions}
    return _strict(schema)


def _strict(schema: Mapping[str, object]) -> dict[str, object]:
    result = {key: _strict_value(key, value) for key, value in schema.items() if key != "default"}
    if isinstance(properties := schema.get("properties"), Mapping):
        result["required"] = list(properties)
    return result


def _strict_value(keyword: str, value: object) -> object:
    """Return the value of a keyword; the keys within ``properties`` and ``$defs`` are the caller's names."""
    if isinstance(value, Mapping):
        if keyword in ("properties", "$defs"):
            return {name: _strict_value("", schema) for name, schema in value.items()}
        return _strict(value)
    return [_strict_value("", item) for item in value] if isinstance(value, (list, tuple)) else value


def _closed(value: object) -> object:
    if isinstance(value, Mapping):
        return closed(value)
    return [_closed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _read_pydantic(text: str, kind: type[T]) -> T:
    try:
        return kind.model_validate_json(text)  # type: ignore[attr-defined,no-any-return]
    except ValueError as error:
        raise _first_mismatch(error) from None


def _first_mismatch(error: ValueError) -> SchemaMismatch:
    """Return the first error that pydantic lists; only its type is sure not to quote the text."""
    listed = getattr(error, "errors", None)
    first = listed()[0] if listed is not None else {}
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first.get("loc", ()))
    return SchemaMismatch(
        str(first.get("type", "invalid")).replace("_", " "), f"${path}", first.get("msg", "")
    )
