"""Fallback models and a caller's check on the real runtime, with two copies of the demo model."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from support.relay import CuttingRelay, after_events, after_head, before_done, in_chunk_size

from foundry_rest import (
    FoundryAPIClient,
    InvalidReply,
    ModelNotLoaded,
    ServiceUnreachable,
    StreamInterrupted,
    Typed,
)
from foundry_rest.runtime import LocalRuntime, demo_model_dir

pytestmark = pytest.mark.runtime
QUESTION = "Give me a person as JSON"


class Taught(msgspec.Struct):
    """What the demo model was taught to write as JSON."""

    name: str
    age: int


@pytest.fixture
def two(tmp_path: Path) -> Iterator[LocalRuntime]:
    """Serve two models and one whose files are broken; nothing is in memory."""
    for name in ("first", "second", "broken"):
        shutil.copytree(demo_model_dir(), tmp_path / name)
    (tmp_path / "broken" / "model.onnx").write_bytes(b"no graph")
    with LocalRuntime([tmp_path / name for name in ("first", "second", "broken")]) as started:
        yield started


def test_what_is_not_in_memory_is_passed_over(two):
    """A model that cannot be loaded gives way to one in memory; the one between them is not loaded."""
    with FoundryAPIClient(two.url, model="broken", retries=0) as client:
        ready = client.models.load("second")
        reply = client.complete("Hello", fallback_models=["first", "second"], temperature=0)

        assert reply.model == ready.id
        assert [info.id for info in client.models.loaded()] == [ready.id]


def test_a_fallback_is_loaded_where_that_is_asked(two):
    """Then the first one that can be loaded answers."""
    with FoundryAPIClient(two.url, model="broken", retries=0) as client:
        reply = client.complete("Hello", fallback_models=["first", "second"], load_fallbacks=True)

        assert [info.id for info in client.models.loaded()] == [reply.model]
        assert client.models.resolve("first").id == reply.model


def test_a_model_that_is_not_there(two):
    """A wrong name gives way; with none in memory behind it the error has the tries of all models."""
    with FoundryAPIClient(two.url, model="no-such-model", retries=0) as client:
        with pytest.raises(ModelNotLoaded) as caught:
            client.complete("Hello", fallback_models=["first", "second"])
        client.models.load("second")
        reply = client.complete("Hello", fallback_models=["first", "second"])

        assert {attempt.model for attempt in caught.value.attempts} == {"no-such-model", "first", "second"}
        assert reply.model == client.models.resolve("second").id


def test_an_unloaded_model(two):
    """A client that loads nothing by itself goes on with what is in memory, also for a type."""
    with FoundryAPIClient(two.url, model="first", retries=0, auto_load=False) as client:
        client.models.load("second")
        pair = client.complete(
            QUESTION, response_model=Taught, with_reply=True, temperature=0, fallback_models=["second"]
        )

        assert isinstance(pair, Typed)
        assert pair.value == Taught("Ada", 36)
        assert pair.reply.model == client.models.resolve("second").id


def test_a_killed_service(two):
    """Nobody answers there, so no other model of it is asked."""
    with FoundryAPIClient(two.url, model="first", retries=0) as client:
        client.models.load("first")
        os.kill(two.pid, signal.SIGKILL)
        with pytest.raises(ServiceUnreachable) as caught:
            client.complete("Hello", fallback_models=["second"])

    assert {attempt.model for attempt in caught.value.attempts} == {""}


#: Where the answer of the first model is cut, and whether a token of it was handed out by then.
CUTS = {
    "behind the head": (after_head, False),
    "in the first event": (after_events(1), False),
    "in the middle": (after_events(4), True),
    "in a chunk's size": (in_chunk_size, True),
}


@pytest.fixture
def cutting(two):
    """Load both models; return what makes a client, and the relay that cuts the first one's answers to it."""
    with FoundryAPIClient(two.url) as loading, ExitStack() as stack:
        loading.models.load("second")
        first = loading.models.load("first").id.encode()

        def cut(where):
            relay = stack.enter_context(CuttingRelay(two.url, first, where))
            return relay, stack.enter_context(FoundryAPIClient(relay.url, model="first", retries=0))

        yield cut


@pytest.mark.parametrize("cut", CUTS)
def test_an_answer_that_is_cut(cutting, cut):
    """The next model answers in place of a half answer; where nothing came, the service is gone for all."""
    where, has_begun = CUTS[cut]
    relay, client = cutting(where)
    question = {
        "prompt": "What is the capital of France?",
        "fallback_models": ["second"],
        "temperature": 0,
    }
    if has_begun:
        reply = client.complete(**question)
        assert reply.content == "The capital of France is Paris."
        assert reply.model == client.models.resolve("second").id
    else:
        with pytest.raises(ServiceUnreachable) as caught:
            client.complete(**question)
        assert [attempt.error for attempt in caught.value.attempts] == ["ServiceUnreachable"]
    assert relay.cuts == 1


@pytest.mark.parametrize("cut", CUTS)
def test_a_stream_that_is_cut(cutting, cut):
    """A stream breaks off with what it has handed out; it never goes on with another answer."""
    where, has_begun = CUTS[cut]
    relay, client = cutting(where)
    with pytest.raises((StreamInterrupted, ServiceUnreachable)) as caught:
        client.stream_complete("What is the capital of France?", temperature=0).gather()

    text = getattr(caught.value, "text", "")
    assert "The capital of France is Paris.".startswith(text)
    assert bool(text) is has_begun
    assert relay.cuts == 1


def test_a_cut_behind_the_answer(cutting):
    """An answer whose end was told, all but the last line, is whole: the first model has answered."""
    relay, client = cutting(before_done)
    reply = client.complete("What is the capital of France?", fallback_models=["second"], temperature=0)

    assert (relay.cuts, reply.content) == (1, "The capital of France is Paris.")
    assert reply.model == client.models.resolve("first").id


def test_a_check_is_told_to_the_model(client):
    """The model answers again to the words; what it cannot correct is an error with its text."""
    seen: list[Taught] = []

    def second_time(person: Taught) -> None:
        seen.append(person)
        if len(seen) == 1:
            raise ValueError("say it again")

    value = client.complete(
        QUESTION, response_model=Taught, validate=second_time, temperature=0, max_tokens=100
    )
    assert [type(each) for each in seen] == [Taught, Taught]
    assert value is seen[1]

    def never(reply: object) -> None:
        raise ValueError("never good enough")

    with pytest.raises(InvalidReply, match="validate refused the answer: never good enough, also") as caught:
        client.complete("Hello", validate=never, temperature=0)
    assert caught.value.text


def test_on_1x(core_runtime):
    """A wrong name gives way to the model in memory, by its alias, also where the service goes by ids."""
    with FoundryAPIClient(core_runtime.url, model="no-such-model", retries=0) as client:
        client.models.load("demo-chat")
        reply = client.complete("Hello", fallback_models=["demo-chat"], temperature=0, max_tokens=20)

        assert reply.model in {info.id for info in client.models.loaded()}
