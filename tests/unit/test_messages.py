"""Messages of tool use are checked before anything is sent; the others are in test_request."""

from __future__ import annotations

import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.schema import ChatReply, FunctionCall, ToolCall
from foundry_rest.schema.messages import build_conversation
from foundry_rest.schema.tools import tool_message

CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
ASK = {"role": "user", "content": "SECRET"}


def test_a_round_of_tool_use():
    """What reply and result turn into is a conversation that passes, and so is one without calls."""
    call = ToolCall("c1", function=FunctionCall("now", None))
    messages = [ASK, ChatReply(content="", tool_calls=(call,)).message, tool_message(call, "")]

    assert build_conversation(messages) == messages
    assert build_conversation([ASK, {"role": "assistant", "content": "", "tool_calls": []}])


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "tool", "content": "12:00"}, "a tool message needs the tool_call_id"),
        ({"role": "tool", "content": "12:00", "tool_call_id": ""}, "needs the tool_call_id"),
        ({"role": "tool", "content": "12:00", "tool_call_id": 7}, "needs the tool_call_id"),
        ({"role": "assistant", "tool_calls": CALL}, "tool_calls must be a list, not dict"),
        ({"role": "assistant", "tool_calls": "SECRET"}, "tool_calls must be a list, not str"),
        ({"role": "assistant", "tool_calls": ["SECRET"]}, "must be a mapping with id and function"),
        ({"role": "assistant", "tool_calls": [{"id": "c1"}]}, "must be a mapping with id and function"),
        ({"role": "assistant", "tool_calls": [{**CALL, "function": {}}]}, "function, which has a name"),
        ({"role": "assistant", "tool_calls": [{**CALL, "id": None}]}, "needs the id that the service gave"),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "now", "arguments": {}}}]},
            "arguments must be JSON text, not dict",
        ),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "now"}}]},
            "arguments must be JSON text, not NoneType",
        ),
    ],
)
def test_messages_that_services_misread(message, words):
    """Each is refused with its reason, and without a word of it."""
    with pytest.raises(ConfigError, match=words) as caught:
        build_conversation([ASK, message])

    assert "SECRET" not in str(caught.value)
