"""Quirks of 1.2.4 that a client can see, on the real service; listed in docs/explanation/quirks.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, NotFound
from foundry_rest.errors import ConfigError

pytestmark = pytest.mark.runtime
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:2"
QUESTION = "What is the capital of France?"


@pytest.fixture
def client(core_runtime) -> Iterator[FoundryAPIClient]:
    """Return a client on the shared service, its model in memory."""
    with FoundryAPIClient(core_runtime.url, model=ALIAS) as made:
        made.models.load(ALIAS)
        yield made


def asked_by_hand(client: FoundryAPIClient, content: object, **params: object) -> dict:
    """Return the service's own answer to a question that this package does not check."""
    body = {"model": ID, "messages": [{"role": "user", "content": content}], "temperature": 0, **params}
    return client.request("POST", CHAT, json=body).raw


@pytest.mark.parametrize(
    "params",
    [
        {"extra": {"n": 2}},
        {"logprobs": True},
        {"stop": "Paris"},
        {"seed": 7},
        {"logit_bias": {"5": 10}},
        {"presence_penalty": 0.5},
        {"response_format": {"type": "json_object"}},
        {"extra": {"no_such_parameter": 1}},
    ],
)
def test_parameters_without_effect(client, answers, params):
    """Ignored in silence (n, logprobs, stop, seed, response_format, ...): sent as given, one plain answer."""
    reply = client.complete(QUESTION, temperature=0, **params)

    assert (reply.content, len(reply.raw["choices"])) == (answers[QUESTION], 1)


@pytest.mark.parametrize("params", [{"max_tokens": "5"}])
def test_values_that_1x_lets_pass(client, params):
    """1.2.4 takes a limit in quotes; here it is a mistake."""
    assert asked_by_hand(client, "Hello", **params)["choices"]
    with pytest.raises(ConfigError, match=next(iter(params))):
        client.complete("Hello", **params)


def test_ids_repeat(client, answers):
    """Answers share an id, so that nothing may be told apart by it: each is whole all the same."""
    replies = [client.complete(QUESTION, temperature=0) for _ in range(3)]
    replies += [client.stream_complete(QUESTION, temperature=0).gather()]

    assert len({reply.id for reply in replies}) < len(replies)
    assert {reply.content for reply in replies} == {answers[QUESTION]}


def test_pictures_are_shown_as_json(client):
    """1.2.4 writes a picture's JSON into the prompt: told by the tokens that it costs."""
    text = {"type": "text", "text": QUESTION}
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'a' * 400}"}}
    with_picture, alone = (
        client.complete([{"role": "user", "content": parts}], max_tokens=3).usage
        for parts in ([text, picture], [text])
    )

    assert with_picture.prompt_tokens > alone.prompt_tokens + 50


def test_background_is_not(client):
    """A response in the background is made at once: its answer is whole when the call returns."""
    got = client.responses.create(QUESTION, extra={"background": True}, temperature=0)

    assert (got.status, got.output_text) == ("completed", "The capital of France is Paris.")


def test_the_model_route_knows_bare_names(client):
    """``/v1/models/{name}`` takes no version; no endpoint asks it, and by hand the refusal is a NotFound."""
    assert client.request("GET", "/v1/models/demo-chat-generic-cpu").raw["parent"] == ALIAS
    with pytest.raises(NotFound):
        client.request("GET", f"/v1/models/{ID}")
