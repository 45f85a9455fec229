"""Quirks of requests that are answered before anything is sent; listed in docs/explanation/quirks.md."""

from __future__ import annotations

import json

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.config import Timeouts, base_url
from foundry_rest.dialects.detect import named
from foundry_rest.errors import ConfigError, UnsupportedByService
from foundry_rest.models.names import best_match
from foundry_rest.schema import ModelInfo
from foundry_rest.schema.request import build_chat_request
from foundry_rest.schema.response_request import build_response_request
from foundry_rest.testing import FaultServer, chat_completion, json_answer, json_error
from foundry_rest.transport.call import Options

OPTIONS = Options(Timeouts(), 99.0)
TEXT = {"type": "text", "text": "What is this?"}
PARTS = [
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    {"type": "image_url", "image_url": "http://example.com/a.png"},
    {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    {"type": "file", "file": {"file_id": "f"}},
]


def request_of(content: object):
    """Return a checked request whose second message holds ``content``."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": content}]
    return build_chat_request(messages, model="m", max_tokens=7)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("ask", ["chat", "chat_stream"])
def test_media_that_2x_drops(part, ask):
    """2.x answers the text alone as if there were no picture: said before anything is sent."""
    for content in ([TEXT, part], (part,)):
        with pytest.raises(UnsupportedByService, match="no pictures, sound or files in chat") as caught:
            getattr(named("2.x"), ask)(request_of(content), OPTIONS)

        assert caught.value.generation == "2.x"


@pytest.mark.parametrize("content", ["a", [TEXT], [TEXT, "b"], [TEXT, {"type": "image_url"}], None])
def test_what_is_text_passes(content):
    """Text in whatever form, and a part without content, are for the service to judge."""
    call = named("2.x").chat(request_of(content), OPTIONS).call

    assert json.loads(call.body)["messages"][1]["content"] == content


@pytest.mark.parametrize("name", ["1.x", "0.x", "openai"])
@pytest.mark.parametrize("part", PARTS)
def test_media_elsewhere(name, part):
    """What others make of it is theirs to say: 1.x writes its JSON out, 0.x could not be tried."""
    call = named(name).chat(request_of([TEXT, part]), OPTIONS).call

    assert json.loads(call.body)["messages"][1]["content"] == [TEXT, part]


def test_media_never_reach_the_wire():
    """The refusal comes from the client, whole and streamed; the service saw no question."""
    with FaultServer() as server, FoundryAPIClient(server.url, model="demo") as client:
        for ask in (client.complete, client.stream_complete):
            with pytest.raises(UnsupportedByService, match=r"client\.responses\.create"):
                ask([{"role": "user", "content": [TEXT, PARTS[0]]}])

        assert server.asked("/v1/*") == []


def test_conversations_of_openai():
    """``conversation`` is ignored by 2.x, which would forget all that was said: refused by name."""
    for params in ({"conversation": "c"}, {"extra": {"conversation": {"id": "c"}}}):
        with pytest.raises(ConfigError, match=r"conversation cannot be given.*previous_response_id"):
            build_response_request("Hi", model="m", max_output_tokens=7, params=params)


ROUTES = ["/v1", "/v1/", "/openai/status", "/openai", "/status", "/v1/models", "/v1/chat/completions"]


@pytest.mark.parametrize("route", ROUTES)
def test_addresses_of_other_clients(route):
    """Microsoft's ``endpoint`` ends in ``/v1``, its command prints a status URL: all name the service."""
    with FaultServer() as server, FoundryAPIClient(f"{server.url}{route}", model="demo") as client:
        assert client.complete("Hi").content == "Hello there"

    assert base_url(f"https://gateway/local{route}") == f"https://gateway/local{route}".rstrip("/")
    assert base_url("http://h/v1beta") == "http://h/v1beta"


@pytest.mark.parametrize(
    "path", ["/v1beta/openai", "/api/v3", "/compatible-mode/v1", "/openai/v1", "/a/b/c", "/v2"]
)
@pytest.mark.parametrize("dialect", ["auto", "openai"])
def test_a_path_of_its_own(path, dialect):
    """The base URL of another server is used as it is, in place of ``/v1``."""
    with FaultServer().otherwise(json_error(404, "no")) as server:
        server.on("GET", f"{path}/models", json_answer({"data": [{"id": "m"}]}))
        server.on("POST", f"{path}/chat/completions", chat_completion("Hello"))
        server.on("POST", f"{path}/embeddings", json_answer({"data": [{"index": 0, "embedding": [1.0]}]}))
        with FoundryAPIClient(f"{server.url}{path}/", model="m", dialect=dialect) as client:
            assert client.complete("Hi").content == "Hello"
            assert client.embeddings.create("Hi").vectors == [[1.0]]
            assert [info.id for info in client.models.list()] == ["m"]
            assert client.health_check().generation == "openai"


@pytest.mark.parametrize("path", ["/foundry", "/a/b"])
def test_a_service_below_a_path(path):
    """A Foundry Local behind a proxy's prefix, and a server whose /v1 is below one, are recognised."""
    with FaultServer().otherwise(json_error(404, "no")) as server:
        server.on("GET", f"{path}/v1/models", json_answer({"data": [{"id": "m"}]}))
        server.on("POST", f"{path}/v1/chat/completions", chat_completion("Hello"))
        with FoundryAPIClient(f"{server.url}{path}", model="m") as client:
            assert client.complete("Hi").content == "Hello"
        server.on("GET", f"{path}/status", json_answer({"modelDirPath": "/m"}))
        server.on("GET", f"{path}/models/loaded", json_answer([]))
        with FoundryAPIClient(f"{server.url}{path}", model="m") as client:
            assert client.health_check().generation == "1.x"


@pytest.mark.parametrize(
    ("listed", "best"),
    [
        (["generic-gpu:5", "cuda-gpu:2"], "cuda-gpu:2"),
        (["cuda-gpu:2", "trtrtx-gpu:2"], "cuda-gpu:2"),
        (["trtrtx-gpu:2", "cuda-gpu:2"], "trtrtx-gpu:2"),
        (["generic-gpu:4", "generic-gpu:5"], "generic-gpu:5"),
    ],
)
def test_the_services_order_of_variants(listed, best):
    """Special before generic, then the newest; among equals the list's order is the service's preference."""
    models = [
        ModelInfo(id=f"phi-{each}", alias="phi", name=f"phi-{each[:-2]}", version=each[-1], device="GPU")
        for each in listed
    ]

    assert best_match("phi", models).id == f"phi-{best}"
