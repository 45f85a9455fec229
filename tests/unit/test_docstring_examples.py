"""The help of every public method: all of its options by name, and an example of two lines that is true."""

from __future__ import annotations

import doctest
import inspect
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType, MethodType

import pytest
from support.model_folders import put_catalog, put_model
from support.responses import response, streamed

from foundry_rest import FoundryAPIClient
from foundry_rest.client.arguments import ClientArguments
from foundry_rest.endpoints.audio import Audio, TranscriptionArguments
from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.chat_arguments import CompletionArguments, ShortcutArguments
from foundry_rest.endpoints.embeddings import Embeddings
from foundry_rest.endpoints.health import Health
from foundry_rest.endpoints.models import Models
from foundry_rest.endpoints.responses import Responses
from foundry_rest.models import removal
from foundry_rest.schema.chat_params import ChatParams
from foundry_rest.schema.responses import ResponseParams
from foundry_rest.testing import (
    FaultServer,
    LegacyService,
    chat_event,
    chat_stream,
    context_exceeded,
    event,
    json_answer,
    sse,
)
from foundry_rest.transport.call_options import CallOptions

#: The one model of the service, and those that it has for what an endpoint does.
MODELS = {"phi-4-mini": "phi-4-mini-instruct-generic-cpu:5"}
FURTHER_MODELS = {
    "client.embeddings": {"qwen3-embedding": "qwen3-embedding-0.6b-generic-cpu:1"},
    "client.audio": {"whisper-tiny": "openai-whisper-tiny-generic-cpu:1"},
}
CHAT, RESPONSES, STORED = "/v1/chat/completions", "/v1/responses", "/v1/responses/resp_1"
#: Where the methods are; `client.chat` is one of `Chat`, and so on.
CLASSES = {
    "client": FoundryAPIClient,
    "client.chat": Chat,
    "client.models": Models,
    "client.health": Health,
    "client.embeddings": Embeddings,
    "client.audio": Audio,
    "client.responses": Responses,
}
#: Those that are tried on a 0.x, which has a route for them.
OF_0X = {"client.models.download"}
#: Those that send no request of their own, so that they take no options.
WITHOUT_OPTIONS = {"close", "embedded", "session", "stats", "targets", "with_options", "workers"}
#: Parameters of the request that a method takes beside the options.
PARAMETERS = {
    CompletionArguments: {"client.complete", "client.chat.complete"},
    ShortcutArguments: {"client.stream_complete"},
    ChatParams: {"client.chat.stream", "client.chat.run_tools"},
    ResponseParams: {"client.responses.create", "client.responses.stream"},
    TranscriptionArguments: {"client.audio.transcribe", "client.audio.transcribe_stream"},
}
NAMES = [
    f"{part}.{name}"
    for part, kind in CLASSES.items()
    for name in dir(kind)
    if not name.startswith("_") and isinstance(getattr(kind, name), (FunctionType, MethodType))
]


def method_of(name: str) -> object:
    """Return the function of a dotted name."""
    part, _, own = name.rpartition(".")
    return getattr(CLASSES[part], own)


def help_of(name: str) -> str:
    """Return what `help()` shows of a method, below its signature."""
    return inspect.getdoc(method_of(name)) or ""


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"sunny in {city}"


def transcribed() -> bytes:
    """Return an answer to a transcription, in one event."""
    return sse([event('{"id": "a", "text": "Good morning."}')])


def asks_for_weather() -> bytes:
    """Return an answer that calls the function."""
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return sse([chat_event({"tool_calls": [call]}), chat_event({}, "tool_calls")])


def vectors() -> bytes:
    """Return an answer with two vectors."""
    return json_answer(
        {"data": [{"index": 0, "embedding": [0.6, 0.8]}, {"index": 1, "embedding": [0.8, 0.6]}]}
    )


OK = response(text="OK")
PAGE = {"object": "list", "data": [OK], "has_more": False}
ITEMS = {"object": "list", "data": [{"id": "msg_1", "type": "message", "role": "user", "content": []}]}
#: What the service answers in the examples, where that is not what it does by itself.
ROUTES = {
    ("POST", "/v1/embeddings"): [vectors()],
    ("POST", "/v1/audio/transcriptions"): [transcribed()],
    ("POST", RESPONSES): [streamed(OK)],
    ("GET", STORED): [json_answer(OK)],
    ("GET", f"{STORED}/input_items"): [json_answer(ITEMS)],
    ("GET", RESPONSES): [json_answer(PAGE)],
}
#: The same for one example.
OWN_ROUTES = {
    "client.chat.count_tokens": {("POST", CHAT): [context_exceeded(4096, 10**6)]},
    "client.chat.fit": {("POST", CHAT): [context_exceeded(4096, 10**6)]},
    "client.chat.run_tools": {("POST", CHAT): [asks_for_weather(), chat_stream("It is sunny in Paris.")]},
    "client.responses.delete": {
        ("DELETE", STORED): [json_answer({"id": "resp_1", "deleted": True})],
        ("GET", RESPONSES): [json_answer({**PAGE, "data": []})],
    },
}


@pytest.fixture
def server(name, tmp_path, monkeypatch):
    """Serve what the example of a method asks for, with one model in memory, unless it is to be deleted."""
    service = LegacyService() if name in OF_0X else None
    models = MODELS | FURTHER_MODELS.get(name.rpartition(".")[0], {})
    for id in models.values():
        put_model(tmp_path / "models" / id.replace(":", "-"), id)
    put_catalog(tmp_path / "models", models)
    # Not every system tells whose a port is.
    monkeypatch.setattr(removal, "pids_at", lambda url: {os.getpid()})
    with FaultServer(
        models,
        [] if name == "client.models.remove" else None,
        reply="The capital of France is Paris.",
        model_cache_path=str(tmp_path / "models"),
        service=service,
    ) as running:
        for (verb, path), answers in {**ROUTES, **OWN_ROUTES.get(name, {})}.items():
            running.on(verb, path, *answers)
        yield running


@pytest.fixture
def world(server, tmp_path, monkeypatch):
    """Return the names that examples use, in a folder with a recording."""
    monkeypatch.chdir(tmp_path)
    Path("talk.wav").write_bytes(b"RIFF")
    with FoundryAPIClient(server.url) as client, ThreadPoolExecutor(1) as executor:
        yield {
            "client": client,
            "executor": executor,
            "get_weather": get_weather,
            "FoundryAPIClient": FoundryAPIClient,
        }


def tried(name: str, names: dict[str, object]) -> str:
    """Run the example of a method; return what was not as it says."""
    test = doctest.DocTestParser().get_doctest(help_of(name), names, name, None, None)
    said: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "client.embedded"])
def test_the_example_is_true(name, world):
    """What an example shows is what one gets; that of `embedded` is tried with the runtime."""
    assert tried(name, world) == ""


@pytest.mark.parametrize("name", NAMES)
def test_it_ends_with_an_example_of_two_lines(name):
    """The help ends with an example: two lines, or one that reads a stream and what it prints."""
    text, _, example = help_of(name).rpartition("\n\nExample:\n")
    lines = example.splitlines()

    assert text
    assert example.startswith("    >>> ")
    assert name.removeprefix("client.") in example
    assert 2 <= len(lines) <= 3


@pytest.mark.parametrize("name", [name for name in NAMES if name.rpartition(".")[2] not in WITHOUT_OPTIONS])
def test_it_names_all_options(name):
    """The help names every option of the call, and every parameter of the request, as they are declared."""
    words = " ".join(help_of(name).split())
    options = set(CallOptions.__annotations__) - ({"timeout"} if name.endswith("wait_until_ready") else set())
    (kind,) = [kind for kind, names in PARAMETERS.items() if name in names] or [None]
    parameters = {*(kind.__annotations__ if kind else ())} - set(CallOptions.__annotations__)
    written = re.search(r"Options: ([\w, ]+)\.(?: Parameters: ([\w, ]+)\.)?", words)

    assert written
    assert set(written[1].split(", ")) == options, f"Options: {', '.join(CallOptions.__annotations__)}."
    assert set((written[2] or "").split(", ")) - {""} == parameters


def test_the_client_names_all_arguments():
    """`help(FoundryAPIClient)` describes each of its arguments."""
    described = re.findall(r"^    (\w+): ", inspect.getdoc(FoundryAPIClient), re.MULTILINE)

    assert set(described) - {"ConfigError"} == {"base_url", *ClientArguments.__annotations__}
