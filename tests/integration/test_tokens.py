"""Tokens on the real runtime: counted before they are sent, a conversation that fits, and what is left."""

from __future__ import annotations

import os
import signal

import pytest

from foundry_rest import ContextLengthExceeded, FoundryAPIClient, ServiceUnreachable

pytestmark = pytest.mark.runtime


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


PROMPTS = {
    "short": ("Say OK", {}),
    "unicode": ("äöü 中文 🎈 \u202e", {}),
    "long": ("word " * 1300, {}),
    "system": ("Say OK", {"system": "Be brief."}),
    "turns": ([{"role": role, "content": "x"} for role in ("user", "assistant", "user")], {}),
    "tools": ("Say OK", {"tools": [add]}),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_equal_to_what_an_answer_reports(client, name):
    """The count is ``usage.prompt_tokens`` of the same call."""
    prompt, more = PROMPTS[name]
    counted = client.chat.count_tokens(prompt, **more)
    assert counted == client.complete(prompt, max_tokens=60, temperature=0, **more).usage.prompt_tokens


def test_a_conversation_that_fits(client, answers):
    """The oldest turns go, and the last question gets its answer."""
    question = "What is the capital of France?"
    talk = [{"role": "system", "content": "Be brief."}]
    for _ in range(50):
        talk += [{"role": "user", "content": "word " * 100}, {"role": "assistant", "content": "yes"}]
    talk.append({"role": "user", "content": question})
    with pytest.raises(ContextLengthExceeded) as caught:
        client.complete(talk)
    fitted = client.chat.fit(talk, max_tokens=200)

    assert (fitted[0], fitted[-1]) == (talk[0], talk[-1])
    assert 3500 < client.chat.count_tokens(fitted) <= caught.value.limit - 200
    assert client.complete([talk[0], talk[-1]], max_tokens=200, temperature=0).content == answers[question]
    assert client.complete(fitted, max_tokens=200).usage.prompt_tokens == client.chat.count_tokens(fitted)


@pytest.mark.parametrize("how", ["complete", "stream"])
def test_what_is_left(client, how):
    """A prompt that leaves less than the default limit is answered with what it leaves."""
    prompt = "word " * 1300
    reply = client.complete(prompt) if how == "complete" else client.chat.stream(prompt).gather()
    usage = reply.usage
    assert usage.prompt_tokens > 4096 - 2048
    assert 0 < usage.completion_tokens <= 4096 - usage.prompt_tokens


@pytest.mark.skipif(os.name != "posix", reason="kills with SIGKILL")
def test_a_killed_service(own_runtime, within):
    """A count that finds nobody fails as every call does."""
    with FoundryAPIClient(own_runtime.url, model="demo-chat", retries=0) as client:
        assert client.chat.count_tokens("Say OK") == 16
        os.kill(own_runtime.pid, signal.SIGKILL)
        assert within(5, lambda: not own_runtime.is_alive())
        with pytest.raises(ServiceUnreachable):
            client.chat.count_tokens("Say no")
        assert client.chat.count_tokens("Say OK") == 16


def test_a_model_that_was_unloaded(own_client, unload):
    """It is loaded again for a count."""
    assert own_client.chat.count_tokens("Say OK") == 16
    unload(own_client)
    assert own_client.chat.count_tokens("Say OK, please") > 16
