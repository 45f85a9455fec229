"""A JSON schema from a file as a type that the client asks a model for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foundry_rest.cli.chat_input import read_text_file
from foundry_rest.errors import ConfigError

_NOT_IN_NAME = re.compile(r"\W+", re.ASCII)


class Mismatch(ValueError):
    """A value that does not fit its schema; it is read as an error of pydantic's is."""

    def __init__(self, kind: str, where: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self._first = {"type": kind, "loc": tuple(where), "msg": message}

    def errors(self) -> list[dict[str, Any]]:
        """Return what does not fit."""
        return [self._first]


def type_from(file: str) -> type[Any]:
    """Return a type with the schema of a file, whose values are plain JSON.

    It has the two methods by which the client knows a pydantic model.

    Raises:
        ConfigError: The file holds no JSON schema, or jsonschema, which checks the answer, is not installed.
    """
    path = Path(file).expanduser()
    try:
        schema = json.loads(read_text_file(path, "the schema"))
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the schema {path} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"the schema {path} must be an object, not {type(schema).__name__}")
    if find_spec("jsonschema") is None:
        raise ConfigError('--schema needs jsonschema, to check the answer: pip install "foundry_rest[cli]"')
    validator = _validator(schema, path)

    def read(text: str) -> object:
        value = json.loads(text)
        for error in validator.iter_errors(value):
            raise Mismatch(str(error.validator), list(error.absolute_path), error.message)
        return value

    name = _NOT_IN_NAME.sub("_", str(schema.get("title") or path.stem)).strip("_") or "answer"
    methods = {
        "model_validate_json": staticmethod(read),
        "model_json_schema": staticmethod(lambda: schema),
    }
    return type(name, (), methods)


def _validator(schema: dict[str, Any], path: Path) -> Any:  # noqa: ANN401 (a class made by jsonschema)
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    for reference in _references(schema):
        if not _leads_somewhere(schema, reference):
            raise ConfigError(f"the schema {path} refers to {reference!r}, which is not in it")
    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"the schema {path} is no JSON schema: {error.message}") from None
    return kind(schema, registry=Registry())  # one that fetches nothing


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _leads_somewhere(schema: object, reference: str) -> bool:
    """Return whether a reference is to a place in the schema, such as ``#/$defs/name``."""
    root, *steps = reference.split("/")
    for step in (each.replace("~1", "/").replace("~0", "~") for each in steps):
        if not isinstance(schema, Mapping) or step not in schema:
            return False
        schema = schema[step]
    return root == "#"
