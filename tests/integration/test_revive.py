"""The embedded runtime is killed, and the same client goes on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import msgspec
import pytest
from support.deaths import kill_runtime

from foundry_rest import RetryPolicy
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import Cancelled, ServiceUnreachable
from foundry_rest.events import ServiceMoved
from foundry_rest.runtime import demo_model_dir

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]


@pytest.fixture
def embedded(told):
    """Return a client that owns a runtime of its own."""
    soon = RetryPolicy(base=0.02)
    with FoundryAPIClient.embedded([demo_model_dir()], observers=[told.append], retries=soon) as made:
        yield made


def test_killed_and_started_again(embedded, told, pairs, is_gone, within):
    """The next call restarts it, loads the model there and returns the right answer."""
    pair = pairs[0]
    assert embedded.complete(pair["question"]).content == pair["answer"]
    first = embedded._owned[1].pid
    kill_runtime(embedded)

    assert embedded.complete(pair["question"]).content == pair["answer"]
    assert embedded._owned[1].pid != first
    assert within(2, lambda: is_gone(first))
    assert len([event for event in told if isinstance(event, ServiceMoved)]) == 1


def test_eight_threads_meet_one_death(embedded, pairs):
    """All of them go on; one process is started, and one of the five revivals is used up."""
    embedded.complete(pairs[0]["question"])
    kill_runtime(embedded)
    with ThreadPoolExecutor(8) as pool:
        asked = [pairs[number % len(pairs)] for number in range(8)]
        answers = list(pool.map(lambda pair: embedded.complete(pair["question"]).content, asked))

    assert answers == [pair["answer"] for pair in asked]
    assert len(embedded._owned[1]._revived) == 1


def test_killed_again_and_again(embedded, pairs):
    """The sixth death within five minutes is the last; the error says why it is left alone."""
    for _ in range(5):
        kill_runtime(embedded)
        assert embedded.complete(pairs[0]["question"]).content == pairs[0]["answer"]
    kill_runtime(embedded)

    with pytest.raises(ServiceUnreachable, match="died 5 times"):
        embedded.complete(pairs[0]["question"])


def test_closed_is_closed(embedded, pairs):
    """After close() nothing is started any more."""
    runtime = embedded._owned[1]
    embedded.complete(pairs[0]["question"])
    embedded.close()
    with pytest.raises(Cancelled):
        embedded.complete(pairs[0]["question"])

    assert not runtime.is_alive()


class Verdict(msgspec.Struct):
    """What this model, left to itself, would fill with white space."""

    score: Annotated[int, msgspec.Meta(ge=1, le=5)]
    reason: Annotated[str, msgspec.Meta(max_length=200)]


def test_a_type_after_the_death_that_another_thread_met(embedded):
    """The new process is looked at before the schema is worded, so that its decoder is guided, too."""
    judge = partial(embedded.complete, "Judge: 4", response_model=Verdict, temperature=0, max_reasks=0)
    before = judge()
    kill_runtime(embedded)
    embedded._core.targets.miss(embedded.url)

    assert judge() == before
