"""What a stream gathers beside the text: thinking, and tool calls, whole or in fragments."""

from __future__ import annotations

import json

import pytest

from foundry_rest.dialects.openai import parse_chunk
from foundry_rest.dialects.operation import Operation
from foundry_rest.stream import ChatStream
from foundry_rest.testing import FakeOpenReply
from foundry_rest.transport.call import Call


def gather(*deltas):
    """Return the reply that a stream of these deltas gathers to."""
    events = [json.dumps({"choices": [{"delta": delta}]}).encode() for delta in deltas]
    return ChatStream(
        FakeOpenReply([*events, b"[DONE]"]), Operation(Call("POST", "/x"), parse_chunk), 0.0
    ).gather()


def test_reasoning_is_kept_apart():
    """Thinking is no part of the text."""
    reply = gather({"reasoning_content": "Hm"}, {"reasoning_content": "."}, {"content": "42"})

    assert (reply.reasoning, reply.content) == ("Hm.", "42")


def tool(index=0, id=None, name=None, arguments=None):
    """Return a part of a tool call."""
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        ([[tool(0, "a", "add", '{"n":1}')]], [("a", "add", '{"n":1}')]),
        ([[tool(0, "a", "add", "{}"), tool(1, "b", "sub", "{}")]], [("a", "add", "{}"), ("b", "sub", "{}")]),
        ([[tool(0, "a", "add", "")], [tool(0, None, None, '{"n"')], [tool(0, "", None, ":1}")]],
         [("a", "add", '{"n":1}')]),
        ([[tool(0, "a", "add")], [tool(1, "b", "sub")], [tool(1, None, None, "{}")]],
         [("a", "add", "{}"), ("b", "sub", "{}")]),
        ([[tool(0, "a", "add", "{}")], [tool(0, "b", "sub", "{}")]],
         [("a", "add", "{}"), ("b", "sub", "{}")]),
        ([[tool(None, "a", "add", "{}")], [tool(None, "b", "sub", "{}")]],
         [("a", "add", "{}"), ("b", "sub", "{}")]),
        ([[{"index": 0, "id": "a"}], [{"index": 0}]], [("a", None, "{}")]),
    ],
)  # fmt: skip
def test_tool_calls_are_gathered(parts, calls):
    """Whole calls are taken as they are; fragments, as other services send them, are joined by index."""
    reply = gather(*({"tool_calls": part} for part in parts))
    gathered = [
        (call.id, call.function and call.function.name, call.function and call.function.arguments)
        for call in reply.tool_calls
    ]

    assert gathered == calls
