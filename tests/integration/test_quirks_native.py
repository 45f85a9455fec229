"""Quirks of 2.2.1 that a client can see, on the real service; listed in docs/explanation/quirks.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, LocalRuntime, ModelNotFound, NotFound, ServiceError
from foundry_rest.config import DEFAULT_MAX_TOKENS
from foundry_rest.errors import ConfigError, UnsupportedByService

pytestmark = pytest.mark.runtime
MODELS = Path(__file__).parents[1] / "models"
ID = "demo-chat-generic-cpu:1"
QUESTION = "What is the capital of France?"
#: Makes the model write until its limit ends it.
ENDLESS = {"type": "lark_grammar", "lark_grammar": "start: /[a-z ]{60000}/"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}


def asked_by_hand(client: FoundryAPIClient, content: object, **params: object) -> dict:
    """Return the service's own answer to a question that this package does not check."""
    body = {"model": ID, "messages": [{"role": "user", "content": content}], "temperature": 0, **params}
    return client.request("POST", CHAT, json=body).raw


@pytest.mark.parametrize(
    "params",
    [
        {"n": 2},
        {"logprobs": True, "top_logprobs": 2},
        {"logit_bias": {"5": 10}},
        {"parallel_tool_calls": False},
        {"user": "me", "store": True, "service_tier": "x", "ep": "cuda", "ttl": 5, "functions": []},
        {"no_such_parameter": 1},
        {"chat_template_kwargs": {"enable_thinking": False}, "reasoning_effort": "low"},
        {"seed": 7, "metadata": {"top_k": "1"}},
        {"response_format": {"type": "json"}},
    ],
)
def test_parameters_without_effect(client, answers, params):
    """Ignored or accepted in silence (n, logprobs, logit_bias, user, ...): sent as given, one answer."""
    reply = client.chat.complete(QUESTION, temperature=0, extra=params)

    assert (reply.content, reply.finish_reason) == (answers[QUESTION], "stop")
    assert {choice["index"] for event in reply.stream_events for choice in event["choices"]} == {0}


@pytest.mark.parametrize("stop", ["Paris", ["nowhere", "Paris"]])
def test_stop_strings(client, stop):
    """`stop` is heeded: its text is cut off, the reason is "stop", and a stream holds the same."""
    for reply in (
        client.complete(QUESTION, stop=stop, temperature=0),
        client.stream_complete(QUESTION, stop=stop, temperature=0).gather(),
    ):
        assert (reply.content, reply.finish_reason) == ("The capital of France is ", "stop")


def test_the_limit_that_nobody_gave(client):
    """Without max_tokens 2.2.1 writes 2,048 tokens and no more; the client says the same number aloud."""
    silent = asked_by_hand(client, "Hello", response_format=ENDLESS)

    assert silent["usage"]["completion_tokens"] == DEFAULT_MAX_TOKENS
    reply = client.complete("Hello", response_format=ENDLESS)
    assert (reply.usage.completion_tokens, reply.finish_reason) == (DEFAULT_MAX_TOKENS, "length")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_both_limits(client, name):
    """Either name of the limit is heeded and told as a cut."""
    reply = client.complete(QUESTION, temperature=0, **{name: 3})

    assert (reply.usage.completion_tokens, reply.finish_reason) == (3, "length")


@pytest.mark.parametrize("part", [PICTURE, SOUND])
def test_pictures_and_sound_in_chat(client, part):
    """2.2.1 drops them in silence and answers the text: refused here, with the route that takes them."""
    text = {"type": "text", "text": QUESTION}
    with_part, alone = (asked_by_hand(client, parts)["usage"] for parts in ([text, part], [text]))

    assert with_part["prompt_tokens"] == alone["prompt_tokens"]
    for ask in (client.complete, client.stream_complete):
        with pytest.raises(UnsupportedByService, match=r"no pictures.*client\.responses\.create"):
            ask([{"role": "user", "content": [text, part]}])


def test_roles_and_names(client):
    """Unknown roles are tolerated by the service, which makes nothing of them: refused; `name` goes along."""
    user = {"role": "user", "content": "Hi", "name": "x"}
    conversation = [{"role": "developer", "content": "Be kind."}, user]
    assert client.complete(conversation, max_tokens=3, temperature=0).usage.completion_tokens <= 3
    with pytest.raises(ConfigError, match="no role 'alien'"):
        client.complete([{"role": "alien", "content": "Be kind."}, user])


def test_headers_come_twice(client, answers):
    """A stream's Content-Type is there twice: it is looked into, not compared."""
    stream = client.stream_complete(QUESTION, temperature=0)

    assert stream.headers["Content-Type"] == "text/event-stream, text/event-stream"
    assert stream.gather().content == answers[QUESTION]


def test_paths_are_not_decoded(client):
    """A colon goes raw (%3A is another name), case counts, and slashes too many do not."""
    assert client.request("GET", f"/v1/models/{ID}").raw["id"] == ID
    assert all(client.request("GET", path).raw["pid"] for path in ("//status", "/status/"))
    with pytest.raises(ModelNotFound, match="%3A"):
        client.request("GET", f"/v1/models/{ID.replace(':', '%3A')}")
    with pytest.raises(NotFound, match="No mapping"):
        client.request("GET", "/STATUS")


def test_localhost(runtime, answers):
    """2.2.1 listens on IPv4 alone; `localhost` reaches it though it may mean ::1 first."""
    with FoundryAPIClient(runtime.url.replace("127.0.0.1", "localhost"), model="demo-chat") as client:
        assert client.complete(QUESTION, temperature=0).content == answers[QUESTION]


@pytest.fixture
def other_kinds() -> Iterator[FoundryAPIClient]:
    """Return a client on a service whose models are not for chat."""
    folders = [MODELS / "tiny-embeddings", MODELS / "tiny-whisper"]
    with LocalRuntime(folders) as started, FoundryAPIClient(started.url, retries=0) as made:
        yield made


@pytest.mark.parametrize(
    ("model", "words"), [("tiny-embeddings", "Empty chat template"), ("tiny-whisper", "audio_features")]
)
def test_a_chat_with_a_model_for_something_else(other_kinds, model, words):
    """2.2.1 does not look at the task: it tries, fails in words of its own, and lives."""
    with pytest.raises(ServiceError, match=words):
        other_kinds.complete("Hello", model=model, max_tokens=4)

    assert other_kinds.health.is_alive()


def test_embeddings_count_nothing(other_kinds):
    """Their usage is zeros on the wire, and so it is handed on; the vectors are floats whatever is asked."""
    reply = other_kinds.embeddings.create("Hello", model="tiny-embeddings")
    body = {"model": reply.model, "input": "Hello", "encoding_format": "base64", "dimensions": 8}
    raw = other_kinds.request("POST", "/v1/embeddings", json=body).raw

    assert raw["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert (reply.usage.total_tokens, raw["data"][0]["embedding"]) == (0, reply.vector)


def test_what_responses_ignore(client):
    """`background`, `include`, `truncation`, `user` and json_object have no effect: the answer is whole."""
    form = {"format": {"type": "json_object"}}
    got = client.responses.create(
        QUESTION, text=form, extra={"background": True, "include": ["x"], "truncation": "auto"}, temperature=0
    )

    assert (got.status, got.output_text) == ("completed", "The capital of France is Paris.")


def test_conversations_of_openai(client):
    """2.2.1 would ignore `conversation` and forget what was said: refused, with what goes on instead."""
    with pytest.raises(ConfigError, match="previous_response_id"):
        client.responses.create("Hello", extra={"conversation": "conv_1"})
    body = {"model": ID, "input": "Hello", "conversation": "conv_1", "max_output_tokens": 1}
    assert client.request("POST", "/v1/responses", json=body).raw["output_text"]


def test_no_route_cancels_a_response(client):
    """2.2.1 has none: closing the stream stops the work, and the client offers nothing else."""
    with pytest.raises(NotFound, match="No mapping"):
        client.request("POST", "/v1/responses/resp_x/cancel")

    assert not hasattr(client.responses, "cancel")
