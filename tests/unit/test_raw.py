"""Any route, through the same deadlines, retries and error classes."""

from __future__ import annotations

import os

import pytest

from foundry_rest import FoundryAPIClient, Replay, RetryPolicy
from foundry_rest.errors import ConfigError, NotFound, ServiceTimeout, ServiceUnreachable
from foundry_rest.testing import cut, json_answer, stall


@pytest.fixture
def client(server):
    """Ask that server."""
    with FoundryAPIClient(server.url, retries=0) as made:
        yield made


def test_any_route(server, client):
    """``request`` sends what it is told through the same machinery."""
    server.on("POST", "/v1/embeddings", json_answer({"data": []}))
    reply = client.request("post", "/v1/embeddings?x=1", json={"input": "é"}, headers={"X-Trace": "7"})
    (request,) = server.asked("/v1/embeddings")

    assert (reply.status, reply.raw, reply.url) == (200, {"data": []}, server.url)
    assert (request.method, request.query, request.json()) == ("POST", "x=1", {"input": "é"})
    assert (request.headers.get("x-trace"), request.headers.get("content-type")) == ("7", "application/json")
    assert client.request("GET", "/status", parse=lambda reply: reply.raw["pid"]) == os.getpid()


def test_any_routes_errors(server, client):
    """Refusals and bounds are those of every other call."""
    with pytest.raises(NotFound, match="No mapping for HTTP-method: 'PATCH'"):
        client.request("PATCH", "/nowhere")
    server.on("*", "/slow", stall())
    with pytest.raises(ServiceTimeout):
        client.request("GET", "/slow", timeout=0.03)
    server.on("GET", "/gone", cut(), json_answer({}))
    with pytest.raises(ServiceUnreachable):
        client.with_options(retries=2).request("GET", "/gone")


def test_any_route_may_be_replayed(server, client):
    """A request is repeated after a cut only when asking twice is said to be harmless."""
    server.on("GET", "/cut", cut(), json_answer({"a": 1}))
    again = client.with_options(retries=RetryPolicy(retries=1, base=0, floor=0))

    assert again.request("GET", "/cut", replay=Replay.ALWAYS).raw == {"a": 1}


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "status", None, "path must start with /"),
        ("GET", "/a b", None, "path must start with /"),
        ("GET", "/a#b", None, "path must start with /"),
        ("GET", "http://evil/", None, "path must start with /"),
        ("", "/x", None, "method must be an HTTP verb"),
        ("GE T", "/x", None, "method must be an HTTP verb"),
        ("GÉT", "/x", None, "method must be an HTTP verb"),
        (7, "/x", None, "method must be an HTTP verb"),
        ("POST", "/x", {"a": float("nan")}, "json holds nan"),
        ("POST", "/x", b"{}", "json holds bytes"),
        ("POST", "/x", {"a": {1}}, "json holds set"),
    ],
)
def test_any_routes_mistakes(server, client, method, path, body, words):
    """They cost no request."""
    with pytest.raises(ConfigError, match=words):
        client.request(method, path, json=body)

    assert server.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.example/status",
        "status",
        "",
        "/a b",
        "/a\nHost: evil",
        "/a\r",
        "/a\tb",
        "/a#b",
        "/a\\b",
        "/modèle",
        "/a\x00",
        "/a\x7f",
        None,
    ],
)
def test_a_path_that_cannot_be_sent_as_it_is_is_refused(server, client, path):
    """Absolute addresses, blanks, line ends, fragments and non-ASCII are a ConfigError naming the call."""
    with pytest.raises(ConfigError, match="path must start with /") as caught:
        client.request("GET", path)

    assert caught.value.call == "request"
    assert server.requests == []


@pytest.mark.parametrize(
    "path", ["/", "/status", "/models/load/phi-4-mini:1", "/v1/responses?limit=5&a=%C3%A9"]
)
def test_a_plain_path_is_taken(server, client, path):
    """Colons and queries pass as they are: 2.x wants its ids raw."""
    server.otherwise(json_answer({}))
    client.request("GET", path)
    (request,) = server.requests

    assert request.path + (f"?{request.query}" if request.query else "") == path
