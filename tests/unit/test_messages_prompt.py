"""The two names of a chat call's first argument, by themselves and on every method that takes it."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError
from foundry_rest.schema.messages import prompt_or_messages
from foundry_rest.testing import FaultServer, json_answer

CONVERSATION = [{"role": "user", "content": "Hi"}]


def now() -> str:
    """Return the time."""
    return "12:00"


#: Method -> what it needs beside the prompt.
METHODS = {
    "complete": {},
    "stream_complete": {},
    "chat.complete": {},
    "chat.stream": {},
    "chat.run_tools": {"functions": [now]},
    "chat.count_tokens": {},
}


COUNT = "/v1/chat/completions/tokenizer/encode/count"


@pytest.fixture
def server():
    """Serve a chat that also counts tokens."""
    with FaultServer() as running:
        running.on("POST", COUNT, json_answer({"tokenCount": 1}))
        yield running


@pytest.fixture
def client(server):
    """Ask that server as a 0.x, the one generation with a route that counts tokens."""
    with made_for(server) as made:
        yield made


def made_for(server):
    """Return a client that has kept nothing."""
    return FoundryAPIClient(server.url, model="demo-generic-cpu:1", dialect="0.x")


def method_of(client, path):
    """Return a method of the client by its dotted name."""
    for name in path.split("."):
        client = getattr(client, name)
    return client


@pytest.mark.parametrize("given", ["Hi", CONVERSATION, "", None])
def test_the_one_that_is_given(given):
    """Either name takes anything, and leaves it to the check of the conversation."""
    assert prompt_or_messages(given, UNSET) is given
    assert prompt_or_messages(UNSET, given) is given


@pytest.mark.parametrize(
    ("prompt", "messages", "said"),
    [
        (UNSET, UNSET, 'there is no prompt: give prompt="..." or messages='),
        ("Hi", CONVERSATION, "give prompt or messages, not both: a prompt goes into messages as"),
    ],
)
def test_neither_and_both(prompt, messages, said):
    """The error says what to write."""
    with pytest.raises(ConfigError, match=said):
        prompt_or_messages(prompt, messages)


@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize("name", ["prompt", "messages"])
def test_either_name_on_every_method(server, path, name):
    """Both names ask for the same as the first argument does."""
    for first, named in (((CONVERSATION,), {}), ((), {name: CONVERSATION}), ((), {name: "Hi"})):
        with made_for(server) as client:
            method_of(client, path)(*first, **named, **METHODS[path])
    first, *others = [request.json() for request in server.requests if request.method == "POST"]

    assert first["messages"] == CONVERSATION
    assert others == [first, first]


@pytest.mark.parametrize("path", METHODS)
def test_neither_and_both_on_every_method(server, client, path):
    """A call without a prompt, or with two, sends nothing."""
    method, more = method_of(client, path), METHODS[path]
    with pytest.raises(ConfigError, match="there is no prompt"):
        method(**more)
    with pytest.raises(ConfigError, match="not both"):
        method(prompt="Hi", messages=CONVERSATION, **more)
    for name in ("prompt", "messages"):
        with pytest.raises((ConfigError, TypeError), match=r"not both|multiple values for argument"):
            method("Hi", **{name: "Hi"}, **more)

    assert server.requests == []
