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
#: Address under which a schema's references are looked up.
_WHOLE = "urn:schema"
#: A value of each kind: a reference that leads to itself does so for one of them.
_ONE_OF_EACH: tuple[object, ...] = (None, True, 0, "", [], {})


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
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the schema {path} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"the schema {path} must be an object, not {type(schema).__name__}")
    if find_spec("jsonschema") is None:
        raise ConfigError('--schema needs jsonschema, to check the answer: pip install "foundry_rest[cli]"')
    try:
        validator = _validator(schema, path)
    except RecursionError:
        raise ConfigError(f"the schema {path} is nested too deeply") from None

    def read(text: str) -> object:
        try:
            value = json.loads(text)
            for error in validator.iter_errors(value):
                raise Mismatch(str(error.validator), list(error.absolute_path), error.message)
        except RecursionError:
            raise Mismatch("nested too deeply", (), "it is nested too deeply") from None
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

    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigError(f"the schema {path} is no JSON schema: {error.message}") from None
    _check_references(schema, path, kind)
    return kind(schema, registry=Registry())  # one that fetches nothing


def _check_references(schema: dict[str, Any], path: Path, kind: Any) -> None:  # noqa: ANN401
    """Raise ConfigError for a reference that leads out of the schema, or to itself and so nowhere."""
    from referencing import Registry, Resource
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    whole = Resource.from_contents(schema, default_specification=DRAFT202012)
    registry = Registry().with_resource(_WHOLE, whole)
    for reference in _references(schema):
        there = kind({"$ref": f"{_WHOLE}{reference}"}, registry=registry)
        try:
            for value in _ONE_OF_EACH:
                there.is_valid(value)
        except Unresolvable:
            raise ConfigError(f"the schema {path} refers to {reference!r}, which is not in it") from None
        except RecursionError:
            raise ConfigError(f"in the schema {path} {reference!r} leads to itself without an end") from None


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
