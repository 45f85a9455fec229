"""OpenAI's spelling: what code that was written for `openai` finds here under its own names."""

from __future__ import annotations

import json

import pytest
from support.servers import CHAT

from foundry_rest import ConfigError, FoundryAPIClient
from foundry_rest.errors import UnknownArgument
from foundry_rest.schema import ChatReply
from foundry_rest.testing import DEMO_MODEL, chat_completion, json_answer

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.fixture
def plain(server):
    """Ask the server for whole answers."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="openai") as client:
        yield client


@pytest.mark.parametrize("dialect", ["openai", "2.x", "1.x"])
def test_the_text_of_the_first_choice(server, dialect):
    """It is the content, of a whole answer and of one gathered from a stream."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=dialect) as client:
        reply = client.complete(messages=[{"role": "user", "content": "Hi"}])
    (choice,) = reply.choices
    assert choice.message.content == reply.content
    assert choice.message.role == "assistant"
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert choice.message.tool_calls is None


def test_a_dump(plain):
    """It is a completion as OpenAI's route has it, and JSON."""
    reply = plain.complete("Hi")
    found = reply.model_dump()
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["message"] == {
        "role": "assistant",
        "content": reply.content,
        "refusal": None,
        "tool_calls": None,
    }
    assert found["usage"]["total_tokens"] == reply.usage.total_tokens
    assert json.loads(reply.model_dump_json()) == found
    assert "refusal" not in reply.model_dump(exclude_none=True)["choices"][0]["message"]


def test_several_choices(server, plain):
    """Of a server that gives several, all are there; the reply is made of the first."""
    choices = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(("one", "two"))
    ]
    server.on("POST", CHAT, json_answer({"choices": choices}))
    reply = plain.complete("Hi", extra={"n": 2})
    assert reply.content == "one"
    assert [choice.message.content for choice in reply.choices] == ["one", "two"]
    assert [choice["message"]["content"] for choice in reply.model_dump()["choices"]] == ["one", "two"]


def test_tool_calls(server, plain):
    """A call without a text has no content, as there."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.on("POST", CHAT, json_answer({"choices": [choice]}))
    reply = plain.complete("Hi")
    assert reply.choices[0].message.content is None
    assert reply.choices[0].message.tool_calls[0].function.name == "f"
    assert reply.model_dump()["choices"][0]["message"]["tool_calls"] == [CALL]


@pytest.mark.parametrize("form", ["reply", "message", "choice", "dict"])
def test_a_reply_in_a_conversation(server, plain, form):
    """A reply, its message, its choice's message and its dict go into messages as what they are."""
    reply = plain.complete("Hi")
    forms = {
        "reply": reply,
        "message": reply.message,
        "choice": reply.choices[0].message,
        "dict": reply.model_dump(exclude_none=True)["choices"][0]["message"],
    }
    plain.complete(
        messages=[{"role": "user", "content": "Hi"}, forms[form], {"role": "user", "content": "On"}]
    )
    assert server.asked(CHAT)[-1].json()["messages"][1] == {"role": "assistant", "content": reply.content}


def test_a_reply_with_calls_in_a_conversation(server, plain):
    """Its calls are part of its message, for the tool's result refers to one."""
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    server.on("POST", CHAT, json_answer({"choices": [{"message": message, "finish_reason": "tool_calls"}]}))
    reply = plain.complete("Hi")
    server.on("POST", CHAT, chat_completion("done"))
    result = {"role": "tool", "tool_call_id": "call_1", "content": "5"}
    for form in (reply, reply.choices[0].message):
        plain.complete(messages=[{"role": "user", "content": "Hi"}, form, result])
        assert server.asked(CHAT)[-1].json()["messages"][1]["tool_calls"] == [CALL]


@pytest.mark.parametrize("item", [5, "text", None, object(), ["role"]])
def test_what_is_no_message(plain, server, item):
    """It is refused before anything is sent."""
    with pytest.raises(ConfigError, match="message"):
        plain.complete(messages=[{"role": "user", "content": "Hi"}, item])
    assert not server.asked(CHAT)


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("n", 2, 'extra={"n": 2}'),
        ("extra_body", {"a": 1}, "extra={...}"),
        ("extra_headers", {"a": "b"}, "headers={...}"),
        ("extra_query", {}, "client.request()"),
        ("max_retries", 2, "retries="),
        ("functions", [], "tools=[...]"),
        ("function_call", "auto", "tool_choice="),
    ],
)
@pytest.mark.parametrize("method", ["complete", "stream_complete"])
def test_names_that_mean_something_else(plain, server, method, name, value, instead):
    """They are refused with what to write, and nothing is sent."""
    with pytest.raises(UnknownArgument) as caught:
        list(getattr(plain, method)("Hi", **{name: value}))
    assert instead in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert not server.asked(CHAT)


def test_a_reply_made_by_hand():
    """It has the shape, too."""
    reply = ChatReply(content="x", reasoning="because")
    assert reply.choices[0].message.reasoning == "because"
    assert reply.model_dump()["choices"][0]["message"]["reasoning_content"] == "because"
