"""Misspelt names: nothing that a person gave is dropped or sent where nobody reads it."""

from __future__ import annotations

import pytest
from support.cases import each_case

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError
from foundry_rest.testing import DEMO_MODEL

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
#: What somebody may write, and what is meant.
OPTIONS = {
    "dead_line": "deadline",
    "deadlne": "deadline",
    "time_out": "timeout",
    "timeouts": "timeout",
    "Timeout": "timeout",
    "retry": "retries",
    "header": "headers",
    "cancle": "cancel",
}
CHAT = {
    "max_token": "max_tokens",
    "maxtokens": "max_tokens",
    "max_tokes": "max_tokens",
    "maxTokens": "max_tokens",
    "temprature": "temperature",
    "Temperature": "temperature",
    "temp_erature": "temperature",
    "topp": "top_p",
    "stops": "stop",
    "tool": "tools",
    "toolchoice": "tool_choice",
    "responseformat": "response_format",
    "respons_format": "response_format",
    "frequencypenalty": "frequency_penalty",
    "presence_penality": "presence_penalty",
    "seeds": "seed",
    "extras": "extra",
    "log_probs": "logprobs",
}
RESPONSES = {
    "max_output_token": "max_output_tokens",
    "instruction": "instructions",
    "previous_response": "previous_response_id",
    "storee": "store",
    "temprature": "temperature",
}


@pytest.fixture(params=GENERATIONS)
def client(request, server):
    """Ask the server as a client of one generation."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=request.param) as made:
        yield made


@each_case("wrong, right", {**OPTIONS, **CHAT}.items())
@each_case("how", ["complete", "stream"])
def test_arguments_of_chat(server, client, how, wrong, right):
    """The error names the near one, and nothing is sent."""
    with pytest.raises(ConfigError, match=rf"no argument '{wrong}'.*Did you mean .*\b{right}\b"):
        getattr(client.chat, how)("Hi", **{wrong: 1})
    assert server.requests == []


@each_case("wrong, right", {**OPTIONS, **RESPONSES}.items())
@each_case("how", ["create", "stream"])
def test_arguments_of_responses(server, client, how, wrong, right):
    """The same holds for the Responses API."""
    with pytest.raises(ConfigError, match=rf"no argument '{wrong}'.*Did you mean .*\b{right}\b"):
        getattr(client.responses, how)("Hi", **{wrong: 1})
    assert server.requests == []


@pytest.mark.parametrize(("wrong", "right"), OPTIONS.items())
def test_options_of_other_calls(server, client, wrong, right):
    """And for calls that take nothing but options."""
    for call in (client.models.list, client.health.check, client.health_check):
        with pytest.raises(ConfigError, match=rf"no argument '{wrong}'.*Did you mean .*\b{right}\b"):
            call(**{wrong: 1})
    assert server.requests == []


@pytest.mark.parametrize("name", ["n", "best_of", "frobnicate", "guided_json", "min_p"])
def test_fields_that_the_client_does_not_know(server, client, name):
    """They go through ``extra``, which the error says."""
    with pytest.raises(ConfigError, match=rf"no argument '{name}'.*extra=\{{"):
        client.complete("Hi", **{name: 2})
    assert server.requests == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"role": "usr", "content": "Hi"}, "role 'usr'.*Did you mean user"),
        ({"role": "User", "content": "Hi"}, "role 'User'.*Did you mean user"),
        ({"role": "asistant", "content": "Hi"}, "role 'asistant'.*Did you mean assistant"),
        ({"role": "bot", "content": "Hi"}, "role 'bot'.*assistant, developer, function, system, tool, user"),
        ({"role": "", "content": "Hi"}, "role ''"),
        ({"role": "user", "contents": "Hi"}, "member 'contents'.*Did you mean content"),
        ({"role": "user", "content": "Hi", "text": "Ho"}, "member 'text'"),
        ({"role": "user", "content": "Hi", "nmae": "Ann"}, "member 'nmae'.*Did you mean name"),
        (
            {"role": "assistant", "tool_call": [], "content": "Hi"},
            "member 'tool_call'.*Did you mean tool_calls",
        ),
        ({"Role": "user", "content": "Hi"}, "needs a role"),
    ],
)
@pytest.mark.parametrize("how", ["complete", "stream"])
def test_messages(server, client, how, message, words):
    """A role or a member that no service reads is refused by its name."""
    with pytest.raises(ConfigError, match=words):
        getattr(client.chat, how)([message])
    assert server.requests == []


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "audio": None},
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm"},
        {"role": "assistant", "content": "Hi", "reasoning": "Hm"},
        {"role": "function", "name": "add", "content": "3"},
    ],
)
def test_messages_as_services_send_them(client, message):
    """What a service put into its answer may be sent back as it is."""
    client.complete([message, {"role": "user", "content": "Hi"}])
