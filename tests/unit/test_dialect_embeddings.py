"""Reading embeddings: one vector a text, each at its place, of one length, of numbers; or none at all."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from foundry_rest.dialects.embeddings import join_batches, parse_embeddings
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.errors import BadRequest, ContextLengthExceeded, InvalidReply
from foundry_rest.errors.bodies import service_error
from foundry_rest.schema import Usage
from foundry_rest.schema.embeddings import EmbeddingReply, EmbeddingRequest
from foundry_rest.transport.call import Options, Replay, Reply

URL = "http://127.0.0.1:5273"
TWO = [[1.0, 0.5], [-2.0, 3.25]]


def answer(*items: object, **more: object) -> Reply:
    """Return an answer whose data are these items."""
    return Reply(200, {"x": "y"}, json.dumps({"data": items, **more}).encode(), URL, 1.5)


def item(index: object, embedding: object) -> dict[str, object]:
    """Return one entry of an answer."""
    return {"object": "embedding", "index": index, "embedding": embedding}


def packed(numbers: list[float]) -> str:
    """Return numbers as services send them that were asked for base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def test_what_is_sent():
    """The id and the texts go out, as a list even for one; the caller's name stays with the call."""
    call = OpenAIDialect().embed(EmbeddingRequest("alias", ["a"], "id:1"), Options()).call

    assert (call.method, call.path, call.label) == ("POST", "/v1/embeddings", "embeddings.create")
    assert (call.model, call.replay) == ("alias", Replay.ALWAYS)
    assert json.loads(call.body) == {"model": "id:1", "input": ["a"]}


def test_a_whole_answer():
    """Vectors, model, usage, headers and time are there."""
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    reply = parse_embeddings(answer(item(0, TWO[0]), item(1, TWO[1]), model="m", usage=usage), 2)

    assert reply.vectors == TWO
    assert reply.vector == TWO[0]
    assert (reply.model, reply.usage, reply.headers) == ("m", Usage(3, 0, 3), {"x": "y"})
    assert reply.elapsed == 1.5


@pytest.mark.parametrize(
    "items",
    [
        [item(1, TWO[1]), item(0, TWO[0])],
        [item(0, packed(TWO[0])), item(1, packed(TWO[1]))],
        [item(0, [1, 0.5]), item(1, packed(TWO[1]))],
    ],
    ids=["another order", "base64", "whole numbers, and both formats"],
)
def test_the_spellings_of_strangers(items):
    """The index decides, whatever the order; base64 of float32 is read where it comes; nulls are nothing."""
    reply = parse_embeddings(answer(*items, model=None, usage=None), 2)

    assert (reply.vectors, reply.model, reply.usage) == (TWO, "", Usage())


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (answer(item(0, [1.0])), "$.data"),
        (answer(), "$.data"),
        (answer(item(0, [1.0]), item(0, [1.0])), "$.data[1].index"),
        (answer(item(0, [1.0]), item(2, [1.0])), "$.data[1].index"),
        (answer(item(0, [1.0]), item(1, [1.0]), item(1, [1.0])), "$.data[2].index"),
        (answer(item(0, [1.0]), item(-1, [1.0])), "$.data[1].index"),
        (answer(item(0, [1.0]), item("x", [1.0])), "$.data[1].index"),
        (answer(item(0, [1.0]), item(1, [1.0, 2.0])), "$.data"),
        (answer(item(0, [1.0]), item(1, [])), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, "")), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, ["1.0"])), "$.data[1].embedding[0]"),
        (answer(item(0, [1.0]), item(1, [None])), "$.data[1].embedding[0]"),
        (answer(item(0, [1.0]), item(1, None)), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, "no base64")), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, "AAA=")), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, packed([float("nan")]))), "$.data[1].embedding"),
        (answer(item(0, [1.0]), item(1, packed([float("inf")]))), "$.data[1].embedding"),
        (Reply(200, {}, b'{"data":[{"index":0,"embedding":[NaN]}]}', URL), "$.data[0].embedding"),
        (Reply(200, {}, b'{"data":[{"index":0,"embedding":[1e999]}]}', URL), "$.data[0].embedding"),
        (Reply(200, {}, b'{"data":[{"index":0,"embedding":[1.0', URL), "$"),
        (Reply(200, {}, b"<html>", URL), "$"),
        (Reply(200, {}, b"", URL), "$"),
        (Reply(200, {}, b"{}", URL), "$"),
        (Reply(200, {}, b'{"data":null}', URL), "$.data"),
    ],
)
def test_a_broken_answer_never_looks_like_success(body, where):
    """Too few, twice, elsewhere, of two lengths, empty, no numbers, cut: InvalidReply with the place."""
    with pytest.raises(InvalidReply) as caught:
        parse_embeddings(body, 2)

    assert (caught.value.where, caught.value.url) == (where, URL)


def test_batches_are_joined():
    """Vectors stand in the order of the batches, usage is summed, the rest is the last one's."""
    first = EmbeddingReply(vectors=[[1.0]], usage=Usage(1, 0, 1), model="a", headers={"n": "1"})
    last = EmbeddingReply(vectors=[[2.0], [3.0]], usage=Usage(2, 0, 2), model="b", headers={"n": "2"})

    assert join_batches([first, last], 9.0) == EmbeddingReply(
        vectors=[[1.0], [2.0], [3.0]], usage=Usage(3, 0, 3), model="b", headers={"n": "2"}, elapsed=9.0
    )


def test_batches_of_two_models():
    """Vectors of two lengths cannot be compared: that is no answer."""
    with pytest.raises(InvalidReply, match="another model"):
        join_batches([EmbeddingReply(vectors=[[1.0]]), EmbeddingReply(vectors=[[1.0, 2.0]])], 0.0)


@pytest.mark.parametrize(
    ("message", "cls"),
    [
        ("max_length (3003) cannot be greater than model context_length (1024)", ContextLengthExceeded),
        ("Generator output 'hidden_states' was not found.", BadRequest),
        ("audio_features must be provided via SetInputs", BadRequest),
    ],
)
def test_500s_that_would_come_again(message, cls):
    """2.2.1 says 500 for a text too long and for a model of another kind: the request's fault, once."""
    body = json.dumps({"error": {"message": f"Inference failed: {message}", "type": "server_error"}}).encode()

    assert type(service_error(500, {}, body)) is cls
