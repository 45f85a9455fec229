"""A process that can open no file more: every call ends with an error of ours, and then works again."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import ModelNotLoaded, ServerError, StreamInterrupted, TransportError
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    chat_completion,
    chat_event,
    chat_stream,
    context_exceeded,
    cut,
    dead_address,
    json_answer,
    json_error,
    model_not_loaded,
    sse,
)

pytestmark = posix

#: For each number of descriptors that are left, a forked process takes all others, asks three times, gives
#: them back, and asks once more; what came is printed.
PROGRAM = """
import json, os, resource, sys, traceback
import foundry_rest.client
from foundry_rest import FoundryAPIClient, FoundryError

url, model, is_warm, what = sys.argv[1:]
ASKS = {
    "chat": (
        lambda client: client.complete("Hi").content,
        lambda client: client.stream_complete("Hi").gather().content,
        lambda client: client.complete("Hi").content,
    ),
    "endpoints": (
        lambda client: client.health_check().status,
        lambda client: client.complete("Hi", timeout=5).content,
        lambda client: client.models.list(),
        lambda client: client.embeddings.create("Hi"),
        lambda client: client.audio.transcribe("/nowhere.wav"),
        lambda client: client.responses.create("Hi"),
        lambda client: list(client.batch(["Hi"])),
        lambda client: client.openai_settings(),
        lambda client: client.complete("Hi", response_model=dict),
        lambda client: client.chat.run_tools("Hi", functions=[asked]),
        lambda client: client.chat.count_tokens("Hi"),
        lambda client: client.chat.fit([{"role": "user", "content": "Hi"}]),
        lambda client: client.models.download(model),
        lambda client: client.models.unload(model),
    ),
}

def holds_key(error):
    headers = getattr(getattr(error, "request", None), "headers", {})
    inner = [each for each in (error.__cause__, error.__context__) if each is not None]
    return any("secret" in value for value in headers.values()) or any(map(holds_key, inner))

def asked(ask, client):
    try:
        return ask(client)
    except FoundryError as error:
        return "a key is left" if holds_key(error) else type(error).__name__
    except Exception:
        return traceback.format_exc()

def child(left):
    client = FoundryAPIClient(url, model=model, api_key="secret", retries=1, timeout=10)
    if is_warm:
        asked(ASKS[what][0], client)
        client.close()
        client = FoundryAPIClient(url, model=model, api_key="secret", retries=1, timeout=10)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for _ in range(left):
        os.close(held.pop())
    came = [asked(ask, client) for ask in ASKS[what]]
    for descriptor in held:
        os.close(descriptor)
    print(json.dumps([left, *map(str, came), asked(ASKS[what][0], client)]), flush=True)

for left in range(4):
    if pid := os.fork():
        os.waitpid(pid, 0)
    else:
        try:
            child(left)
        finally:
            os._exit(0)
"""
OURS = ["TransportError", "ServiceUnreachable", "ServerError", "CircuitOpen"]


def outcomes(url: str, state: str, what: str = "chat") -> list[list[object]]:
    """Return what the program prints."""
    command = [sys.executable, "-c", PROGRAM, url, DEMO_MODEL, "warm" if state == "warm" else "", what]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_healthy_service(server, state):
    """What ends a call is no failure of the service: its circuit stays closed, the next call is answered."""
    found = outcomes(server.url, state)

    assert [left for left, *_ in found] == list(range(4))
    assert found[0][1:] == [*["TransportError"] * 3, "Hello there"]
    for left, *came, afterwards in found:
        assert set(came) <= {"Hello there", "TransportError"}, left
        assert afterwards == "Hello there"


def test_every_endpoint(server):
    """What is imported when it is first asked for fails as a call does."""
    left, *came, afterwards = outcomes(server.url, "cold", "endpoints")[0]

    assert left == 0
    assert came == ["TransportError"] * len(came)
    assert afterwards == "ok"


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_service_that_is_gone(state):
    """The first failure of all is one without a file: what counts it cannot be imported."""
    with dead_address() as url:
        for left, *came, afterwards in outcomes(url, state):
            assert set(came) <= {"TransportError", "ServiceUnreachable", "CircuitOpen"}, left
            assert afterwards in ("ServiceUnreachable", "CircuitOpen")


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_service_that_fails(state):
    """So is an answer with an error, which arrives."""
    with FaultServer() as server:
        server.on("POST", CHAT, json_error(500, "boom"))
        for left, *came, afterwards in outcomes(server.url, state):
            assert set(came) <= set(OURS), left
            assert afterwards in ("ServerError", "CircuitOpen")


class NoFile:
    """A finder that finds one module's file and cannot open it."""

    def __init__(self, module):
        self.module = f"foundry_rest.{module}"

    def find_spec(self, name, path=None, target=None):
        """Fail as the system does that opens no file more."""
        if name == self.module:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def named(argument: int) -> None:
    """Do nothing."""


TOOL = {"type": "function", "function": {"name": "named"}}
CALLED = {"index": 0, "id": "1", "type": "function", "function": {"name": "named", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("module", "answer", "ask"),
    [
        (
            "stream.tool_calls",
            sse([chat_event({"tool_calls": [CALLED]})]),
            lambda client: client.stream_complete("Hi", tools=[TOOL]).gather(),
        ),
        (
            "stream.tool_calls",
            chat_completion("Hi"),
            lambda client: client.complete("Hi", tools=[TOOL], tool_choice="required"),
        ),
        ("schema.lenient_json", json_answer({"choices": 1}), lambda client: client.complete("Hi")),
        ("errors.bodies", json_error(500, "boom"), lambda client: client.complete("Hi")),
        ("errors.context_length", context_exceeded(), lambda client: client.complete("Hi")),
        ("schema.tools", chat_completion("Hi"), lambda client: client.complete("Hi", tools=[named])),
    ],
)
def test_what_an_answer_needs(server, monkeypatch, module, answer, ask):
    """What reads an answer that has come, or makes a request, cannot be imported: an error of ours."""
    server.on("POST", CHAT, answer)
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="openai") as client:
        monkeypatch.setattr(sys, "meta_path", [NoFile(module), *sys.meta_path])
        monkeypatch.delitem(sys.modules, f"foundry_rest.{module}", raising=False)
        with pytest.raises(TransportError, match="the system gives this process no more"):
            ask(client)
        assert len(server.asked(CHAT)) <= 1


@pytest.mark.parametrize(
    ("module", "dialect", "answer", "kind"),
    [
        ("resilience.aftermath", "openai", json_error(500, "boom"), ServerError),
        ("resilience.failures", "openai", json_error(500, "boom"), ServerError),
        ("resilience.failures", "openai", chat_stream("one two")[:3] + cut(), StreamInterrupted),
        ("models.recoveries", "openai", model_not_loaded(), ModelNotLoaded),
        ("resilience.stream_diagnosis", "1.x", chat_stream("one")[:1] + cut(), TransportError),
    ],
)
def test_what_follows_a_failure(server, monkeypatch, module, dialect, answer, kind):
    """It cannot be imported, and is left out: the failure is told, with its attempt and its address."""
    server.on("POST", CHAT, answer)
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect=dialect, retries=0) as client:
        monkeypatch.setattr(sys, "meta_path", [NoFile(module), *sys.meta_path])
        for late in {module, "resilience.aftermath"}:
            monkeypatch.delitem(sys.modules, f"foundry_rest.{late}", raising=False)
        with pytest.raises(kind) as caught:
            client.stream_complete("Hi").gather()

    assert "gives this process no more" not in str(caught.value)
    assert (caught.value.url, len(caught.value.attempts)) == (server.url, 1)
    assert len(server.asked(CHAT)) == 1
