"""The demo model calls its one tool, goes on with the result, and writes JSON, on the real runtime."""

from __future__ import annotations

import json

import pytest

from foundry_rest import ServiceError
from foundry_rest.dialects.openai import parse_completion

pytestmark = pytest.mark.runtime
WEATHER = "What is the weather in Paris?"
UNAIDED = "I cannot see the weather myself. Give me the tool get_weather and I will ask it."
AFTER = "It is 18 degrees and sunny in Paris."
FALLBACK = "I am a small demo model and know only a few answers. Try: Explain quantum computing"
PERSON = "Give me a person as JSON"
ADA = '{"age": 36, "name": "Ada"}'


def tool(name, description="", **parameters):
    """Return a tool with parameters of the given JSON types, all required."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema},
    }


GET_WEATHER = tool("get_weather", "Get the weather in a city", city="string")
OTHER = tool("add", "Add two numbers.", a="number", b="number")
FORCED = {"type": "function", "function": {"name": "get_weather"}}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@pytest.fixture(params=["whole", "streamed", "plain"])
def ask(request, client):
    """Return a function that asks at temperature 0 and returns the whole answer, however it came.

    ``complete`` streams beneath on this service; "plain" is the one way that does not.
    """

    def asked(messages, **params):
        params = {"temperature": 0, "max_tokens": 200, **params}
        if request.param == "streamed":
            with client.chat.stream(messages, **params) as stream:
                return stream.gather()
        if request.param == "plain":
            return client.chat.complete(messages, parse=parse_completion, **params)
        return client.chat.complete(messages, **params)

    return asked


def answered(reply, result="18 degrees and sunny"):
    """Return the conversation so far and the tool's result."""
    (call,) = reply.tool_calls
    return [
        {"role": "user", "content": WEATHER},
        reply.message,
        {"role": "tool", "tool_call_id": call.id, "content": result},
    ]


def calls(reply):
    """Return name and arguments of the calls in a reply."""
    return [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]


@pytest.mark.parametrize("choice", ["auto", "required", FORCED])
@pytest.mark.parametrize("tools", [[GET_WEATHER], [GET_WEATHER, OTHER], [OTHER, GET_WEATHER]])
def test_call(ask, tools, choice):
    """Asked for the weather the model calls the tool, whether it may or must, and says nothing beside."""
    reply = ask(WEATHER, tools=tools, tool_choice=choice)

    assert (reply.finish_reason, reply.content) == ("tool_calls", "")
    assert calls(reply) == [("get_weather", {"city": "Paris"})]


@pytest.mark.parametrize("description", ["", "Return the weather in a city.", "Current weather"])
def test_wording_is_free(ask, description):
    """Only the tool's name counts: it is called however it is described, behind a system message too."""
    worded = tool("get_weather", description, city="string")
    worded["function"]["parameters"]["additionalProperties"] = False
    reply = ask([SYSTEM, {"role": "user", "content": WEATHER}], tools=[worded])

    assert calls(reply) == [("get_weather", {"city": "Paris"})]


def test_answer_to_the_result(ask):
    """With the tool's result the model says the answer, with the tools still given and without."""
    messages = answered(ask(WEATHER, tools=[GET_WEATHER]))

    for tools in ({"tools": [GET_WEATHER]}, {}):
        reply = ask(messages, **tools)
        assert (reply.content, reply.finish_reason, reply.tool_calls) == (AFTER, "stop", ())


def test_other_result(ask):
    """It knows no answer to another result, and says so."""
    messages = answered(ask(WEATHER, tools=[GET_WEATHER]), "5 degrees and rain")

    assert ask(messages, tools=[GET_WEATHER]).content == FALLBACK


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"tools": [OTHER]},
        {"tools": [GET_WEATHER], "tool_choice": "none"},
    ],
)
def test_no_call_without_the_tool(ask, params):
    """Where there is no such tool, or none may be called, the model says what it would need."""
    reply = ask(WEATHER, **params)

    assert (reply.content, reply.finish_reason, reply.tool_calls) == (UNAIDED, "stop", ())


def test_no_call_without_need(ask, answers):
    """With the tool given another question still gets its answer."""
    reply = ask("What is the capital of France?", tools=[GET_WEATHER])

    assert (reply.content, reply.tool_calls) == (answers["What is the capital of France?"], ())


def test_unfit_call(ask):
    """A call that must be made of a tool which was not taught does not fit it: an error, and no guess."""
    with pytest.raises(ServiceError, match="tool") as caught:
        ask(WEATHER, tools=[OTHER], tool_choice="required")

    assert caught.value.status == 500


def test_conversation_goes_on(ask, answers):
    """After call, result and answer the next question gets its own answer."""
    messages = answered(ask(WEATHER, tools=[GET_WEATHER]))
    messages += [ask(messages, tools=[GET_WEATHER]).message, {"role": "user", "content": "Hello"}]

    assert ask(messages, tools=[GET_WEATHER]).content == answers["Hello"]


def shape(*names):
    """Return a response_format that asks for a person, whose members stand in this order."""
    kinds = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema = {
        "type": "object",
        "properties": {name: kinds[name] for name in names},
        "required": list(names),
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "Person", "schema": schema, "strict": True}}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"response_format": {"type": "json_object"}},
        {"response_format": shape("age", "name")},
        {"response_format": shape("name", "age")},
    ],
)
def test_json(ask, params):
    """The person is the same JSON of its own accord and under a schema, in the service's order of members."""
    reply = ask(PERSON, **params)

    assert (reply.content, reply.finish_reason) == (ADA, "stop")


def test_schema_is_enforced(ask):
    """A question that is answered in words gets JSON of the schema's shape when one is given."""
    reply = ask("Hello", response_format=shape("age", "name"))

    assert {name: type(value) for name, value in json.loads(reply.content).items()} == {
        "age": int,
        "name": str,
    }
