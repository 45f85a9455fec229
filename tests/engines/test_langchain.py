"""LangChain's own client on the real runtime, with what `client.openai_settings` hands over."""

from __future__ import annotations

import pytest
from support.engines import needs

from foundry_rest import FoundryAPIClient

pytestmark = needs("langchain_openai")


@pytest.fixture
def chat(runtime, monkeypatch):
    """Return a ChatOpenAI; nothing of a conversation goes to LangChain's own service."""
    for name in ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING"):
        monkeypatch.setenv(name, "false")
    from langchain_openai import ChatOpenAI

    with FoundryAPIClient(runtime.url) as client:
        yield ChatOpenAI(**client.openai_settings("demo-chat"), temperature=0, max_tokens=200)


def test_an_answer(chat):
    """It is whole, and its tokens are counted."""
    reply = chat.invoke("Say OK")

    assert reply.content == "OK"
    assert reply.usage_metadata["output_tokens"] > 0


def test_a_stream(chat):
    """It comes in pieces, which are the text."""
    pieces = [chunk.content for chunk in chat.stream("What is the capital of France?")]

    assert "".join(pieces) == "The capital of France is Paris."
    assert len(list(filter(None, pieces))) > 3


def test_an_answer_of_a_type(chat):
    """It is read where the model writes it; 2.x holds it to JSON alone, not to the fields."""
    from pydantic import BaseModel

    class Person(BaseModel):
        """A person."""

        name: str
        age: int

    asked = chat.with_structured_output(Person, method="json_schema")
    assert asked.invoke("Give me a person as JSON") == Person(name="Ada", age=36)


def test_a_tool(chat):
    """The model calls it, reads its result and answers."""

    def get_weather(city: str) -> str:
        """Get the weather in a city."""
        return "18 degrees and sunny"

    from langchain_core.messages import HumanMessage, ToolMessage

    asked, messages = chat.bind_tools([get_weather]), [HumanMessage("What is the weather in Paris?")]
    messages.append(asked.invoke(messages))
    (call,) = messages[-1].tool_calls
    messages.append(ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]))

    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert asked.invoke(messages).content == "It is 18 degrees and sunny in Paris."
