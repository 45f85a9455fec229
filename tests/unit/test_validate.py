"""A caller's own check of an answer: its words are told to the model, which is asked again; and the reply."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import msgspec
import pytest
from support.servers import CHAT, asks, bodies

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, InvalidReply, ServerError
from foundry_rest.schema.typed import Typed
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_stream

GOOD, YOUNG = '{"name":"Ann","age":30}', '{"name":"Ann","age":3}'


TOLD = "That does not fit: write at most five letters."


class Person(msgspec.Struct):
    """A person."""

    name: str
    age: int


def grown(person: Person) -> Person:
    """Refuse a child."""
    if person.age < 18:
        raise ValueError("the person must be of age.")
    return person


def brief(reply) -> bool:
    """Refuse a long answer; what it returns is not looked at."""
    if len(reply.content) > 5:
        raise ValueError("write at most five letters")
    return False


def test_the_words_are_told(server, native):
    """The model sees its value and the words; the schema is sent as before, for the service kept to it."""
    server.on("POST", CHAT, chat_stream([YOUNG]), chat_stream([GOOD]))

    assert native.complete("Who?", response_model=Person, validate=grown) == Person("Ann", 30)
    first, second = bodies(server)
    assert second["messages"] == [
        *first["messages"],
        {"role": "assistant", "content": YOUNG},
        {
            "role": "user",
            "content": "That does not fit: the person must be of age. Write the whole JSON again, corrected.",
        },
    ]
    assert second["response_format"] == first["response_format"]
    server.on("POST", CHAT, chat_stream([GOOD]))
    native.complete("Who?", response_model=Person)
    assert bodies(server)[-1]["messages"] == first["messages"]


def test_a_reply_is_checked(server, native):
    """Without a type the check gets the whole reply, and the reply is returned."""
    server.on("POST", CHAT, chat_stream("far too long"), chat_stream("brief"))
    reply = native.chat.complete("Hello", validate=brief)

    assert reply.content == "brief"
    assert bodies(server)[1]["messages"][1:] == [
        {"role": "assistant", "content": "far too long"},
        {"role": "user", "content": f"{TOLD} Write the whole answer again, corrected."},
    ]


def test_any_value_error_will_do(server, native):
    """A parser's own is one: its words tell the model what is wrong."""
    server.on("POST", CHAT, chat_stream(["{"]), chat_stream(["{}"]))

    assert native.complete("JSON", validate=lambda reply: json.loads(reply.content)).content == "{}"
    assert "Expecting property name" in bodies(server)[1]["messages"][-1]["content"]


@pytest.mark.parametrize(("more", "asked"), [({}, 3), ({"max_reasks": 1}, 2), ({"max_reasks": 0}, 1)])
def test_never_more_often_than_allowed(server, native, more, asked):
    """The error at the end has the words, the text and the place in the program."""
    server.on("POST", CHAT, *[chat_stream("far too long")] * 3)
    with pytest.raises(InvalidReply, match="validate refused the answer: write at most five") as caught:
        native.complete("Hello", validate=brief, **more)

    assert len(bodies(server)) == asked
    assert ("also when asked again" in str(caught.value)) is (asked > 1)
    assert (caught.value.text, caught.value.where) == ("far too long", "")
    assert (caught.value.call, caught.value.model) == ("chat.complete", DEMO_MODEL)
    assert pickle.loads(pickle.dumps(caught.value)).text == "far too long"


def test_no_words(server, native):
    """An exception without words refuses all the same; a cut answer is told to be one."""
    server.on("POST", CHAT, chat_stream("Hello", "length"))
    with pytest.raises(InvalidReply, match=r"refused the answer: it was refused .*larger one") as caught:
        native.complete("Hello", validate=refuse(ValueError()), max_reasks=0)

    assert caught.value.text == "Hello"


def refuse(error: Exception) -> Callable[[object], None]:
    """Return a check that raises this."""

    def check(_: object) -> None:
        raise error

    return check


@pytest.mark.parametrize("error", [KeyError("x"), ConfigError("no"), ServerError("no", status=500)])
def test_another_exception_is_the_callers(server, native, error):
    """It is raised unchanged and nothing is asked again: an error of ours comes from a call in the check."""
    server.on("POST", CHAT, chat_stream("Hello"))
    with pytest.raises(type(error)) as caught:
        native.complete("Hello", validate=refuse(error))

    assert caught.value is error
    assert len(bodies(server)) == 1


def test_calls_of_tools_are_answered(server, native):
    """A refused answer that asks for tools gets the words as each call's result, which has to follow it."""
    server.on("POST", CHAT, asks(("add", '{"a":1}'), ("add", '{"a":2}')), chat_stream("3"))
    reply = native.complete("1+2?", tools=[{"type": "function"}], validate=no_calls)

    assert reply.content == "3"
    told = bodies(server)[1]["messages"][-2:]
    assert [(each["role"], each["tool_call_id"]) for each in told] == [("tool", "c0"), ("tool", "c1")]
    assert all("count for yourself" in each["content"] for each in told)


def no_calls(reply) -> None:
    """Refuse calls of tools."""
    if reply.tool_calls:
        raise ValueError("count for yourself")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"validate": brief, "parse": len}, "parse cannot be given together with validate"),
        ({"validate": "brief"}, "validate must be a function, not str"),
        ({"validate": brief, "max_reasks": -1}, "max_reasks"),
        ({"with_reply": True}, "with_reply goes with response_model"),
    ],
)
def test_what_cannot_be_meant(client, server, arguments, said):
    """It is told before anything is sent."""
    with pytest.raises(ConfigError, match=said):
        client.chat.complete("Hello", **arguments)

    assert not bodies(server)


def test_what_is_refused_is_not_kept(server, tmp_path):
    """A cache keeps what the check lets pass; with tools nothing, for it sees the text alone."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="openai", cache=tmp_path / "c") as client:
        server.on("POST", CHAT, *map(chat_completion, ("far too long", "brief", "other")))
        with pytest.raises(InvalidReply):
            client.complete("Hello", validate=brief, max_reasks=0, cache=True)
        again = [client.complete("Hello", validate=brief, cache=True) for _ in range(2)]
        assert [(reply.content, reply.cached) for reply in again] == [("brief", False), ("brief", True)]

        server.on("POST", CHAT, *map(chat_completion, ("one", "two")))
        tools = [{"type": "function", "function": {"name": "f"}}]
        texts = [client.complete("Hi", validate=brief, tools=tools, cache=True).content for _ in range(2)]
        assert texts == ["one", "two"]


def test_an_exception_of_the_check_behind_a_cache(server, tmp_path):
    """It reaches the caller, and nothing is kept."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="openai", cache=tmp_path / "c") as client:
        server.on("POST", CHAT, *map(chat_completion, ("one", "two")))
        with pytest.raises(KeyError):
            client.complete("Hello", validate=refuse(KeyError("x")), cache=True)
        assert client.complete("Hello", cache=True).content == "two"


def test_the_reply_of_a_value(server, native):
    """Value and reply come as a pair with names, of the last answer; the pair can be pickled."""
    server.on("POST", CHAT, chat_stream([YOUNG]), chat_stream([GOOD]))
    pair = native.complete("Who?", response_model=Person, with_reply=True, validate=grown)
    value, reply = pair

    assert (value, reply.content) == (Person("Ann", 30), GOOD)
    assert (pair.value, pair.reply) == (value, reply)
    assert reply.usage is not None
    assert pickle.loads(pickle.dumps(pair)) == pair == Typed(value, reply)
    assert repr(pair).startswith("Typed(value=Person(name='Ann', age=30), reply=ChatReply(")
