"""Answers of a type: asked for as the service understands it, checked, and asked again at most so often."""

from __future__ import annotations

import pickle
from typing import ClassVar

import msgspec
import pytest
from support.servers import CHAT, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.errors import ConfigError, DeadlineExceeded, InvalidReply, StreamInterrupted
from foundry_rest.testing import chat_completion, chat_stream, cut, stall

GOOD = '{"name":"Ann","age":3}'


class Person(msgspec.Struct):
    """A person."""

    name: str
    age: int


class Deaf(OpenAIDialect):
    """A service that ignores ``response_format`` in silence, as 1.x and 0.x do."""

    generation: ClassVar[str] = "deaf"
    enforces_schema: ClassVar[bool] = False


@pytest.fixture
def deaf(server):
    """Ask that server as one that ignores schemas."""
    with FoundryAPIClient(server.url, model="demo", retries=0, dialect=Deaf()) as made:
        yield made


def test_where_the_schema_is_enforced(server, native):
    """It goes as ``response_format``, the messages stay as they are, and the value is returned."""
    server.on("POST", CHAT, chat_stream([GOOD]))

    assert native.chat.complete("Who?", response_model=Person, temperature=0) == Person("Ann", 3)
    (body,) = bodies(server)
    assert body["messages"] == [{"role": "user", "content": "Who?"}]
    assert body["response_format"]["json_schema"]["schema"]["$ref"] == "#/$defs/Person"
    assert body["response_format"]["json_schema"]["$defs"]["Person"]["required"] == ["name", "age"]
    assert body["temperature"] == 0


@pytest.mark.parametrize(
    ("messages", "system", "before"),
    [
        ("Who?", None, ""),
        ("Who?", "Be brief.", "Be brief.\n\n"),
        (
            [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}],
            None,
            "Be kind.\n\n",
        ),
        ([{"role": "user", "content": "Who?"}], None, ""),
    ],
)
def test_where_the_schema_is_ignored(server, deaf, messages, system, before):
    """It stands in the one system message, behind the caller's own words."""
    server.on("POST", CHAT, chat_completion(f"Of course:\n```json\n{GOOD}\n```"))

    assert deaf.chat.complete(messages, system=system, response_model=Person) == Person("Ann", 3)
    (body,) = bodies(server)
    assert "response_format" not in body
    first, *rest = body["messages"]
    assert first["role"] == "system"
    assert first["content"].startswith(f"{before}Answer with JSON alone")
    assert '"required":["name","age"]' in first["content"]
    assert rest == [{"role": "user", "content": "Who?"}]


def test_a_system_message_in_parts_is_kept(server, deaf):
    """What cannot be added to stays as it is, behind one of ours."""
    parts = {"role": "system", "content": [{"type": "text", "text": "Be kind."}]}
    server.on("POST", CHAT, chat_completion(GOOD))
    deaf.chat.complete([parts, {"role": "user", "content": "Who?"}], response_model=Person)

    assert [message["role"] for message in bodies(server)[0]["messages"]] == ["system", "system", "user"]
    assert bodies(server)[0]["messages"][1] == parts


def test_a_fence_does_not_matter(server, native):
    """A value that fits is the answer, also in a fence where the service should have prevented that."""
    server.on("POST", CHAT, chat_stream([f"```json\n{GOOD}\n```"]))

    assert native.chat.complete("Who?", response_model=Person) == Person("Ann", 3)
    assert len(bodies(server)) == 1


def test_an_answer_that_does_not_fit_is_asked_again(server, native):
    """The model sees its answer and what is wrong with it."""
    server.on("POST", CHAT, chat_stream(['{"name":"Ann","age":"x"}']), chat_stream([GOOD]))

    assert native.chat.complete("Who?", response_model=Person) == Person("Ann", 3)
    first, second = bodies(server)
    assert second["messages"][:2] == [
        *first["messages"],
        {"role": "assistant", "content": '{"name":"Ann","age":"x"}'},
    ]
    assert second["messages"][2]["role"] == "user"
    assert "Expected `int`, got `str` (at $.age)" in second["messages"][2]["content"]
    assert second["response_format"] == first["response_format"]


@pytest.mark.parametrize(("more", "asked"), [({}, 3), ({"max_reasks": 1}, 2), ({"max_reasks": 0}, 1)])
def test_never_more_often_than_allowed(server, native, more, asked):
    """Two further questions by default; then the error tells place, text, and what to do, quoting nothing."""
    server.on("POST", CHAT, *[chat_stream(['{"name":"SECRET","age":"x"}'])] * 3)
    with pytest.raises(InvalidReply, match="the answer is no Person: Expected `int`") as caught:
        native.chat.complete("Who?", response_model=Person, **more)

    assert len(bodies(server)) == asked
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.where, error.text) == ("$.age", '{"name":"SECRET","age":"x"}')
    assert (error.call, error.url, error.model) == ("chat.complete", server.url, "demo-generic-cpu:1")
    assert "SECRET" not in str(error)
    assert "max_reasks" in str(error)
    assert ("also when asked again" in str(error)) is (asked > 1)


def test_an_answer_cut_by_max_tokens_is_not_asked_again(server, native):
    """It would be cut again; the error says which number to raise."""
    server.on("POST", CHAT, chat_stream(['{"name":"Ann'], finish="length"))
    with pytest.raises(
        InvalidReply, match=r"max_tokens cut the answer .* Give a larger max_tokens"
    ) as caught:
        native.chat.complete("Who?", response_model=Person)

    assert len(bodies(server)) == 1
    assert caught.value.text == '{"name":"Ann'


def test_an_answer_that_just_fits_is_an_answer(server, native):
    """What is whole although the limit was reached is returned."""
    server.on("POST", CHAT, chat_stream([GOOD], finish="length"))

    assert native.chat.complete("Who?", response_model=Person) == Person("Ann", 3)


def test_other_failures_are_not_asked_again(server, native):
    """Only what does not fit is; a broken stream is what it always is."""
    server.on("POST", CHAT, chat_stream("one two")[:4] + cut())
    with pytest.raises(StreamInterrupted):
        native.chat.complete("Who?", response_model=Person)

    assert len(bodies(server)) == 1


def test_one_deadline_for_all_questions(server, native):
    """The further questions have what the first one left."""
    server.on("POST", CHAT, chat_stream(["{}"]), stall())
    with pytest.raises(DeadlineExceeded):
        native.chat.complete("Who?", response_model=Person, deadline=0.1)

    assert len(bodies(server)) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"parse": lambda reply: reply}, "parse cannot be given together with response_model"),
        ({"tools": [{"type": "function"}]}, "tools cannot"),
        ({"tool_choice": "none"}, "tool_choice cannot"),
        ({"response_format": {"type": "json_object"}}, "response_format cannot"),
        ({"extra": {"response_format": {"type": "json_object"}}}, "response_format cannot"),
        ({"max_reasks": -1}, "max_reasks must be a whole number, 0 or more"),
        ({"max_reasks": True}, "max_reasks must"),
        ({"response_model": complex}, "response_model complex cannot be said"),
        ({"max_tokens": 0}, "max_tokens must"),
    ],
)
def test_mistakes_are_found_before_any_io(server, more, words):
    """What cannot go together, or be said, costs no request."""
    with FoundryAPIClient(server.url) as client, pytest.raises(ConfigError, match=words):
        client.chat.complete("Who?", **{"response_model": Person, **more})

    assert server.requests == []


@pytest.mark.parametrize(
    "name",
    ["response_model", "max_reasks", "validate", "with_reply", "fallback_models", "load_fallbacks"],
)
def test_streams_take_no_type(server, native, name):
    """A stream gives chunks; the error says who reads types."""
    with pytest.raises(ConfigError, match=f"{name} cannot be given as a parameter: .*complete"):
        native.chat.stream("Who?", **{name: 1})


@pytest.mark.parametrize("broken", [{"type": "json_schema", "json_schema": {1: 2}}, {"x": object()}, "json"])
def test_a_format_that_is_no_json(server, native, broken):
    """A ``response_format`` given by hand is checked like everything that is sent."""
    with pytest.raises(ConfigError):
        native.chat.complete("Who?", response_format=broken)

    assert server.requests == []
