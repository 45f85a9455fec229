"""Responses: what is refused before it is sent, and what the values say of themselves."""

from __future__ import annotations

import pytest
from support.values import nested

from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.schema.response_request import build_response_request, check_response_id
from foundry_rest.schema.responses import (
    ContentPart,
    InputItem,
    OutputItem,
    Response,
    ResponseEvent,
    ResponsePage,
)

ITEM = {"type": "message", "role": "user", "content": "Hi"}


def build(input="Hi", model="demo", **params):
    """Return the request for an input and parameters."""
    return build_response_request(input, model=model, max_output_tokens=7, params=params)


def now() -> str:
    """Tell the time."""
    return "12:00"


def test_a_prompt():
    """A text goes as it is, the limit is always there, and what is None is left out."""
    request = build(instructions=None, temperature=0, extra={"seed": 1})

    assert (request.input, request.model, request.id) == ("Hi", "demo", "demo")
    assert request.params == {"temperature": 0, "seed": 1, "max_output_tokens": 7}
    assert (request.is_stored, request.previous) == (False, None)


def test_what_is_given_wins():
    """A limit of the caller's own, the exact id, and the two parameters that decide about repeating."""
    params = {"max_output_tokens": 3, "store": True, "previous_response_id": "resp_1"}
    request = build_response_request(
        "Hi", model="demo", max_output_tokens=7, model_id="demo:1", params=params
    )

    assert (request.model, request.id, request.params["max_output_tokens"]) == ("demo", "demo:1", 3)
    assert (request.is_stored, request.previous) == (True, "resp_1")
    assert not build(store=False).is_stored


def test_a_message_says_that_it_is_one():
    """1.x drops an item with a role and no type in silence; other items stay as they are."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    request = build(iter([{"role": "user", "content": "Hi"}, ITEM, call]))

    assert request.input == [ITEM, ITEM, call]


@pytest.mark.parametrize(
    "params",
    [{"instructions": "Say hello."}, {"previous_response_id": "resp_1"}],
    ids=["instructions", "previous"],
)
@pytest.mark.parametrize("input", ["", []])
def test_nothing_new_to_say(input, params):
    """An empty input will do where instructions or an earlier response say what to answer."""
    assert build(input, **params).input == input


@pytest.mark.parametrize(
    ("input", "words"),
    [
        ("", "empty"),
        ([], "empty"),
        (None, "NoneType"),
        (b"Hi", "bytes"),
        ({"role": "user"}, "dict"),
        (["Hi"], "a mapping, not str"),
        ([{"content": "Hi"}], "needs a role"),
        ([{"type": "message", "content": "Hi"}], "needs a role"),
        ([{"type": 7}], "needs a role"),
        ("a\0b", "NUL"),
        ("a\ud800", "lone surrogate"),
        ([{**ITEM, "content": nested(80)}], "nested deeper"),
        ([{**ITEM, "content": float("nan")}], "nan"),
    ],
)
def test_input_that_cannot_be_sent(input, words):
    """What is empty, no JSON, no item, or would kill the service stops here."""
    with pytest.raises(ConfigError, match=words):
        build(input)


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": [{"type": "input_image", "image_url": "http://h/x.png"}]},
        {"role": "user", "content": ({"type": "input_image", "image_url": " HTTPS://h/x.png"},)},
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "http://h"}]},
    ],
)
def test_an_image_that_the_service_would_have_to_fetch(item):
    """2.x answers 500 to an http image: refused here, with the way out in the error."""
    with pytest.raises(ConfigError, match="data: URL") as caught:
        build([item])

    assert "base64" in str(caught.value)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
        {"type": "input_image", "image_url": {"url": "odd"}},
        {"type": "input_text", "text": "see http://h/x.png", "image_url": "http://h"},
        "text",
    ],
)
def test_other_parts_pass(part):
    """A data: URL, a text about an address, and what nobody knows are the service's to judge."""
    assert build([{**ITEM, "content": [part]}]).input == [{**ITEM, "content": [part]}]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"max_output_tokens": 0}, "max_output_tokens must be a whole number"),
        ({"max_output_tokens": "5"}, "max_output_tokens must be"),
        ({"temperature": -3}, "temperature must be"),
        ({"top_p": -1}, "top_p must be"),
        ({"presence_penalty": 9}, "presence_penalty must be"),
        ({"tools": [7]}, "tools must be"),
        ({"tools": "now"}, "tools must be"),
        ({"text": "json"}, "text must be"),
        ({"text": {"format": {"type": "json_schema"}}}, "schema beside its type"),
        (
            {"text": {"format": {"type": "json_schema", "json_schema": {"schema": {}}}}},
            "schema beside its type",
        ),
        ({"extra": {"stop": ["x"]}}, "this API has none"),
        ({"reasoning": "low"}, "reasoning must be"),
        ({"instructions": ["x"]}, "instructions must be text"),
        ({"store": "yes"}, "store must be True or False"),
        ({"metadata": {"a": 1}}, "a mapping of text to text"),
        ({"metadata": "a"}, "a mapping of text to text"),
        ({"previous_response_id": "../x"}, "previous_response_id must be the id"),
        ({"extra": 7}, "extra must be"),
        ({"extra": {"stream": True}}, "stream cannot be given"),
        ({"extra": {"messages": []}}, "calls it input"),
        ({"max_tokens": 5}, "calls it max_output_tokens"),
        ({"max_completion_tokens": 5}, "calls it max_output_tokens"),
        ({"response_format": {"type": "json_object"}}, "calls it text="),
        ({"model": "a b"}, "is no alias or id"),
    ],
)
def test_parameters_that_would_be_misread(params, words):
    """What 2.x ignores in silence or 1.x calls an internal error is named here."""
    with pytest.raises(ConfigError, match=words):
        build(**params)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"verbosity": "low"},
        {"format": {"type": "text"}},
        {"format": {"type": "lark_grammar", "grammar": "start: /x/"}},
        {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
    ],
)
def test_forms_of_text(text):
    """What 2.x applies, or has no need to, is sent as it is."""
    assert build(text=text).params["text"] == text


def test_tools_of_every_kind():
    """A plain function and a tool of the chat API both become the flat form of this API."""
    flat = {"type": "function", "name": "later"}
    chat = {"type": "function", "function": {"name": "then", "parameters": {}}}
    tools = build(tools=[now, flat, chat]).params["tools"]

    assert [tool["name"] for tool in tools] == ["now", "later", "then"]
    assert all("function" not in tool for tool in tools)
    assert tools[0]["description"] == "Tell the time."


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../models", "a/b", "a?b", "a#b", "a%2fb", "a b", "é", None, 7, "x" * 201]
)
def test_what_is_no_id(id):
    """An id goes into an address: nothing that could lead elsewhere gets through."""
    with pytest.raises(ConfigError, match="id must be the id of a response"):
        check_response_id(id)


def test_an_id():
    """The services' own ids pass; 2.2.1 leaves out a leading zero, so their length differs."""
    assert check_response_id("resp_606e617ef1909a6154b6397847d8b8") == "resp_606e617ef1909a6154b6397847d8b8"


def part(text, kind="output_text"):
    """Return one part of an item."""
    return ContentPart(type=kind, text=text)


MESSAGE = OutputItem(
    type="message", role="assistant", content=(part("one"), part(None, "refusal"), part(" two"))
)
THOUGHT = OutputItem(type="reasoning", summary=(part("hm", "summary_text"),))
LONG_THOUGHT = OutputItem(type="reasoning", content=(part(" well", "reasoning_text"),), summary=(part("x"),))
CALL = OutputItem(type="function_call", call_id="c1", name="add", arguments='{"n": 1}')


def test_what_a_response_says():
    """Text, thinking and calls are told apart; the text is put together, for 1.x sends it in items only."""
    response = Response(
        id="r", status="completed", output=(THOUGHT, MESSAGE, LONG_THOUGHT, CALL), body=b'{"a":1}'
    )

    assert (response.output_text, response.reasoning) == ("one two", "hm well")
    assert response.function_calls == (CALL,)
    assert response.raw == {"a": 1}
    assert Response(id="r", status="completed").raw is None


def test_arguments_of_a_call():
    """They are decoded; a call without any has none."""
    assert CALL.parsed_arguments == {"n": 1}
    assert OutputItem(type="function_call", name="now").parsed_arguments == {}


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", '{"n": ' + "[" * 3000])
def test_arguments_that_are_none(arguments):
    """What a model wrote badly is an error that names the function and not the text."""
    with pytest.raises(InvalidReply, match=r"call of 'add'") as caught:
        _ = OutputItem(type="function_call", name="add", arguments=arguments).parsed_arguments

    assert arguments not in str(caught.value)


def test_an_answer_goes_into_the_next_input():
    """Its items are sent as they came, without what was never there."""
    given = InputItem(role="user", content="Hi")
    request = build([given, MESSAGE, CALL, {"type": "function_call_output", "call_id": "c1", "output": "2"}])

    assert request.input[:3] == [
        {"type": "message", "role": "user", "content": "Hi"},
        {
            "type": "message",
            "role": "assistant",
            "content": (
                {"type": "output_text", "text": "one"},
                {"type": "refusal"},
                {"type": "output_text", "text": " two"},
            ),
        },
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"n": 1}'},
    ]


def test_input_items():
    """A text or parts, as they were given."""
    assert InputItem(content="Hi").text == InputItem(content=(part("Hi"),)).text == "Hi"
    assert InputItem(type="function_call_output", content="Hi").text == ""


@pytest.mark.parametrize(
    ("type", "content", "reasoning"),
    [
        ("response.output_text.delta", "x", ""),
        ("response.reasoning.delta", "", "x"),
        ("response.reasoning_text.delta", "", "x"),
        ("response.function_call_arguments.delta", "", ""),
    ],
)
def test_what_an_event_adds(type, content, reasoning):
    """Only the answer's own text is ``content``, so that printing it prints the answer."""
    event = ResponseEvent(type=type, delta="x", event=b"[]")

    assert (event.content, event.reasoning, event.raw) == (content, reasoning, [])
    assert ResponseEvent(type=type).raw is None


def test_a_page():
    """It can be counted and gone through."""
    page = ResponsePage(data=(Response(id="a", status="completed"), Response(id="b", status="failed")))

    assert (len(page), [response.id for response in page]) == (2, ["a", "b"])
