"""Texts that a model wrote, read as types: what is shown in logs never quotes them."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

import msgspec
import pytest

from foundry_rest.schema.decoding import SchemaMismatch, read_json


class Colour(enum.Enum):
    """Colours by number."""

    RED = 1


class Even(msgspec.Struct, forbid_unknown_fields=True):
    """A number with a check of its own."""

    n: int = 0

    def __post_init__(self) -> None:
        if self.n % 2:
            raise ValueError(f"odd SECRET {self.n}")


def test_a_text_that_fits():
    """It becomes a value of the type."""
    assert read_json('{"n":2}', Even) == Even(2)


@pytest.mark.parametrize(
    ("text", "kind", "what", "where", "detail"),
    [
        ('[{"n":"SECRET"}]', list[Even], "Expected `int`, got `str`", "$[0].n", None),
        ('"SECRET"', Literal["a"], "Invalid enum value", "$", "Invalid enum value 'SECRET'"),
        ("77", Colour, "Invalid enum value", "$", "Invalid enum value 77"),
        ("-77", Colour, "Invalid enum value", "$", "Invalid enum value -77"),
        (
            '{"SECRET":1}',
            Even,
            "Object contains unknown field",
            "$",
            "Object contains unknown field `SECRET`",
        ),
        ('{"n":3}', Even, "the type's own check refuses it", "$", "odd SECRET 3"),
        ("5", Annotated[int, msgspec.Meta(ge=9)], "Expected `int` >= 9", "$", None),
        ("SECRET", int, "it is not whole JSON", "$", "JSON is malformed: invalid character (byte 0)"),
        ('{"n":', Even, "it is not whole JSON", "$", "Input data was truncated"),
        ("", int, "it is not whole JSON", "$", "Input data was truncated"),
        ("[" * 100_000, list, "it is not whole JSON", "$", ...),
    ],
)
def test_a_text_that_does_not_fit(text, kind, what, where, detail):
    """The place and the rule are told; the whole sentence is kept for the model."""
    with pytest.raises(SchemaMismatch) as caught:
        read_json(text, kind)

    assert (caught.value.what, caught.value.where) == (what, where)
    assert detail is ... or caught.value.detail == (detail or what)
    assert str(caught.value) == what
