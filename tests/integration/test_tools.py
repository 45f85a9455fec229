"""Tools on the real runtime: the demo model was taught one call, its result and its answer."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from foundry_rest import BadRequest, ToolCallFailed
from foundry_rest.errors import ToolLoopExceeded
from foundry_rest.schema.tools import Tool, tool_message

pytestmark = pytest.mark.runtime
TAUGHT = json.loads((Path(__file__).parents[2] / "tools" / "demo_model" / "tools.json").read_text("utf-8"))
QUESTION, RESULT, ANSWER = TAUGHT["question"], TAUGHT["results"][0], TAUGHT["answer"]


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    assert city == "Paris"
    return RESULT


class City(enum.Enum):
    """A city that the weather is known of."""

    PARIS = "Paris"
    LYON = "Lyon"


class Sky(msgspec.Struct):
    """What the model was taught to read as JSON, too."""

    temperature: int
    sky: str


def test_a_run(client):
    """The model calls the function, reads its result and answers; the conversation is whole."""
    run = client.chat.run_tools(QUESTION, functions=[get_weather], temperature=0)

    assert (run.reply.content, run.reply.finish_reason) == (ANSWER, "stop")
    assert [(made.call.name, made.result) for made in run.calls] == [("get_weather", RESULT)]
    assert [message["role"] for message in run.messages] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_forced_choice_ends(client, choice):
    """However the first call came about, the run comes to its answer."""
    run = client.chat.run_tools(QUESTION, functions=[get_weather], tool_choice=choice, temperature=0)

    assert run.reply.content == ANSWER


def test_arguments_of_other_types(client):
    """The service takes a schema with references, and the function gets the annotated type."""
    seen: list[City] = []

    def get_weather(city: City, days: Annotated[int, msgspec.Meta(ge=1)] = 1) -> Sky:
        """Get the weather in a city.

        Args:
            city: The city.
            days: How many days.
        """
        seen.append(city)
        return Sky(18, "sunny")

    run = client.chat.run_tools(QUESTION, functions=[get_weather], temperature=0)

    assert seen == [City.PARIS]
    assert run.messages[2]["content"] == '{"temperature":18,"sky":"sunny"}'
    assert run.reply.content == ANSWER


@pytest.mark.parametrize("whole", [True, False])
def test_a_conversation_by_hand(client, whole):
    """Reply and result turn into the messages that go on, whether it was streamed or not."""
    ask = client.chat.complete if whole else lambda *args, **more: client.chat.stream(*args, **more).gather()
    reply = ask(QUESTION, tools=[get_weather], temperature=0)
    (call,) = reply.tool_calls
    messages = [{"role": "user", "content": QUESTION}, reply.message, tool_message(call, RESULT)]

    assert (reply.finish_reason, call.parse()) == ("tool_calls", {"city": "Paris"})
    assert ask(messages, tools=[Tool.of(get_weather).spec], temperature=0).content == ANSWER
    assert ask(messages, temperature=0).content == ANSWER


def test_no_call_where_none_is_wanted(client):
    """``tool_choice="none"`` gives a text."""
    run = client.chat.run_tools(QUESTION, functions=[get_weather], tool_choice="none", temperature=0)

    assert (run.calls, run.reply.finish_reason) == ((), "stop")


def test_the_turns_are_bounded(client):
    """With one turn the call cannot be answered; the conversation is kept."""
    with pytest.raises(ToolLoopExceeded) as caught:
        client.chat.run_tools(QUESTION, functions=[get_weather], max_turns=1, temperature=0)

    assert caught.value.messages == ({"role": "user", "content": QUESTION},)


def test_a_call_cut_by_max_tokens(client):
    """2.x says itself that the call is not whole; it is tried as often as the policy allows, never made."""
    with pytest.raises(ToolCallFailed, match="invalid tool call"):
        client.with_options(retries=0).chat.run_tools(
            QUESTION, functions=[get_weather], max_tokens=4, temperature=0
        )


def test_a_result_that_nobody_asked_for(client):
    """A ``tool_call_id`` that no call has is refused by the service."""
    messages = [{"role": "user", "content": QUESTION}, {"role": "tool", "tool_call_id": "x", "content": "y"}]
    with pytest.raises(BadRequest, match="unknown tool call id"):
        client.chat.complete(messages)


def test_a_call_that_is_not_approved(client):
    """The function is not called; the service takes the refusal as the call's result, and the run ends."""
    run = client.chat.run_tools(
        QUESTION, functions=[get_weather], approve=lambda call: "not today", temperature=0, max_tokens=50
    )

    assert run.calls[0].error == "The user refused this call: not today"
    assert run.messages[2]["content"] == "Error: The user refused this call: not today"
    assert run.reply.content
