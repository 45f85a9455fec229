"""Without a script the fault server is a sound Foundry Local 2.x, in its spelling as it was recorded."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing

import pytest

from foundry_rest.testing import DEMO_MODEL, FaultServer

MODELS = {"demo": DEMO_MODEL, "big": "big-generic-gpu:2", "phantom": "phantom-generic-cpu:1"}


@pytest.fixture
def server():
    """Run a server with one model in memory, one on disk, one in the catalog only."""
    with FaultServer(MODELS, loaded=("demo",), not_cached=("phantom",)) as running:
        yield running


def call(server, path, body=None, method=None):
    """Ask once; return status, headers and body."""
    verb = method or ("GET" if body is None else "POST")
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=1)
    with closing(connection):
        connection.request(verb, path, body if isinstance(body, bytes | None) else json.dumps(body))
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()


def get(server, path):
    """Return status and decoded body of a GET."""
    status, _, body = call(server, path)
    return status, json.loads(body)


def message(server, path, body=None):
    """Return status and message of an error."""
    status, _, answer = call(server, path, body)
    return status, json.loads(answer)["error"]["message"]


def test_status_is_exactly_what_2x_is_known_by(server):
    """Three fields and the server's name; the pid is alive by default."""
    status, headers, body = call(server, "/status")

    assert (status, headers["Server"], headers["Content-Type"]) == (200, "oatpp/1.3.0", "application/json")
    assert json.loads(body) == {
        "endpoints": [server.url],
        "modelCachePath": "/no-such-directory/foundry/cache/models",
        "pid": os.getpid(),
    }


def test_status_names_what_it_is_told():
    """The cache directory and the process can be given."""
    with FaultServer(model_cache_path="/models", pid=7) as server:
        _, body = get(server, "/status")

        assert (body["modelCachePath"], body["pid"]) == ("/models", 7)


def test_loaded_models_are_a_bare_array_of_ids(server):
    """In catalog order; aliases and ids will do to set them."""
    assert get(server, "/models/loaded") == (200, [DEMO_MODEL])
    server.loaded = ("big-generic-gpu:2", "demo")

    assert get(server, "/models/loaded") == (200, [DEMO_MODEL, "big-generic-gpu:2"])


def test_everything_on_disk_is_loaded_unless_told():
    """The default: a service that can be asked at once; ``()`` for an empty one."""
    assert FaultServer().loaded == (DEMO_MODEL,)
    assert FaultServer(MODELS, not_cached=["phantom"]).loaded == (DEMO_MODEL, "big-generic-gpu:2")
    assert FaultServer(loaded=()).loaded == ()


def test_a_model_that_does_not_exist_cannot_be_loaded_by_a_test():
    """A slip in a name fails at once."""
    with pytest.raises(ValueError, match="not among the models: typo"):
        FaultServer(loaded=("typo",))


def test_loading_and_unloading_are_remembered(server):
    """The four words of 2.2.1, and the list that follows."""
    words = [get(server, f"/models/{verb}/big")[1]["status"] for verb in ("load", "load", "unload", "unload")]

    assert words == ["loaded", "already_loaded", "unloaded", "not_loaded"]
    get(server, "/models/unload/demo")
    assert server.loaded == ()


@pytest.mark.parametrize("name", [DEMO_MODEL, "nope", "DEMO", "de%6Do"])
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_loading_takes_the_exact_alias_only(server, verb, name):
    """An id, another case and a percent-encoded name are not found."""
    assert message(server, f"/models/{verb}/{name}") == (404, f"Model not found: No model matching '{name}'")


def test_a_model_that_is_not_on_disk_cannot_be_loaded(server):
    """2.2.1's words for it, status 400."""
    assert message(server, "/models/load/phantom") == (
        400,
        "Model not cached: Model must be downloaded before loading",
    )


def test_the_list_shows_the_whole_catalog(server):
    """Loaded or not, cached or not; single items by exact id."""
    status, body = get(server, "/v1/models")

    assert (status, [item["id"] for item in body["data"]]) == (200, list(MODELS.values()))
    assert get(server, f"/v1/models/{DEMO_MODEL}")[1]["object"] == "model"
    assert call(server, "/v1/models/demo")[0] == 404


def test_chat_answers_in_one_piece_and_as_a_stream(server):
    """The same text both ways; usage in a stream only when asked for."""
    ask = {"model": DEMO_MODEL, "messages": []}
    plain = json.loads(call(server, "/v1/chat/completions", ask)[2])
    _, headers, short = call(server, "/v1/chat/completions", {**ask, "stream": True})
    options = {"stream": True, "stream_options": {"include_usage": True}}
    long = call(server, "/v1/chat/completions", {**ask, **options})[2]

    assert plain["choices"][0]["message"]["content"] == "Hello there"
    assert headers.get_all("Content-Type") == ["text/event-stream"] * 2
    assert b'" there"' in short
    assert b"usage" not in short
    assert b'"choices":[],' in long
    assert short.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "demo"}, 404, "Model not found: No model matching 'demo'"),
        ({"model": "big-generic-gpu:2"}, 400, "Model not loaded: Model 'big-generic-gpu:2' must be loaded"),
        (b"{", 400, "Invalid JSON"),
        ([], 400, "Invalid JSON"),
    ],
)
def test_chat_refuses_in_the_words_of_2x(server, body, status, words):
    """Alias, unloaded model and what is no JSON object."""
    found, text = message(server, "/v1/chat/completions", body)

    assert found == status
    assert text.startswith(words)


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "/status"), ("POST", "/models/load/demo"), ("GET", "/health")]
)
def test_an_unmapped_route_or_verb_is_oatpps_text_and_closes(server, method, path):
    """404, no Content-Type, Connection: close, four lines."""
    status, headers, body = call(server, path, method=method)

    assert (status, headers["Content-Type"], headers["Connection"]) == (404, None, "close")
    if method != "HEAD":
        assert body.decode().splitlines() == [
            "server=oatpp/1.3.0",
            "code=404",
            "description=Not Found",
            f"message=No mapping for HTTP-method: '{method}', URL: '{path}'",
        ]


@pytest.mark.parametrize("path", ["//status", "/status/", "/status?x=1", "/models//loaded/"])
def test_slashes_and_queries_are_tolerated(server, path):
    """As 2.x does: doubled and trailing slashes, and any query."""
    assert call(server, path)[0] == 200
