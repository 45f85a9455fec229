"""The options of one call: every method that sends a request takes all of them, and passes them on."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from foundry_rest import CancelToken, FoundryAPIClient
from foundry_rest.clock import monotonic
from foundry_rest.endpoints.audio import Audio
from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.embeddings import Embeddings
from foundry_rest.endpoints.health import Health
from foundry_rest.endpoints.models import Models
from foundry_rest.endpoints.responses import Responses
from foundry_rest.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    ModelNotFound,
    ModelNotLoaded,
    UnknownArgument,
    UnsupportedByService,
)
from foundry_rest.testing import DEMO_MODEL, FaultServer, LegacyService, event, json_answer, sse
from foundry_rest.transport.call_options import CallOptions
from foundry_rest.transport.session.transport import SessionTransport

LEGACY_MODEL = "qwen2.5-0.5b-instruct-generic-cpu:3"
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "model": DEMO_MODEL}
ROUTES = {
    ("POST", "/v1/embeddings"): json_answer({"data": [{"index": 0, "embedding": [1.0]}]}),
    ("POST", "/v1/audio/transcriptions"): sse([event('{"id": "a", "text": "Hello"}')]),
    ("POST", "/v1/responses"): sse([event(json.dumps({"type": "response.completed", "response": RESPONSE}))]),
    ("GET", "/v1/responses/resp_1"): json_answer(RESPONSE),
    ("DELETE", "/v1/responses/resp_1"): json_answer({"id": "resp_1", "deleted": True}),
    ("GET", "/v1/responses"): json_answer({"object": "list", "data": [RESPONSE], "has_more": False}),
    ("GET", "/v1/responses/resp_1/input_items"): json_answer({"object": "list", "data": []}),
    ("GET", "/models/unload/*"): json_answer({"status": "unloaded"}),
}


def now() -> str:
    """Return the time."""
    return "12:00"


def read(stream):
    """Read a stream to its end."""
    with stream:
        return list(stream)


def remove_elsewhere(client, **options):
    """Remove a model of a service that is not seen to be on this machine: it is asked where it is."""
    with suppress(UnsupportedByService):
        client.models.remove("demo", **options)


#: Method -> how it is called on a client, given the path of a file.
METHODS = {
    "complete": lambda client, file, **options: client.complete("Hi", **options),
    "stream_complete": lambda client, file, **options: read(client.stream_complete("Hi", **options)),
    "health_check": lambda client, file, **options: client.health_check(**options),
    "openai_settings": lambda client, file, **options: client.openai_settings("demo", **options),
    "batch": lambda client, file, **options: [each.result() for each in client.batch(["Hi"], **options)],
    "request": lambda client, file, **options: client.request("GET", "/status", **options),
    "chat.complete": lambda client, file, **options: client.chat.complete("Hi", **options),
    "chat.stream": lambda client, file, **options: read(client.chat.stream("Hi", **options)),
    "chat.run_tools": lambda client, file, **options: client.chat.run_tools("Hi", functions=[now], **options),
    "chat.count_tokens": lambda client, file, **options: client.chat.count_tokens("Hi", **options),
    "chat.fit": lambda client, file, **options: client.chat.fit("Hi", **options),
    "models.catalog": lambda client, file, **options: client.models.catalog(**options),
    "models.list": lambda client, file, **options: client.models.list(**options),
    "models.loaded": lambda client, file, **options: client.models.loaded(**options),
    "models.resolve": lambda client, file, **options: client.models.resolve(DEMO_MODEL, **options),
    "models.id_of": lambda client, file, **options: client.models.id_of(DEMO_MODEL, **options),
    "models.load": lambda client, file, **options: client.models.load("demo", **options),
    "models.ensure_loaded": lambda client, file, **options: client.models.ensure_loaded("demo", **options),
    "models.remove": lambda client, file, **options: remove_elsewhere(client, **options),
    "models.unload": lambda client, file, **options: client.models.unload("demo", **options),
    "models.unload_all": lambda client, file, **options: client.models.unload_all(**options),
    "health.check": lambda client, file, **options: client.health.check(**options),
    "health.state": lambda client, file, **options: client.health.state(**options),
    "health.is_alive": lambda client, file, **options: client.health.is_alive(**options),
    "health.wait_until_ready": lambda client, file, **options: client.health.wait_until_ready(**options),
    "embeddings.create": lambda client, file, **options: client.embeddings.create("Hi", **options),
    "audio.transcribe": lambda client, file, **options: client.audio.transcribe(file, **options),
    "audio.transcribe_stream": lambda client, file, **options: read(
        client.audio.transcribe_stream(file, **options)
    ),
    "responses.create": lambda client, file, **options: client.responses.create("Hi", **options),
    "responses.stream": lambda client, file, **options: read(client.responses.stream("Hi", **options)),
    "responses.get": lambda client, file, **options: client.responses.get("resp_1", **options),
    "responses.delete": lambda client, file, **options: client.responses.delete("resp_1", **options),
    "responses.list": lambda client, file, **options: client.responses.list(**options),
    "responses.iterate": lambda client, file, **options: list(client.responses.iterate(**options)),
    "responses.input_items": lambda client, file, **options: client.responses.input_items(
        "resp_1", **options
    ),
}
#: Those for which only 0.x has a route, asked of a 0.x.
LEGACY_METHODS = {
    "models.cached": lambda client, file, **options: client.models.cached(**options),
    "models.download": lambda client, file, **options: client.models.download("mistral-7b-v0.2", **options),
}
#: Those that take parameters of the request, too, and further fields of its body.
OPEN = {"complete", "stream_complete", "chat.complete", "chat.stream", "chat.run_tools"} | {
    "responses.create",
    "responses.stream",
}
#: Those whose calls have a token of their own, which the caller's cancels.
OWN_TOKEN = {"batch"}
BAD = {"timeout": -1, "deadline": -1, "retries": -1, "headers": {"X": "\n"}, "cancel": "now"} | {
    "lane": "slow",
    "cache": "often",
}
NOT_THERE = (ModelNotFound, ModelNotLoaded)
#: Public names of the client that send no request.
SILENT = {"PARTS", "audio", "breaker", "close", "embedded", "embeddings", "generation", "health", "model"} | {
    "models",
    "responses",
    "session",
    "stats",
    "targets",
    "url",
    "with_options",
    "workers",
}
ENDPOINTS = {
    "chat": Chat,
    "models": Models,
    "health": Health,
    "embeddings": Embeddings,
    "audio": Audio,
    "responses": Responses,
}


def public_methods() -> set[str]:
    """Return the dotted name of each public method of the client and its endpoints."""
    own = {name for name in dir(FoundryAPIClient) if not name.startswith("_")} - SILENT
    return own | {
        f"{part}.{name}" for part, kind in ENDPOINTS.items() for name in dir(kind) if not name.startswith("_")
    }


@pytest.fixture(params=[*METHODS, *LEGACY_METHODS])
def name(request):
    """The name of one method."""
    return request.param


@pytest.fixture
def server(name):
    """Serve every route; a 0.x for what only that has."""
    if name in LEGACY_METHODS:
        with FaultServer(service=LegacyService(loaded=[LEGACY_MODEL])) as running:
            yield running
    else:
        with FaultServer() as running:
            for route, answer in ROUTES.items():
                running.on(*route, answer)
            yield running


@pytest.fixture
def ask(name, server, tmp_path):
    """Call the method with options, on a client of the server."""
    method, file = {**METHODS, **LEGACY_METHODS}[name], tmp_path / "a.wav"
    file.write_bytes(b"RIFF")
    model = LEGACY_MODEL if name in LEGACY_METHODS else DEMO_MODEL
    with FoundryAPIClient(server.url, model=model, retries=0) as client:
        yield lambda **options: method(client, file, **options)


@pytest.fixture
def sent(monkeypatch):
    """The options of every call that reaches the transport."""
    seen = []
    for name in ("send", "open"):
        real = getattr(SessionTransport, name)

        def noted(self, call, target, real=real):
            seen.append(call.options)
            return real(self, call, target)

        monkeypatch.setattr(SessionTransport, name, noted)
    return seen


def test_every_method_is_walked():
    """A public method of the client or an endpoint is in the tables of this file."""
    assert public_methods() == METHODS.keys() | LEGACY_METHODS.keys()


def test_all_reach_every_call(ask, server, sent, name):
    """Whatever a method sends, its options are those that it was given; the headers arrive on the wire."""
    began, token = monotonic(), CancelToken()
    ask(timeout=7.5, deadline=99, retries=4, headers={"X-Mine": "7"}, cancel=token)

    assert sent
    assert {request.headers.get("X-Mine") for request in server.requests} == {"7"}
    for options in sent:
        assert options.retries == 4
        assert options.cancel is token or name in OWN_TOKEN
        assert options.timeouts.idle <= 7.5
        assert options.until <= began + 100


def test_a_cancelled_token_ends_every_method(ask, server, sent):
    """A call that was cancelled before it began sends nothing."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        ask(cancel=token)

    assert server.requests == []


def test_a_deadline_ends_every_method(ask, server, name):
    """A call whose time is over sends nothing; ``is_alive`` and ``state`` tell so without an error."""
    if name in ("health.is_alive", "health.state"):
        assert bool(ask(deadline=1e-9)) is False
    else:
        with pytest.raises(DeadlineExceeded):
            ask(deadline=1e-9)

    assert server.requests == []


def test_every_method_checks_them(ask, server):
    """An option that cannot be used is the caller's mistake, and nothing is sent."""
    for name, value in BAD.items():
        with pytest.raises(ConfigError, match=name):
            ask(**{name: value})

    assert server.requests == []


def test_no_other_name_is_an_option(ask, server, sent, name):
    """An argument that there is not is refused; a further field of a body goes through ``extra``."""
    with pytest.raises(UnknownArgument, match="sixth"):
        ask(sixth=6)
    assert server.requests == []
    if name in OPEN:
        ask(extra={"sixth": 6})

        assert server.requests[-1].json()["sixth"] == 6
        assert not any(options.more for options in sent)


def test_an_option_is_declared_once(ask, sent, monkeypatch):
    """A further line in ``CallOptions`` is all that every method needs to take it and to pass it on."""
    monkeypatch.setitem(CallOptions.__annotations__, "sixth", "int")
    ask(sixth=6)

    assert sent
    assert [options.more for options in sent] == [{"sixth": 6}] * len(sent)


@pytest.mark.parametrize("model", ["demo", DEMO_MODEL])
@pytest.mark.parametrize("auto_load", [True, False])
def test_what_is_sent_on_behalf_of_a_call_has_its_options(sent, monkeypatch, model, auto_load):
    """Requests that look up or load the model of a call are bounded and marked as the call is."""
    monkeypatch.setitem(CallOptions.__annotations__, "sixth", "int")
    server = FaultServer(loaded=[])
    with server, FoundryAPIClient(server.url, auto_load=auto_load) as client, suppress(*NOT_THERE):
        client.complete("Hi", model=model, sixth=6, deadline=99, headers={"X-Mine": "7"})

    assert len(sent) > 2
    assert {tuple(options.more.items()) for options in sent} == {(("sixth", 6),)}
    assert {request.headers.get("X-Mine") for request in server.requests} == {"7"}
    assert max(options.until for options in sent) < monotonic() + 99
