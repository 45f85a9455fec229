"""A type as the shape of an answer: schema, instruction, and the JSON found in prose."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Literal, TypedDict

import msgspec
import pydantic
import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.structure import GUIDANCE, closed, structure_of


class Person(msgspec.Struct):
    """A person."""

    name: str
    age: int = 0


class Team(msgspec.Struct, forbid_unknown_fields=True):
    """People and their captain."""

    people: list[Person]
    captain: Person | None = None


@dataclass
class Point:
    """A point."""

    x: int


class CallSite(TypedDict):
    """A place."""

    city: str


class Order(pydantic.BaseModel):
    """An order as pydantic has it."""

    ids: list[int]

    @pydantic.field_validator("ids")
    @classmethod
    def check(cls, ids: list[int]) -> list[int]:
        """Refuse a number with its own words."""
        if 13 in ids:
            raise ValueError("13 is SECRET")
        return ids


class Colour(enum.Enum):
    """A colour."""

    RED = "red"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Person, '{"name":"Ann"}', Person("Ann")),
        (Team, '{"people":[{"name":"Ann"}]}', Team([Person("Ann")])),
        (Point, '{"x":1}', Point(1)),
        (CallSite, '{"city":"Lyon"}', {"city": "Lyon"}),
        (Order, '{"ids":[1]}', Order(ids=[1])),
        (Colour, '"red"', Colour.RED),
        (list[Point], '[{"x":1}]', [Point(1)]),
        (Literal["a", "b"], '"b"', "b"),
        (int | None, "null", None),
        (dict[str, bool], '{"a":true}', {"a": True}),
    ],
)
def test_types_of_every_kind(kind, text, value):
    """Structs, dataclasses, TypedDicts, pydantic models and plain types are read alike."""
    structure = structure_of(kind)

    assert structure.read(text) == value
    assert type(structure.read(text)) is type(value)
    assert msgspec.json.decode(structure.instruction.partition("schema: ")[2]) == structure.schema


def test_what_makes_a_service_write_it():
    """OpenAI's wrapper, and within the schema how 2.x is to follow it."""
    wrapper = structure_of(Point).guided_format["json_schema"]

    assert (wrapper["name"], wrapper["strict"]) == ("Point", True)
    assert wrapper["schema"] == {**structure_of(Point).schema, "x-guidance": GUIDANCE}
    assert "x-guidance" not in structure_of(Point).instruction


def test_no_keys_beyond_the_properties():
    """Every object is closed, however deep, unless it says which further keys it takes."""
    schema = structure_of(Team).schema

    assert [part["additionalProperties"] for part in schema["$defs"].values()] == [False, False]
    assert structure_of(dict[str, bool]).schema["additionalProperties"] == {"type": "boolean"}
    open_ = {"type": "object", "properties": {}, "additionalProperties": True}
    assert closed({"anyOf": (open_, {"type": "null"})}) == {"anyOf": [open_, {"type": "null"}]}


def test_a_property_named_like_a_keyword():
    """A field called ``properties`` or ``type`` is a field."""

    class Odd(msgspec.Struct):
        properties: CallSite
        type: str

    assert list(structure_of(Odd).schema["$defs"]["Odd"]["properties"]) == ["properties", "type"]


def test_names_are_what_openai_allows():
    """Brackets and the like become underscores, 64 characters at most."""
    long = type("N" * 80, (msgspec.Struct,), {})

    assert structure_of(list[Point]).name == "list"
    assert structure_of(Literal["a"]).name == "Literal"
    assert structure_of(long).name == "N" * 64


@pytest.mark.parametrize("kind", [complex, object, 5, "Person", lambda: 0, list[complex]])
def test_types_that_cannot_be_said(kind):
    """What msgspec cannot express is the caller's mistake."""
    with pytest.raises(ConfigError, match=r"response_model .* cannot be said in a JSON schema"):
        structure_of(kind)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (dict[str, object], "type <class 'object'> is not supported"),
        (pydantic.create_model("Late", field=("Nowhere", ...)), "`Late` is not fully defined; you should .*"),
    ],
)
def test_why_a_type_cannot_be_said(kind, reason):
    """The error names the part of the type that is to blame, and no page of the library's."""
    with pytest.raises(ConfigError) as caught:
        structure_of(kind)

    assert re.fullmatch(
        rf"response_model \w+ cannot be said in a JSON schema: {reason}", caught.value.message
    )


def test_a_pydantic_model_that_cannot_be_said():
    """The same for pydantic's own refusal."""

    class Holder(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        thing: Lookalike

    with pytest.raises(ConfigError, match="response_model Holder cannot"):
        structure_of(Holder)


@pytest.mark.parametrize(
    ("text", "what", "where", "detail"),
    [
        ('{"ids":["SECRET"]}', "int parsing", "$.ids[0]", "Input should be a valid integer"),
        ('{"ids":[13]}', "value error", "$.ids", "Value error, 13 is SECRET"),
        ("SECRET", "json invalid", "$", "Invalid JSON"),
        ("{}", "missing", "$.ids", "Field required"),
    ],
)
def test_pydantics_errors(text, what, where, detail):
    """They are told by type and place; pydantic's own sentence is for the model."""
    with pytest.raises(SchemaMismatch) as caught:
        structure_of(Order).read(text)

    assert (caught.value.what, caught.value.where) == (what, where)
    assert caught.value.detail.startswith(detail)


class Lookalike:
    """Looks like a pydantic model, and raises errors without a list."""

    @classmethod
    def model_json_schema(cls):
        """Return any schema."""
        return {}

    @classmethod
    def model_validate_json(cls, text):
        """Refuse everything."""
        raise ValueError(text)


def test_models_of_another_make():
    """A class that only looks like a pydantic model is still told by no word of the text."""
    with pytest.raises(SchemaMismatch, match=r"^invalid$") as caught:
        structure_of(Lookalike).read("SECRET")

    assert (caught.value.where, caught.value.detail) == ("$", "invalid")


class Branch(msgspec.Struct):
    """A type that refers to itself, with members called as keywords of JSON schema are."""

    default: int = 5
    properties: dict[str, int] = {}
    branches: list[Branch] = []
    near: Point | None = None


def schemas_in(value):
    """Yield every schema of an object within a value."""
    if isinstance(value, dict):
        if value.get("type") == "object" and "properties" in value:
            yield value
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from schemas_in(item)


@pytest.mark.parametrize("kind", [Point, Team, Branch, Person, list[Point], int])
def test_what_other_servers_accept(kind):
    """OpenAI's own take no reference at the root, no default, no open object, and require every property."""
    schema = structure_of(kind).strict_format["json_schema"]["schema"]

    assert "$ref" not in schema
    assert "x-guidance" not in schema
    for part in schemas_in(schema):
        assert part["required"] == list(part["properties"])
        assert part["additionalProperties"] is False
        assert all("default" not in member for member in part["properties"].values())


def test_members_that_are_called_as_keywords():
    """A member named ``default`` is no default."""
    schema = structure_of(Branch).strict_format["json_schema"]["schema"]

    assert list(schema["properties"]) == ["default", "properties", "branches", "near"]
