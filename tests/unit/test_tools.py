"""Plain functions as tools: what the model is told, how its arguments are read, how it is answered."""

from __future__ import annotations

import dataclasses
import enum
import functools
from datetime import date
from typing import Annotated, Literal

import msgspec
import pydantic
import pytest

from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema import ChatReply, FunctionCall, ToolCall, build_chat_request
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.tools import Tool, tool_message


class Unit(enum.Enum):
    """A unit of temperature."""

    CELSIUS = "c"
    KELVIN = "k"


@dataclasses.dataclass
class Place:
    """Somewhere."""

    city: str
    country: str = "FR"


def weather(place: Place, when: date, unit: Unit = Unit.CELSIUS, *, days: int = 1, note: str | None = None):
    """Tell the weather of a place.

    More that the model need not know.

    Args:
        place: Where,
            with its country.
        days (int): How many.
        other: No parameter.

    Returns:
        days: A sentence.
    """
    return (place, when, unit, days, note)


def call(arguments: str | None, name: str = "weather") -> ToolCall:
    """Return a call as a service sends it."""
    return ToolCall("c1", "function", FunctionCall(name, arguments), 0)


def test_what_the_model_is_told():
    """Name, first paragraph, and a schema with the parameters at its top and the types they use below."""
    function = Tool.of(weather).spec["function"]

    assert (function["name"], function["description"]) == ("weather", "Tell the weather of a place.")
    parameters = function["parameters"]
    assert set(parameters) == {"type", "properties", "required", "additionalProperties", "$defs"}
    assert parameters["required"] == ["place", "when"]
    assert parameters["properties"]["place"] == {
        "description": "Where, with its country.",
        "$ref": "#/$defs/Place",
    }
    assert parameters["properties"]["days"] == {"description": "How many.", "type": "integer", "default": 1}
    assert parameters["properties"]["when"] == {"type": "string", "format": "date"}
    assert parameters["$defs"]["Unit"]["enum"] == ["c", "k"]
    assert parameters["additionalProperties"] is parameters["$defs"]["Place"]["additionalProperties"] is False


def test_arguments_become_the_annotated_types():
    """They are checked and converted before the function is called; defaults are the function's own."""
    arguments = Tool.of(weather).read(call('{"place":{"city":"Lyon"},"when":"2026-11-23"}'))

    expected = {"place": Place("Lyon"), "when": date(2026, 11, 23), "unit": Unit.CELSIUS}
    assert arguments == {**expected, "days": 1, "note": None}
    assert weather(**arguments)[0] == Place("Lyon")


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ('{"place":{"city":"Lyon"},"when":5}', "$.when"),
        ('{"place":{},"when":"2026-11-23"}', "$.place"),
        ('{"place":{"city":"Lyon"}}', "$"),
        ('{"place":{"city":"Lyon"},"when":"2026-11-23","wnen":1}', "$"),
        ('{"place":', "$"),
        ("[]", "$"),
        (None, "$"),
    ],
)
def test_arguments_that_do_not_fit(arguments, where):
    """What is missing, unknown, of another type or no JSON never reaches the function."""
    with pytest.raises(SchemaMismatch) as caught:
        Tool.of(weather).read(call(arguments))

    assert caught.value.where == where


def test_no_hints_and_no_docstring():
    """A parameter without a hint takes any JSON; nothing is made up where nothing is said."""

    def bare(a, b=None): ...

    tool = Tool.of(bare)

    assert tool.spec["function"] == {"name": "bare", "parameters": tool.parameters}
    assert tool.parameters["properties"] == {"a": {}, "b": {"default": None}}
    assert tool.read(call('{"a":[1]}')) == {"a": [1], "b": None}


def test_no_arguments_at_all():
    """A function without parameters is called with ``{}``, and with nothing, as some models write."""

    def now() -> str:
        """Tell the time."""

    assert Tool.of(now).parameters["properties"] == {}
    for nothing in ("{}", "", None):
        assert Tool.of(now).read(call(nothing)) == {}


def test_defaults_that_are_no_json():
    """The function gets its very own default; the model is not shown it."""
    given: list[int] = []

    def total(numbers: list[int] = given): ...

    tool = Tool.of(total)

    assert tool.parameters["properties"]["numbers"] == {"type": "array", "items": {"type": "integer"}}
    assert tool.read(call("{}"))["numbers"] is given


def test_methods_and_other_order():
    """A bound method is a function without self; a default may stand before a keyword without one."""

    class Shop:
        def price(self, currency: Literal["EUR", "USD"] = "EUR", *, item: Annotated[str, "plain"]): ...

    assert Tool.of(Shop().price).parameters["required"] == ["item"]


def test_a_type_named_like_the_function():
    """One name for both is no trouble."""

    def Place_(place: Place): ...  # noqa: N802

    Place_.__name__ = "Place"

    assert list(Tool.of(Place_).parameters["properties"]) == ["place"]


class Opaque:
    """A class that JSON does not know."""


def _positional(a, /): ...
def _several(*many): ...
def _named(**more): ...
def _opaque(thing: Opaque): ...
def _unresolved(a: Missing): ...  # noqa: F821
async def _later(): ...
async def _events():
    yield 1


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_positional, "tool _positional: parameter a cannot be given by name"),
        (_several, r"parameter \*many cannot"),
        (_named, r"parameter \*\*more cannot"),
        (_opaque, "the type of parameter thing: .*Opaque.* cannot be said in JSON"),
        (_unresolved, "its signature cannot be read: name 'Missing'"),
        (max, "tool max: its signature cannot be read"),
        (_later, "tool _later: an async function"),
        (_events, "tool _events: an async function"),
        (lambda: 0, "a plain function with a name, not <lambda>"),
        (functools.partial(weather), "a plain function with a name, not partial"),
        (Opaque, "a plain function with a name, not Opaque"),
    ],
)
def test_functions_that_cannot_be_tools(function, words):
    """What could not be called by name, or not described, is refused; the parameter is named."""
    with pytest.raises(ConfigError, match=words):
        Tool.of(function)


def test_functions_among_the_tools_of_a_request():
    """``tools=`` takes mappings as they are and describes functions."""
    raw = {"type": "function", "function": {"name": "now"}}
    request = build_chat_request("Hi", model="m", max_tokens=9, params={"tools": (raw, weather)})

    assert request.params["tools"] == [raw, Tool.of(weather).spec]


class Number(pydantic.BaseModel):
    """A result as pydantic has it."""

    n: int


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("12:00", "12:00"),
        ("", ""),
        (None, "null"),
        ({"a": [1.5]}, '{"a":[1.5]}'),
        (Place("Lyon"), '{"city":"Lyon","country":"FR"}'),
        ([Number(n=1)], '[{"n":1}]'),
        (date(2026, 11, 23), '"2026-11-23"'),
    ],
)
def test_the_message_that_answers_a_call(result, content):
    """Text goes as it is, anything else as JSON, under the call's id."""
    assert tool_message(call("{}"), result) == {"role": "tool", "tool_call_id": "c1", "content": content}


@pytest.mark.parametrize("result", [object(), "a\0b", [{1: Opaque()}]])
def test_results_that_cannot_be_sent(result):
    """What JSON cannot say is the caller's mistake, by the function's name."""
    with pytest.raises(ConfigError, match="the result of tool 'weather'"):
        tool_message(call("{}"), result)


def test_the_arguments_as_a_type():
    """``parse`` gives a dict, or the type asked for."""
    found = call('{"city":"Lyon"}')

    assert found.parse() == {"city": "Lyon"}
    assert found.parse(Place) == Place("Lyon")
    assert found.parse(Place | None) == Place("Lyon")
    assert ToolCall().parse() == {}


@pytest.mark.parametrize(
    ("arguments", "kind", "where", "words"),
    [
        ('{"city":7}', Place, "$.function.arguments.city", "Expected `str`, got `int`"),
        ('{"city":"SECRET', Place, "$.function.arguments", "it is not whole JSON"),
        ('["SECRET"]', dict, "$.function.arguments", "Expected `object`, got `array`"),
        ('"SECRET"', Unit, "$.function.arguments", "Invalid enum value"),
    ],
)
def test_arguments_that_cannot_be_parsed(arguments, kind, where, words):
    """The error names tool and place, keeps what came, and quotes none of it."""
    with pytest.raises(InvalidReply, match=f"for tool 'weather' do not fit: {words}") as caught:
        call(arguments).parse(kind)

    assert (caught.value.where, caught.value.text) == (where, arguments)
    assert "SECRET" not in str(caught.value)


def test_a_reply_as_the_next_message():
    """Content and calls go back as they came, without index; what the model thought does not."""
    reply = ChatReply(content="", reasoning="hm", tool_calls=(call('{"a":1}'), ToolCall()))

    assert reply.message == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}},
            {"id": "call_", "type": "function", "function": {"name": "", "arguments": "{}"}},
        ],
    }
    assert ChatReply(content="Hi").message == {"role": "assistant", "content": "Hi"}


def test_a_service_without_ids():
    """Call and result still find each other."""
    nameless = ToolCall(function=FunctionCall("now", None))

    assert nameless.message["id"] == tool_message(nameless, "12:00")["tool_call_id"] == "call_now"


def test_the_struct_behind_is_no_part_of_the_schema():
    """The model is not told of a type that only this package knows."""
    assert "title" not in Tool.of(weather).parameters
    assert issubclass(Tool.of(weather).arguments, msgspec.Struct)
