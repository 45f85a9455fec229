"""The cache on Microsoft's own runtime: a service that is started again, and one that was found."""

from __future__ import annotations

import os

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.services.discovery import registry_file

pytestmark = pytest.mark.runtime
ALIAS = "demo-chat"


def test_a_restarted_embedded_service_hits(tmp_path, pairs):
    """The next start has another port and another directory, and finds the answers of the one before."""
    question, seen = pairs[0]["question"], []
    for _ in range(2):
        with FoundryAPIClient.embedded([demo_model_dir()], cache=tmp_path / "answers.sqlite") as client:
            reply = client.complete(question, temperature=0)
            with client.chat.stream(question, temperature=0) as stream:
                pieces = [chunk.event for chunk in stream]
            seen.append((client.url, reply, pieces))
    (first_url, first, first_pieces), (second_url, second, second_pieces) = seen

    assert first_url != second_url
    assert (first.cached, second.cached) == (False, True)
    assert second.content == first.content == pairs[0]["answer"]
    assert second_pieces == first_pieces
    assert len(first_pieces) > 3


@pytest.mark.skipif(os.name != "posix", reason="the registry of this user")
def test_a_service_that_was_found_and_restarted(tmp_path, pairs, monkeypatch):
    """A service that is found by its file has another port each time, and is known by its models."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    question, found = pairs[0]["question"], []
    for _ in range(2):
        with LocalRuntime(demo_model_dir()) as runtime:
            registry_file.write(registry_file.Entry(runtime.url, runtime.pid, 1.0))
            with FoundryAPIClient(model=ALIAS, cache=tmp_path / "answers.sqlite") as client:
                found.append(client.complete(question, temperature=0))
                assert client.url == runtime.url
            registry_file.remove(runtime.pid)

    assert [reply.cached for reply in found] == [False, True]
    assert found[1].content == found[0].content


def test_a_given_address_is_another_answerer(client, tmp_path, pairs, runtime):
    """The same models at an address that was named are asked for themselves."""
    question = pairs[0]["question"]
    with FoundryAPIClient.embedded([demo_model_dir()], cache=tmp_path / "answers.sqlite") as embedded:
        embedded.complete(question, temperature=0)
    with FoundryAPIClient(runtime.url, model=ALIAS, cache=tmp_path / "answers.sqlite") as named:
        assert not named.complete(question, temperature=0).cached
        assert named.complete(question, temperature=0).cached
        assert named.embeddings is not None
