"""The demo model says what its documents promise, word for word, on the real runtime."""

from __future__ import annotations

import io
import zipfile

import pytest

from foundry_rest.runtime import demo_model_dir

pytestmark = pytest.mark.runtime
#: What the issue grants the model in the wheel.
LARGEST = 1_500_000


def test_whole_answers(client, pairs):
    """Every question is answered exactly, in one piece, and ends of itself."""
    asked = [(pair["question"], client.complete(pair["question"], temperature=0)) for pair in pairs]

    assert [(question, reply.content, reply.finish_reason) for question, reply in asked] == [
        (pair["question"], pair["answer"], "stop") for pair in pairs
    ]


def test_streamed_answers(client, pairs):
    """Every question is answered exactly when it is streamed, and the chunks add up to the answer."""
    for pair in pairs:
        with client.stream_complete(pair["question"], temperature=0) as stream:
            said = "".join(chunk.content for chunk in stream)
        assert (said, stream.text, stream.finish_reason) == (pair["answer"], pair["answer"], "stop")


def test_at_least_forty_pairs(pairs):
    """The model was taught forty questions at least, no question twice."""
    assert len({pair["question"] for pair in pairs}) == len(pairs) >= 40


def test_long_story(client):
    """The story is long enough to be seen streaming: 150 tokens at least, by the service's count."""
    assert client.complete("Write a story about AI", temperature=0).usage.completion_tokens >= 150


def test_other_questions(client):
    """To a question it was not taught the model says what it is."""
    reply = client.complete("Which colour has Tuesday?", temperature=0, max_tokens=100)

    assert reply.content.startswith("I am a small demo model and know only a few answers.")


def test_answer_is_the_same_again(client):
    """At temperature 0 the same question gives the same answer."""
    assert len({client.complete("Tell me a joke", temperature=0).content for _ in range(5)}) == 1


def test_fits_into_the_wheel():
    """Zipped as in a wheel, the model takes 1.5 MB at most."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in demo_model_dir().iterdir():
            archive.write(file, file.name)

    assert len(packed.getvalue()) <= LARGEST
