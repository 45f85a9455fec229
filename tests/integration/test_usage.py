"""The usage example, line by line, on the real runtime: chat, models, health, options."""

from __future__ import annotations

import json

import msgspec
import psutil
import pytest
import requests

from foundry_rest import (
    ChatChunk,
    ChatReply,
    FoundryAPIClient,
    ModelNotFound,
    Replay,
    Reply,
    RetryPolicy,
    ServiceNotFound,
    ServiceUnreachable,
    Timeouts,
    UnsupportedByService,
)

pytestmark = pytest.mark.runtime
ALIAS, NAME, ID = "demo-chat", "demo-chat-generic-cpu", "demo-chat-generic-cpu:1"
SPELLINGS = [ALIAS, ID, NAME, ALIAS.upper(), "Demo-Chat-Generic-CPU:1", "DEMO-chat-generic-cpu"]
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}


class Recorder:
    """A user's own session that remembers what was sent."""

    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.headers["X-Mine"] = "yes"
        self.session.hooks["response"].append(self._keep)
        self.sent: list[requests.PreparedRequest] = []

    def _keep(self, response, **_):
        self.sent.append(response.request)

    def last_body(self):
        """Return the body of the last request."""
        return json.loads(self.sent[-1].body)


@pytest.fixture
def recorder():
    """Return a session of the user's own."""
    made = Recorder()
    yield made
    made.session.close()


def test_found_by_the_registry_file(command, answers):
    """A client that is given nothing finds the service that `foundry-rest serve` runs."""
    _, url = command.serve()

    with FoundryAPIClient(model=ALIAS) as client:
        assert client.complete("Say OK", temperature=0).content == answers["Say OK"]
        assert client.health_check().url == url


def test_found_by_the_environment(runtime, monkeypatch):
    """FOUNDRY_ENDPOINT names the service and FOUNDRY_MODEL the model."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", runtime.url + "/")
    monkeypatch.setenv("FOUNDRY_MODEL", ALIAS)
    with FoundryAPIClient() as client:
        assert client.complete("Say yes", temperature=0).content == "Yes"


def test_nothing_found():
    """Without a service the first call says what was looked at and what to run; nothing is started."""
    with FoundryAPIClient() as client:
        assert not client.health.is_alive()
        with pytest.raises(ServiceNotFound) as caught:
            client.complete("Hello")

    text = str(caught.value)
    assert all(part in text for part in ("FOUNDRY_ENDPOINT (not set)", "registry file", "foundry-rest serve"))


def test_complete(client, answers):
    """A completion has the text, the service's token counts, its end, its time, its bytes, its headers."""
    question = "Explain quantum computing"
    reply = client.complete(question, model=ALIAS, max_tokens=500, temperature=0)

    assert (reply.content, reply.finish_reason, reply.model) == (answers[question], "stop", ID)
    usage = reply.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 50
    assert 0 < reply.first_token <= reply.elapsed < 10
    assert reply.stream_events[0]["object"] == "chat.completion.chunk"
    assert reply.raw["choices"][0]["message"]["content"] == reply.content
    assert "text/event-stream" in reply.headers["content-TYPE"]


def test_stream_complete(client, answers):
    """A stream's chunks add up to the answer; usage and the end stand on the stream afterwards."""
    stream = client.stream_complete("Write a story about AI", temperature=0)
    chunks = list(stream)

    assert "".join(chunk.content for chunk in chunks) == answers["Write a story about AI"] == stream.text
    assert len(chunks) > 100
    assert stream.usage.completion_tokens >= 150
    assert stream.finish_reason == "stop"
    assert chunks[0].raw["choices"][0]["delta"]["role"] == "assistant"
    assert "oatpp" in stream.headers["Server"]


def test_gather(client, answers):
    """A stream that is gathered gives the same answer as a completion."""
    reply = client.stream_complete("Say yes", temperature=0).gather()

    assert isinstance(reply, ChatReply)
    assert reply.content == answers["Say yes"]


def test_conversation(client, answers):
    """Messages are a conversation; a system message goes before them."""
    messages = [{"role": "user", "content": "Who wrote Hamlet?"}]

    assert client.chat.complete(messages, temperature=0).content == answers["Who wrote Hamlet?"]
    with client.chat.stream(messages, system="Be brief.", temperature=0) as stream:
        assert stream.gather().content


def test_response_format_is_enforced(client):
    """A JSON schema in OpenAI's wrapper binds the model, although 2.2.1 looks for it elsewhere."""
    schema = {"type": "string", "enum": ["red", "blue"]}
    shape = {"type": "json_schema", "json_schema": {"name": "colour", "strict": True, "schema": schema}}
    reply = client.chat.complete("Say OK", response_format=shape, max_tokens=50)

    assert reply.content in ('"red"', '"blue"')


def test_tools_are_passed_through(runtime, recorder):
    """`tools`, `tool_choice` and further fields reach the service as they were given."""
    with FoundryAPIClient(runtime.url, model=ID, session=recorder.session) as client:
        reply = client.chat.complete("Hello", tools=[TOOL], tool_choice="none", seed=7, extra={"top_k": 1})

    assert reply.content
    body = recorder.last_body()
    assert (body["tools"], body["tool_choice"], body["seed"], body["top_k"]) == ([TOOL], "none", 7, 1)
    assert body["max_tokens"] == 2048


def test_catalog(client, own_client):
    """The catalog tells the model's names, device and task, and whether it is on disk and in memory."""
    (model,) = client.models.catalog()

    assert (model.id, model.alias, model.name, model.version) == (ID, ALIAS, NAME, "1")
    assert (model.device, model.task, model.context_length) == ("CPU", "chat-completion", 4096)
    assert (model.cached, model.loaded) == (True, True)
    assert model.raw["alias"] == ALIAS
    assert [info.id for info in client.models.list()] == [ID]
    assert [info.loaded for info in own_client.models.catalog()] == [False]


def test_cached_and_loaded(own_client):
    """What is on disk is not yet in memory; loading adds it there."""
    assert [model.id for model in own_client.models.cached()] == [ID]
    assert own_client.models.loaded() == []
    own_client.models.load(ALIAS)
    assert [(model.id, model.alias) for model in own_client.models.loaded()] == [(ID, ALIAS)]


@pytest.mark.parametrize("name", SPELLINGS)
def test_resolve(client, name):
    """Alias, id and id without version, in any case, mean the same model."""
    assert client.models.resolve(name).id == ID


@pytest.mark.parametrize("name", SPELLINGS)
def test_chat_takes_any_name(runtime, name):
    """A client that knows nothing yet chats by any spelling of the name."""
    with FoundryAPIClient(runtime.url) as client:
        reply = client.complete("Say OK", model=name, temperature=0)

    assert (reply.content, reply.model) == ("OK", ID)


def test_load_and_unload_take_any_name(own_runtime):
    """Load and unload take any spelling too, although 2.2.1 wants the alias; both may be repeated."""
    for name in SPELLINGS:
        with FoundryAPIClient(own_runtime.url) as client:
            assert client.models.load(name).id == ID
            assert client.models.load(name).loaded
            client.models.unload(name)
            client.models.unload(name)
            assert client.models.loaded() == []


def test_ensure_loaded(own_client, unload):
    """`ensure_loaded` loads what is not in memory, leaves what is, and sees an unload by someone else."""
    assert own_client.models.ensure_loaded(NAME).id == ID
    before = own_client.stats().by_call["models.load"].calls
    assert own_client.models.ensure_loaded(ALIAS).id == ID
    assert own_client.stats().by_call["models.load"].calls == before
    unload(own_client, ALIAS)
    own_client.models.ensure_loaded(ALIAS)
    assert [model.id for model in own_client.models.loaded()] == [ID]


def test_ensure_loaded_when_the_service_dies(own_runtime):
    """Killed in the middle it is an error and never ready; where it runs again, the same call succeeds."""
    told = []

    def kill(step):
        told.append(step.phase)
        psutil.Process(own_runtime.pid).kill()

    with FoundryAPIClient(own_runtime.url, retries=1) as client, pytest.raises(ServiceUnreachable):
        client.models.ensure_loaded(ALIAS, download=True, progress=kill)
    assert told == ["load"]

    with FoundryAPIClient(own_runtime.start().url) as client:
        assert client.models.ensure_loaded(ALIAS, download=True).id == ID
        assert client.complete("Say OK", model=ALIAS, temperature=0).content == "OK"


def test_default_model_is_loaded_by_itself(own_runtime, own_client, unload):
    """The first call loads the model, and so does a call after it was unloaded behind the client's back."""
    assert own_client.complete("Say OK", temperature=0).content == "OK"
    with FoundryAPIClient(own_runtime.url) as other:
        unload(other, ALIAS)
    assert own_client.complete("Say OK", temperature=0).content == "OK"
    unload(own_client, ALIAS)
    with own_client.stream_complete("Say yes", temperature=0) as stream:
        assert stream.gather().content == "Yes"


def test_download_is_unsupported(client):
    """2.x has no download over REST: the error says so and tells the way out; what is there is there."""
    with pytest.raises(UnsupportedByService, match="`foundry model download`") as caught:
        client.models.download("nobody")
    assert client.models.download(ALIAS).id == ID

    assert caught.value.generation == "2.x"


def test_health(runtime, client):
    """Health names the process, its memory in bytes, the models in memory, and where all that is."""
    health = client.health_check()

    assert (health.status, health.generation, health.url) == ("ok", "2.x", runtime.url)
    assert health.pid == runtime.pid
    assert health.loaded_models == (ID,)
    assert 10 * 1024**2 < health.memory_usage < 10 * 1024**3
    assert 0 < health.latency < 5
    assert health.raw["pid"] == health.pid
    assert "oatpp" in health.headers["server"]
    assert client.health.check().status == "ok"
    assert client.health.is_alive()


def test_wait_until_ready(client):
    """Waiting for a service that is up returns its report at once."""
    assert client.health.wait_until_ready(5).status == "ok"


def test_stats(client):
    """The figures count calls and tokens by operation, and what failed on the way."""
    for _ in range(3):
        client.complete("Say OK", temperature=0)
    with pytest.raises(ModelNotFound):
        client.complete("Say OK", model="nobody")
    stats = client.stats()
    chat = stats.by_call["chat.complete"]

    assert (chat.calls, chat.errors) == (4, 1)
    assert chat.completion_tokens >= 6
    assert 0 < chat.first_token_p50 <= chat.p50 <= chat.p95
    assert chat.tokens_per_second > 0
    assert stats.total.calls >= chat.calls


def test_with_options(runtime, recorder):
    """A view has settings of its own and shares connections and figures; closing it closes nothing."""
    with FoundryAPIClient(runtime.url, session=recorder.session) as client:
        view = client.with_options(timeout=Timeouts(first_token=5), retries=0, deadline=20, model=ALIAS)
        assert view.complete("Say yes", temperature=0).content == "Yes"
        view.close()
        assert client.with_options(retries=RetryPolicy(retries=1)).complete("Say OK", model=ID).content
        assert view.stats() == client.stats()


def test_any_route(client):
    """`request` reaches any route; the answer holds status, headers, bytes and decoded body."""
    reply = client.request("GET", f"/v1/models/{ID}", replay=Replay.ALWAYS)

    assert isinstance(reply, Reply)
    assert (reply.status, reply.raw["id"]) == (200, ID)
    assert json.loads(reply.body) == reply.raw
    assert reply.headers["content-type"].startswith("application/json")
    assert client.request("get", "/models/loaded", parse=lambda answer: answer.raw) == [ID]


def test_own_parser(client):
    """`parse=` reads the plain answer, and for a stream each event, in place of this package."""
    plain = client.chat.complete("Say OK", temperature=0, parse=lambda reply: reply.raw)
    assert plain["choices"][0]["message"]["content"] == "OK"
    events: list[bytes] = []

    def read(event):
        events.append(event)
        return msgspec.json.decode(event, type=ChatChunk)

    with client.chat.stream("Say OK", temperature=0, parse=read) as stream:
        assert stream.gather().content == "OK"
    assert len(events) >= 3
