"""What users get: lenient about what services add, strict about what they must say."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from foundry_rest.schema import ChatChunk, ChatReply, Choice, ModelInfo, Part, ToolCall, Usage


def chunk(**fields: object) -> ChatChunk:
    """Return a chunk read from JSON, as a dialect reads it."""
    event = msgspec.json.encode(fields)
    read = msgspec.json.decode(event, type=ChatChunk)
    read.event = event
    return read


def test_an_empty_chunk_says_nothing():
    """Events with only usage, or with empty choices, have empty answers to every question."""
    for read in (chunk(), chunk(choices=[]), chunk(choices=None, usage={"total_tokens": 3})):
        assert (read.content, read.reasoning, read.tool_calls, read.finish_reason) == ("", "", [], None)
        assert read.choice == Choice()


@pytest.mark.parametrize(
    ("choice", "content"),
    [
        ({"delta": {"content": "a"}}, "a"),
        ({"message": {"content": "b"}}, "b"),
        ({"delta": {"content": "a"}, "message": {"content": "b"}}, "a"),
        ({"delta": None, "message": {"content": "b"}}, "b"),
        ({"delta": {"content": None}}, ""),
        ({"delta": {}}, ""),
        ({}, ""),
    ],
)
def test_the_text_is_found_in_either_place(choice, content):
    """1.x and 0.x send delta and message side by side; delta counts first."""
    assert chunk(choices=[choice]).content == content


def test_a_chunk_is_fully_typed():
    """Reasoning, tool calls and the reason for the end are there, unknown fields in ``raw``."""
    call = {"id": "c1", "type": "function", "index": 0, "function": {"name": "now", "arguments": "{}"}}
    delta = {"reasoning_content": "hm", "tool_calls": [call], "refusal": None}
    read = chunk(choices=[{"delta": delta, "finish_reason": "tool_calls", "logprobs": None}], IsDelta=True)

    assert (read.reasoning, read.finish_reason) == ("hm", "tool_calls")
    assert (read.tool_calls[0].id, read.tool_calls[0].function.name) == ("c1", "now")
    assert read.raw["IsDelta"] is True
    assert ChatChunk().raw is None


def test_the_raw_of_a_reply():
    """The body of a plain answer; for one gathered from a stream the same shape, and the list of events."""
    bodies = (b'{"a":1}', b'{"a":2}')

    assert ChatReply(content="", bodies=bodies[:1]).raw == {"a": 1}
    streamed = ChatReply(content="", bodies=bodies, first_token=0.1)
    assert streamed.stream_events == [{"a": 1}, {"a": 2}]
    assert streamed.raw == {"object": "chat.completion", "a": 2, "choices": []}


def test_replies_are_values():
    """A reply is frozen, comparable and picklable, for results that cross processes."""
    reply = ChatReply(content="Hi", usage=Usage(1, 2, 3), tool_calls=(ToolCall(id="c"),), bodies=(b"{}",))

    assert pickle.loads(pickle.dumps(reply)) == reply
    with pytest.raises(AttributeError, match="immutable"):
        reply.content = "other"


@pytest.mark.parametrize("name", ["phi-4-cpu:1", "PHI-4-CPU:1", "phi-4", "Phi-4", "phi-4-cpu", "PHI-4-cpu"])
def test_a_model_answers_to_its_names(name):
    """Id, alias, and id without version, in any case."""
    assert ModelInfo(id="phi-4-cpu:1", alias="Phi-4", name="phi-4-cpu").has_name(name)


@pytest.mark.parametrize("name", ["phi", "phi-4-cpu:2", "phi-4-cpu:", "phi-4-mini"])
def test_a_model_answers_to_no_other_name(name):
    """The beginning of a name is not the name."""
    assert not ModelInfo(id="phi-4-cpu:1", alias="Phi-4", name="phi-4-cpu").has_name(name)


def test_a_part_says_nothing_by_default():
    """Every field of a message may be missing."""
    assert Part() == Part(role=None, content=None, reasoning_content=None, tool_calls=None)
