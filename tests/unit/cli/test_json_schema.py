"""`--schema`: what is a schema, and that an answer is checked by all of it."""

from __future__ import annotations

import json

import pytest
from support.platforms import schemas

from foundry_rest.cli import json_schema
from foundry_rest.cli.json_schema import type_from
from foundry_rest.errors import ConfigError
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.structure import structure_of

SCHEMA = {
    "title": "A person!",
    "type": "object",
    "properties": {"age": {"$ref": "#/$defs/age"}},
    "required": ["age"],
    "$defs": {"age": {"type": "integer", "maximum": 150}},
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a schema and gives its path as text."""

    def make(schema):
        path = tmp_path / "schema.json"
        path.write_text(schema if isinstance(schema, str) else json.dumps(schema), "utf-8")
        return str(path)

    return make


@schemas
def test_structure(write):
    """The client asks for the schema as it does for a type, and gets plain JSON."""
    structure = structure_of(type_from(write(SCHEMA)))

    assert structure.name == "A_person"
    assert structure.schema["required"] == ["age"]
    assert structure.read('{"age": 3}') == {"age": 3}


@schemas
@pytest.mark.parametrize(
    ("text", "where"), [('{"age": 151}', "$.age"), ('{"age": "3"}', "$.age"), ("{}", "$"), ("[1", "$")]
)
def test_answer_that_does_not_fit(write, text, where):
    """An answer that breaks any keyword of the schema is refused, with the place."""
    with pytest.raises(SchemaMismatch) as refused:
        structure_of(type_from(write(SCHEMA))).read(text)
    assert refused.value.where == where


@schemas
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "nothing"}, "is no JSON schema: 'nothing'"),
        (
            {"$ref": "https://example.org/a.json"},
            "refers to 'https://example.org/a.json', which is not in it",
        ),
        ({"prefixItems": [{"$ref": "#/$defs/b"}]}, "refers to '#/\\$defs/b'"),
        ({"$ref": "#"}, "'#' leads to itself without an end"),
        (
            {"properties": {"a": {"if": {"type": "array"}, "then": {"$ref": "#/properties/a"}}}},
            "leads to itself",
        ),
        (f'{{"not": {"[" * 100_000}', "is no JSON"),
        ('{"not": ' * 400 + "{}" + "}" * 400, "is nested too deeply"),
    ],
)
def test_no_schema(write, schema, said):
    """A schema that cannot be checked by is refused; nothing is fetched for it."""
    with pytest.raises(ConfigError, match=said):
        type_from(write(schema))


@schemas
@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"type": "object"}, {"$ref": "#/allOf/0"}]},
        {"$ref": "#there", "$defs": {"a": {"$anchor": "there", "type": "object"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
    ],
)
def test_references(write, schema):
    """One leads to any place in the schema, also by its anchor, and to what an answer ends."""
    read = structure_of(type_from(write(schema))).read

    assert read('{"a": {"a": {}}}') == {"a": {"a": {}}}
    with pytest.raises(SchemaMismatch):
        read("3")


@schemas
def test_an_answer_that_is_nested_too_deeply(write):
    """It does not fit, as any other that cannot be read."""
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    with pytest.raises(SchemaMismatch):
        structure_of(type_from(write(schema))).read('{"a": ' * 2000 + "1" + "}" * 2000)


@pytest.mark.parametrize(
    ("schema", "said"), [("{", "is no JSON"), ("[]", "must be an object"), ("", "is empty")]
)
def test_no_json(write, schema, said):
    """A file that holds no object of JSON is refused."""
    with pytest.raises(ConfigError, match=said):
        type_from(write(schema))


def test_without_jsonschema(write, monkeypatch):
    """Where the answer could not be checked nothing is asked, and it is said what to install."""
    monkeypatch.setattr(json_schema, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'pip install "foundry_rest\[cli\]"'):
        type_from(write({}))
