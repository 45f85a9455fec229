"""``tool_choice`` demands a call: an answer without one is an error, whatever its text looks like."""

from __future__ import annotations

import itertools

import pytest
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import InvalidReply
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_event, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
FORCED = ["required", "any", {"type": "function", "function": {"name": "add"}}]
FREE = ["auto", "none", None, {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": TOOLS}}]
#: Answers of models that cannot call tools, or write the call as text.
TEXTS = [
    "3",
    "",
    '{"name": "add", "arguments": {"a": 1}}',
    '<tool_call>{"name": "add", "arguments": {}}</tool_call>',
    '```json\n[{"name": "add"}]\n```',
    "<think>add it is</think>",
]
CALL = {"index": 0, "id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=request.param) as made:
        yield made


def called(request):
    """Answer with a call."""
    if request.json().get("stream"):
        return sse([chat_event({"role": "assistant"}), chat_event({"tool_calls": [CALL]}, "tool_calls")])
    return chat_completion("", finish="tool_calls", tool_calls=[CALL])


@pytest.mark.parametrize(("choice", "text"), list(itertools.product(FORCED, TEXTS)))
def test_a_whole_answer_without_a_call(server, client, choice, text):
    """The error says what was seen and keeps the text apart."""
    server.on("POST", CHAT, answer(text))

    with pytest.raises(InvalidReply, match="demands a tool call, but the answer is text") as caught:
        client.complete("1+2?", tools=TOOLS, tool_choice=choice)
    assert (caught.value.call, caught.value.model) == ("chat.complete", DEMO_MODEL)
    assert "add" not in caught.value.message


@pytest.mark.parametrize("choice", FORCED)
@pytest.mark.parametrize("text", TEXTS)
def test_a_stream_without_a_call(server, client, choice, text):
    """The text may be read as it comes; at its end is the error, each time."""
    server.on("POST", CHAT, answer(text))
    stream = client.stream_complete("1+2?", tools=TOOLS, tool_choice=choice)

    for _ in range(2):
        with pytest.raises(InvalidReply, match="demands a tool call"):
            list(stream)
    with pytest.raises(InvalidReply, match="demands a tool call"):
        stream.gather()


@pytest.mark.parametrize("choice", FORCED)
def test_an_answer_that_was_cut(server, client, choice):
    """The advice is another one."""
    server.on("POST", CHAT, answer("I will", "length"))

    with pytest.raises(InvalidReply, match=r"max_tokens cut .* Give a larger max_tokens"):
        client.complete("1+2?", tools=TOOLS, tool_choice=choice)


@pytest.mark.parametrize("choice", [*FORCED, *FREE])
def test_a_call(server, client, choice):
    """It is what was asked for."""
    server.on("POST", CHAT, called)

    assert client.complete("1+2?", tools=TOOLS, tool_choice=choice).tool_calls[0].name == "add"
    stream = client.stream_complete("1+2?", tools=TOOLS, tool_choice=choice)
    assert [chunk.tool_calls[0].name for chunk in stream if chunk.tool_calls] == ["add"]


@pytest.mark.parametrize("choice", FREE)
@pytest.mark.parametrize("text", TEXTS)
def test_where_no_call_is_demanded(server, client, choice, text):
    """Text is an answer."""
    server.on("POST", CHAT, answer(text))

    assert not client.complete("1+2?", tools=TOOLS, tool_choice=choice).tool_calls
    assert client.stream_complete("1+2?", tools=TOOLS, tool_choice=choice).gather().finish_reason == "stop"
