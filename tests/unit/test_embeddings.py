"""Embeddings over the wire: batches, one deadline, checks before anything is sent, the right model."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from foundry_rest import CancelToken, FoundryAPIClient, Timeouts
from foundry_rest.endpoints.embeddings import BATCH
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    ContextLengthExceeded,
    DeadlineExceeded,
    InvalidReply,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.schema import ModelInfo
from foundry_rest.schema.embeddings import build_embedding_request
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    Request,
    answer,
    cut,
    html_page,
    json_answer,
    json_error,
    stall,
)

PATH = "/v1/embeddings"


def vector_of(text: str) -> list[float]:
    """Return a vector by which a text is known again."""
    return [float(len(text)), float(sum(map(ord, text)) % 97), 1.0]


def embed(request: Request):
    """Answer as 2.2.1 does, but with the last text first."""
    texts = request.json()["input"]
    data = [{"object": "embedding", "index": n, "embedding": vector_of(text)} for n, text in enumerate(texts)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return json_answer({"data": data[::-1], "model": request.json()["model"], "usage": usage})


@pytest.fixture
def server():
    """Serve a 2.x with one loaded model, which embeds."""
    with FaultServer() as running:
        yield running.on("POST", PATH, embed)


def sizes(server) -> list[int]:
    """Return how many texts each request had."""
    return [len(request.json()["input"]) for request in server.asked(PATH)]


def test_one_text(server, client):
    """One text gives one vector, and `vector` is it."""
    reply = client.embeddings.create("Hello")

    assert reply.vectors == [reply.vector] == [vector_of("Hello")]
    assert (reply.model, reply.usage.prompt_tokens) == (DEMO_MODEL, 1)
    assert reply.elapsed > 0
    assert server.asked(PATH)[0].json() == {"model": DEMO_MODEL, "input": ["Hello"]}


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda texts: (text for text in texts)])
def test_many_texts(server, client, kind):
    """Any number goes out in batches, an iterator is read once, and vectors come in the texts' order."""
    texts = [f"{'x' * (n % 7)}{n}" for n in range(2 * BATCH + 1)]
    reply = client.embeddings.create(kind(texts), headers={"X-Mine": "1"})

    assert reply.vectors == [vector_of(text) for text in texts]
    assert sizes(server) == [BATCH, BATCH, 1]
    assert reply.usage.total_tokens == len(texts)
    assert {request.headers.get("X-Mine") for request in server.asked(PATH)} == {"1"}


def test_the_batch_size_is_the_callers(server, client):
    """Another size is another number of requests and the same answer."""
    assert client.embeddings.create(["a", "b", "c"], batch_size=2).vectors == [*map(vector_of, "abc")]
    assert sizes(server) == [2, 1]


BAD_INPUT = [
    ([], "no text"),
    (iter(()), "no text"),
    (b"bytes", "not bytes"),
    (bytearray(b"b"), "not bytearray"),
    ({"a": 1}, "not dict"),
    (None, "not NoneType"),
    (5, "not int"),
    (["a", None], r"input\[1\] must be text, not NoneType"),
    (["a", b"b"], r"input\[1\] must be text, not bytes"),
    ([1, 2], r"input\[0\] must be text, not int"),
    ([["a"]], r"input\[0\] must be text, not list"),
    (["a\0b"], "NUL"),
    (["\ud800"], "surrogate"),
]


@pytest.mark.parametrize(("texts", "words"), BAD_INPUT)
def test_bad_input_is_never_sent(server, client, texts, words):
    """What is no text, or cannot be sent, is refused before anything is asked of the service."""
    with pytest.raises(ConfigError, match=words):
        client.embeddings.create(texts)

    assert server.requests == []


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"batch_size": 2.0}, {"model": ""}, {"model": 5}, {"model": "a b"}]
)
def test_bad_options_are_never_sent(server, client, options):
    """A batch of nothing, or a name that is none, is refused as early."""
    with pytest.raises(ConfigError):
        client.embeddings.create("a", **options)

    assert server.requests == []


def test_an_empty_text_has_a_vector(client):
    """2.2.1 embeds an empty text, so it may be one of many."""
    assert build_embedding_request("", model="m").texts == [""]
    assert len(client.embeddings.create(["", "a"]).vectors) == 2


def test_a_model_that_is_not_loaded():
    """It is loaded by its alias, then asked for by its id; one that was dropped since is loaded again."""
    idle = json_error(400, f"Model not loaded: {DEMO_MODEL}")
    with (
        FaultServer(loaded=[]).on("POST", PATH, idle, embed) as server,
        FoundryAPIClient(server.url, model="demo") as client,
    ):
        assert len(client.embeddings.create(["a", "b"], batch_size=1).vectors) == 2
        asked = [request.json()["model"] for request in server.asked(PATH)]

    assert asked == [DEMO_MODEL, DEMO_MODEL, DEMO_MODEL]
    assert server.asked("/models/load/demo")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (json_answer({"data": []}), InvalidReply),
        (json_answer({"data": [{"index": 0, "embedding": ["1"]}]}), InvalidReply),
        (html_page(200), InvalidReply),
        (
            answer(200, b'{"data":[{"index":0,"embedding":[NaN]}]}', content_type="application/json"),
            InvalidReply,
        ),
        (json_answer({"data": [{"index": 0, "embedding": [1.0]}]})[:1] + cut(), ServiceUnreachable),
        (json_error(400, '"input" must not be empty'), BadRequest),
        (json_answer({"error": {"message": "out of order", "type": "server_error"}}), ServerError),
    ],
    ids=["no vector", "no number", "HTML", "NaN", "cut", "refused", "an error in a success"],
)
def test_a_broken_answer(server, client, script, error):
    """What is no whole answer is an error that names the call and the model."""
    server.on("POST", PATH, script)
    with pytest.raises(error) as caught:
        client.embeddings.create("a")

    assert (caught.value.call, caught.value.model) == ("embeddings.create", DEMO_MODEL)


def test_two_batches_of_different_models(server, client):
    """Vectors of two lengths in one call are no answer."""
    short = json_answer({"data": [{"index": 0, "embedding": [1.0]}]})
    server.on("POST", PATH, short, embed)
    with pytest.raises(InvalidReply, match="another model") as caught:
        client.embeddings.create(["a", "b"], batch_size=1)

    assert (caught.value.call, caught.value.model) == ("embeddings.create", DEMO_MODEL)


def test_a_text_that_is_too_long(server, client):
    """The error tells which text it is; the service does not."""
    long = json_error(500, "Inference failed: max_length (9) cannot be greater than model context_length (8)")
    server.on("POST", PATH, embed, long)
    with pytest.raises(ContextLengthExceeded, match=r"input\[2\] is longer") as caught:
        client.embeddings.create(["a", "b", "c", "d"], batch_size=2)

    assert len(caught.value.attempts) == 1


LONG = "Inference failed: max_length (9) cannot be greater than model context_length (8)"


def refusing(*refused, script=None):
    """Refuse every batch that holds one of these texts, as 2.2.1 refuses one that is too long."""

    def answer_to(request):
        texts = request.json()["input"]
        return (script or json_error(500, LONG)) if set(refused) & set(texts) else embed(request)

    return answer_to


@pytest.mark.parametrize("place", [0, 3, 5, 9])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_the_index_of_a_text_that_is_too_long(server, client, place, batch_size):
    """It is its own in the whole input, wherever it stands and however the input was divided."""
    texts = [f"text {number}" for number in range(10)]
    server.on("POST", PATH, refusing(texts[place]))
    with pytest.raises(ContextLengthExceeded, match=rf"input\[{place}\] is longer"):
        client.embeddings.create(texts, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize(
    ("script", "kind"),
    [(json_error(500, LONG), ContextLengthExceeded), (json_error(400, "bad text"), BadRequest)],
)
def test_texts_that_are_skipped(server, client, batch_size, script, kind):
    """What is refused by itself is left out with its reason; the others have their vectors, in order."""
    texts = [f"text {'x' * number}" for number in range(10)]
    server.on("POST", PATH, refusing(texts[0], texts[4], texts[5], script=script))
    reply = client.embeddings.create(texts, batch_size=batch_size, on_error="skip")
    assert sorted(reply.failed) == [0, 4, 5]
    assert {type(error) for error in reply.failed.values()} == {kind}
    assert "input[4]" in str(reply.failed[4])
    assert [n for n, vector in enumerate(reply.vectors) if not vector] == [0, 4, 5]
    assert all(reply.vectors[n] == vector_of(texts[n]) for n in range(10) if n not in reply.failed)
    assert reply.model == DEMO_MODEL


def test_all_texts_are_skipped(server, client):
    """There is a reply, without any vector."""
    server.on("POST", PATH, json_error(400, "bad text"))
    reply = client.embeddings.create(["a", "b"], on_error="skip")
    assert reply.vectors == [[], []]
    assert sorted(reply.failed) == [0, 1]
    assert reply.to_dict()["failed"]["0"]["type"] == "BadRequest"


def test_what_concerns_all_texts_is_raised(server, client):
    """A service that fails or is gone is no reason to leave texts out."""
    for script, error in ((json_error(503, "later"), ServerError), (cut(), ServiceUnreachable)):
        server.on("POST", PATH, script)
        with pytest.raises(error):
            client.embeddings.create(["a", "b"], on_error="skip")
    with pytest.raises(ConfigError, match="on_error"):
        client.embeddings.create("a", on_error="ignore")


def test_a_batch_that_takes_too_long(server, client):
    """The service is silent until a batch is done: a smaller one is the way out."""
    server.on("POST", PATH, stall())
    with pytest.raises(ServiceTimeout, match="batch_size= below 2"):
        client.embeddings.create(["a", "b", "c"], batch_size=2, timeout=0.05)


def test_one_deadline_for_all_batches(server, client):
    """The deadline bounds all requests together, not each."""
    server.on("POST", PATH, embed, stall())
    with pytest.raises(DeadlineExceeded):
        client.embeddings.create(["a", "b", "c"], batch_size=1, deadline=0.2, timeout=Timeouts(1, 9, 9))

    assert sizes(server) == [1, 1]


def test_a_cancelled_call_ends_between_batches(server, client):
    """A token that is cancelled during one batch keeps the next from being sent."""
    token = CancelToken()

    def last(request: Request):
        threading.Timer(0, token.cancel).start()
        return stall()

    server.on("POST", PATH, embed, last)
    with pytest.raises(Cancelled):
        client.embeddings.create(["a", "b", "c"], batch_size=1, cancel=token)

    assert sizes(server) == [1, 1]


# ---------------------------------------------------------------- the right model


@pytest.fixture
def knowing(client) -> Callable[[str], FoundryAPIClient]:
    """Return a function that gives a client which has learnt the model's task."""

    def learn(task: str) -> FoundryAPIClient:
        client._context.names.learn(DEMO_MODEL, ModelInfo(id=DEMO_MODEL, alias="demo", task=task))
        return client

    return learn


@pytest.mark.parametrize("task", ["chat-completion", "automatic-speech-recognition"])
def test_a_model_for_something_else(server, knowing, task):
    """A model that is known to be for something else is refused; on 1.x it would end the service."""
    with pytest.raises(ConfigError, match=f"a model for {task}") as caught:
        knowing(task).embeddings.create("a")

    assert (caught.value.call, caught.value.model) == ("embeddings.create", DEMO_MODEL)
    assert sizes(server) == []


@pytest.mark.parametrize("task", ["embeddings", "text-embedding", ""])
def test_a_model_that_may_do(knowing, task):
    """What is for embeddings, or of an unknown task, is asked."""
    assert knowing(task).embeddings.create("a").vectors == [vector_of("a")]
