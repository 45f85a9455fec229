"""Answers of a type on the real runtime: its decoder keeps a model that only knows texts to the schema."""

from __future__ import annotations

import dataclasses
import enum
import uuid
from datetime import date
from typing import Annotated, Literal, TypedDict

import msgspec
import pydantic
import pytest

from foundry_rest import BadRequest, FoundryAPIClient, InvalidReply

pytestmark = pytest.mark.runtime
#: The schema bounds every text and list, so this suffices for each type below.
ENOUGH = 400


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Person(msgspec.Struct):
    """A person; texts are bounded, for the model does not know when to stop."""

    name: Annotated[str, msgspec.Meta(max_length=10)]
    age: Annotated[int, msgspec.Meta(ge=0, le=120)]
    colour: Colour


class Team(msgspec.Struct):
    """Types within types: the schema has references."""

    lead: Person
    members: Annotated[list[Person], msgspec.Meta(max_length=2)]
    founded: date


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: bool
    y: Literal["up", "down"]


class Flags(TypedDict):
    """A TypedDict."""

    on: bool
    id: uuid.UUID


class Order(pydantic.BaseModel):
    """A pydantic model with a nested one, optional."""

    class Item(pydantic.BaseModel):
        """What is ordered."""

        number: Annotated[int, pydantic.Field(ge=1, le=9)]

    paid: bool
    item: Item | None


@pytest.mark.parametrize("question", ["Show me a JSON object", "Hello"])
@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        (Person, lambda value: isinstance(value.colour, Colour)),
        (Team, lambda value: isinstance(value.founded, date) and isinstance(value.lead, Person)),
        (Point, lambda value: isinstance(value, Point)),
        (Flags, lambda value: isinstance(value["id"], uuid.UUID)),
        (Order, lambda value: isinstance(value, Order)),
        (list[Point], lambda value: all(isinstance(point, Point) for point in value)),
        (Literal["yes", "no"], lambda value: value in {"yes", "no"}),
        (Colour, lambda value: isinstance(value, Colour)),
        (tuple[bool, bool], lambda value: len(value) == 2),
    ],
)
def test_the_answer_is_of_the_type(client, kind, is_one, question):
    """The first answer fits, whatever the model would have liked to say, and no white space is spun out."""
    value = client.chat.complete(
        question, response_model=kind, max_reasks=0, temperature=0, max_tokens=ENOUGH
    )

    assert is_one(value)


class Taught(msgspec.Struct):
    """What the demo model was taught to write as JSON; nothing is bounded."""

    name: str
    age: int


def test_a_model_that_knows_the_answer(client):
    """The grammar, the separators it allows and the order of members leave its own JSON as it is."""
    question = "Give me a person as JSON"
    plain = client.complete(question, temperature=0).content

    assert plain == '{"age": 36, "name": "Ada"}'
    assert client.chat.complete(question, response_model=Taught, temperature=0) == Taught("Ada", 36)


@pytest.mark.parametrize("system", [None, "You are a helpful assistant."])
def test_a_service_that_ignores_schemas(core_runtime, system):
    """1.2.4 is told in the system message, and the answer is checked all the same."""
    with FoundryAPIClient(core_runtime.url, model="demo-chat") as client:
        value = client.chat.complete(
            "Give me a person as JSON", system=system, response_model=Taught, temperature=0, max_tokens=100
        )

    assert value == Taught("Ada", 36)


class Refused(msgspec.Struct):
    """Two rules that the decoder cannot hold: a keyword that it lacks, and a check in Python."""

    value: Annotated[bool, msgspec.Meta(extra_json_schema={"not": {"const": 5}})]

    def __post_init__(self) -> None:
        raise ValueError("never good enough")


def test_what_the_decoder_cannot_hold_is_checked(client):
    """Such a schema is no error; the answer is checked here, asked again, and refused with its place."""
    with pytest.raises(InvalidReply, match=r"the answer is no Refused: .* also when asked again") as caught:
        client.chat.complete("Hello", response_model=Refused, temperature=0, max_tokens=ENOUGH)

    assert caught.value.where == "$"
    assert isinstance(msgspec.json.decode(caught.value.text)["value"], bool)


def test_an_answer_cut_by_max_tokens(client):
    """The error tells it, and keeps what had come."""
    with pytest.raises(InvalidReply, match="Give a larger max_tokens") as caught:
        client.chat.complete("Hello", response_model=Team, temperature=0, max_tokens=8)

    assert caught.value.text.startswith("{")


def test_a_schema_by_hand_is_taken_at_its_word(client):
    """A keyword that the decoder lacks is the caller's mistake, in the service's words."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {"type": "string"}}}}
    with pytest.raises(BadRequest, match="not"):
        client.chat.complete("Hello", response_format=schema)
