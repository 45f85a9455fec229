"""Generation 1.x, on the real service of foundry-local-sdk 1.2.4."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from foundry_rest import (
    BadRequest,
    CatalogUnavailable,
    ContextLengthExceeded,
    FoundryAPIClient,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    ServiceUnreachable,
    StreamInterrupted,
    UnsupportedByService,
)
from foundry_rest.events import AttemptFailed, CureStarted

pytestmark = pytest.mark.runtime

ALIAS, NAME, ID = "demo-chat", "demo-chat-generic-cpu", "demo-chat-generic-cpu:2"
#: A model that goes on to its limit, and a prompt that it does not end by itself.
ENDLESS, START = "endless", "Hello"
QUESTION = "What is the capital of France?"


class Watched(FoundryAPIClient):
    """A client that keeps what happened."""

    def __init__(self, url: str, **settings: object) -> None:
        self.happened: list[object] = []
        super().__init__(url, **{"model": ALIAS, "observers": [self.happened.append], **settings})

    def cures(self) -> list[str]:
        """Return the names of the cures that began."""
        return [event.cure for event in self.happened if isinstance(event, CureStarted)]

    def tries(self) -> int:
        """Count the attempts that failed."""
        return sum(isinstance(event, AttemptFailed) for event in self.happened)


@pytest.fixture(scope="module")
def url(core_runtime):
    """Return the shared service's address, the demo model's newest version and the endless one in memory."""
    with FoundryAPIClient(core_runtime.url) as client:
        client.models.load(ALIAS)
        client.models.load(ENDLESS)
    return core_runtime.url


@pytest.fixture
def client(url):
    """Return a client on the shared service that knows nothing yet."""
    with Watched(url) as made:
        yield made


@pytest.fixture
def own_client(own_core_runtime):
    """Return a client on a service of the test's own; nothing is loaded."""
    with Watched(own_core_runtime.url) as made:
        yield made


def test_health(client, core_runtime):
    """1.x is recognised; its memory is found by its port, for it does not tell its process."""
    report = client.health_check()

    assert (report.status, report.generation, report.pid) == ("ok", "1.x", None)
    assert {ID, "endless-generic-cpu:1"} <= set(report.loaded_models)
    assert report.memory_usage == pytest.approx(
        psutil.Process(core_runtime.process.pid).memory_info().rss, rel=0.2
    )
    assert report.headers["Server"] == "Kestrel"


def test_the_catalog(client):
    """List and catalog file together give ids with versions, aliases, tasks, and what is on disk."""
    models = {info.id: info for info in client.models.catalog()}

    assert {(info.alias, info.task) for info in models.values() if info.name == NAME} == {
        (ALIAS, "chat-completion")
    }
    assert {ID, f"{NAME}:1", "broken-generic-cpu:1"} <= {info.id for info in client.models.cached()}
    assert models["phantom-generic-cpu:1"].cached is False
    assert ID in [info.id for info in client.models.loaded()]


def test_the_service_lists_two_versions_as_one_name(client):
    """What the dialect makes one entry of is two equal ones on the wire."""
    ids = [entry["id"] for entry in client.request("GET", "/v1/models").raw["data"]]

    assert ids.count(NAME) == 2


@pytest.mark.parametrize("name", [ALIAS, ID, ALIAS.upper()])
def test_a_whole_answer(client, answers, name):
    """Alias and id in any case reach the model; its answer is the one it was taught."""
    reply = client.complete(QUESTION, model=name)

    assert (reply.content, reply.finish_reason) == (answers[QUESTION], "stop")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.tool_calls == ()


def test_a_stream(client, answers):
    """Chunks that hold delta and message, usage each time, and one without choices make one answer."""
    with client.stream_complete(QUESTION) as stream:
        chunks = list(stream)

    assert "".join(chunk.content for chunk in chunks) == stream.text == answers[QUESTION]
    assert (stream.finish_reason, chunks[-1].content) == ("stop", "")
    assert all(chunk.usage for chunk in chunks)
    assert stream.usage.completion_tokens == chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("question", ["What is a café?", "你好"])
def test_beyond_ascii(client, answers, question):
    """Characters of several bytes go and come whole, streamed and not."""
    assert client.complete(question).content == answers[question]
    assert client.stream_complete(question).gather().content == answers[question]


def test_a_face_is_lost_in_no_stream(client, pairs):
    """A character of four bytes is not cut between two chunks."""
    (pair,) = (pair for pair in pairs if "😀" in pair["answer"])

    assert client.stream_complete(pair["question"]).gather().content == pair["answer"]


@pytest.mark.parametrize("limit", [{"max_tokens": 3}, {"max_completion_tokens": 3}])
def test_a_cut_is_reported_as_a_cut(client, limit):
    """Given as max_completion_tokens, 1.x would report a stop."""
    for reply in (client.complete(QUESTION, **limit), client.stream_complete(QUESTION, **limit).gather()):
        assert (reply.finish_reason, reply.usage.completion_tokens) == ("length", 3)


def test_text_in_parts_is_the_same_prompt(client):
    """1.x would show the model the parts' JSON."""
    whole = client.complete(QUESTION)
    parts = client.complete([{"role": "user", "content": [{"type": "text", "text": QUESTION}]}])

    assert (parts.content, parts.usage) == (whole.content, whole.usage)


def test_eight_at_a_time(client, pairs):
    """Answers that are made at the same time are not mixed up."""
    asked = [pair for pair in pairs if len(pair["answer"]) < 200][:24]
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda pair: client.stream_complete(pair["question"]).gather().content, asked))

    assert said == [pair["answer"] for pair in asked]


def ask(client, streamed, *prompt, **params):
    """Ask for an answer, streamed or whole."""
    return (
        client.stream_complete(*prompt, **params).gather() if streamed else client.complete(*prompt, **params)
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_context_exceeded(client, streamed):
    """The cause that a stream keeps to itself is told all the same; nothing is tried again for it."""
    with pytest.raises(
        ContextLengthExceeded, match=r"exceeds the model's maximum.*Lower max_tokens"
    ) as caught:
        ask(client, streamed, QUESTION, max_tokens=5000)

    assert (caught.value.status, client.tries(), client.cures()) == (400, 1, [])
    assert isinstance(caught.value.__cause__, ServiceUnreachable if streamed else type(None))


def test_refusals_in_streams_open_no_circuit(client):
    """The prompt is at fault, not the service, however often the stream is cut."""
    for _ in range(8):
        with pytest.raises(ContextLengthExceeded):
            client.stream_complete(QUESTION, max_tokens=5000)

    assert client.breaker.current == "closed"
    assert client.complete(QUESTION).content


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_that_is_not_loaded_is_loaded(own_client, answers, streamed):
    """One cure, with or without a stream; the second call needs none."""
    assert ask(own_client, streamed, QUESTION).content == answers[QUESTION]
    assert own_client.cures() == ["load"]

    assert ask(own_client, streamed, QUESTION).model == ID
    assert own_client.cures() == ["load"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_model_that_may_not_be_loaded(own_core_runtime, streamed):
    """Without auto_load the refusal is the error, and says what to do."""
    with Watched(own_core_runtime.url, auto_load=False, model=ID) as client:
        with pytest.raises(ModelNotLoaded, match=r"is not loaded.*client\.models\.load"):
            ask(client, streamed, QUESTION)

        assert client.models.loaded() == []


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("name", "cls"), [("nope", ModelNotFound), ("phantom", ModelNotCached)])
def test_a_model_that_cannot_be_loaded(client, streamed, name, cls):
    """What 1.x answers alike (not loaded) is told apart: unknown, or not on disk."""
    with pytest.raises(cls):
        ask(client, streamed, QUESTION, model=name)


@pytest.mark.parametrize(
    ("name", "cls", "advice"),
    [
        ("nope", ModelNotFound, "It serves broken, demo-chat"),
        ("phantom", ModelNotCached, "Download it first"),
        ("broken", LoadFailed, "does not say why"),
    ],
)
def test_loads_that_fail(client, name, cls, advice):
    """1.x answers 500 without a word to all of them; each has its class and advice, and none is repeated."""
    with pytest.raises(cls, match=advice):
        client.models.load(name)

    assert client.tries() <= 1


def test_loading_and_unloading(own_client):
    """An alias loads the newest version, an id its own; unloading twice is no error."""
    assert own_client.models.load(ALIAS).id == ID
    assert own_client.models.load(f"{NAME}:1").id == f"{NAME}:1"
    assert {info.id for info in own_client.models.loaded()} == {ID, f"{NAME}:1"}

    for _ in range(2):
        own_client.models.unload(f"{NAME}:1")

    assert [info.id for info in own_client.models.loaded()] == [ID]


@pytest.mark.parametrize(
    "body", [[], {"model": 5}, {"model": ID, "messages": [{"role": "user", "content": "x", "name": 5}]}]
)
def test_what_the_service_cannot_read(client, body):
    """1.x calls it its own failure (500); it is the request's, and not tried again."""
    with pytest.raises(BadRequest, match="Invalid OpenAI JSON request") as caught:
        client.request("POST", "/v1/chat/completions", json=body)

    assert (caught.value.status, client.tries()) == (500, 1)


def test_a_request_that_is_too_large(client):
    """Kestrel takes 30,000,000 bytes and says so."""
    with pytest.raises(BadRequest, match="Request body too large"):
        client.complete(QUESTION, extra={"padding": "x" * 30_000_000})


@pytest.mark.parametrize(
    ("method", "path", "cls"),
    [
        ("GET", "/openai/status", NotFound),
        ("GET", "/v1/models/nope", ModelNotFound),
        ("POST", "/models/load/demo-chat", BadRequest),
    ],
)
def test_routes_that_are_not_there(client, method, path, cls):
    """An empty 404 or 405 has a message all the same."""
    with pytest.raises(cls) as caught:
        client.request(method, path)

    assert caught.value.message


def test_what_1x_lacks(client):
    """What would be ignored in silence is refused before anything is sent."""
    with pytest.raises(UnsupportedByService, match=r"1\.x service has no"):
        client.models.download("phantom")
    with pytest.raises(UnsupportedByService, match="time to live"):
        client.models.load(f"{NAME}:1", ttl=60)


def test_a_catalog_out_of_reach(start_core):
    """It is the service's network: said so, asked once, and no reason to leave the service alone."""
    with Watched(start_core(catalog=False).url) as client:
        for tries in range(1, 7):
            with pytest.raises(CatalogUnavailable, match=r"Failed to retrieve model list.*where it runs"):
                client.models.catalog()

            assert client.tries() == tries

        assert client.breaker.current == "closed"
        assert client.health_check().status == "ok"
        with pytest.raises(LoadFailed, match="does not say why"):
            client.models.load(ID)


def test_killed_in_the_middle_of_a_stream(own_core_runtime, own_client):
    """The text so far is kept; the next call finds nobody there."""
    own_client.models.load(ENDLESS)
    stream = own_client.stream_complete(START, model=ENDLESS, max_tokens=3900)
    first = next(stream).content
    own_core_runtime.kill()
    with pytest.raises(StreamInterrupted) as caught:
        stream.gather()

    assert caught.value.text.startswith(first)
    assert caught.value.chunks >= 1
    with pytest.raises(ServiceUnreachable):
        own_client.health_check()
    assert own_client.health.is_alive() is False


def test_killed_before_the_answer(own_core_runtime, own_client, within):
    """A plain request whose service dies under it is a lost connection."""
    own_client.models.load(ENDLESS)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(own_client.complete, START, model=ENDLESS, max_tokens=4000, retries=0)
        process = psutil.Process(own_core_runtime.process.pid)
        before = process.cpu_times().user
        assert within(5, lambda: process.cpu_times().user > before + 0.05)
        own_core_runtime.kill()
        with pytest.raises(ServiceUnreachable):
            waiting.result()


def test_a_stream_that_is_left_early(client, answers):
    """The connection is given up, the service goes on to serve."""
    for chunk in client.stream_complete(START, model=ENDLESS, max_tokens=3900):
        assert chunk.content
        break

    assert client.complete(QUESTION).content == answers[QUESTION]
