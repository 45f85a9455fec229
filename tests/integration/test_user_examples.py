"""What a user writes first, in exactly this spelling, on the real runtime."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.logs import lines_by_level

from foundry_rest import FoundryAPIClient, ServiceTimeout, clock
from foundry_rest.runtime import LocalRuntime, demo_model_dir

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module")
def phi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    """Return a runtime that serves the demo model under the name that the user writes."""
    folder: Path = tmp_path_factory.mktemp("models") / "phi-4-mini"
    folder.symlink_to(demo_model_dir())
    with LocalRuntime(folder) as started:
        yield started


@pytest.fixture(autouse=True)
def _found(phi: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_ENDPOINT", phi.url)


def test_complete(answers):
    """A prompt by name, a model and a limit give the whole answer."""
    client = FoundryAPIClient()
    response = client.complete(prompt="Explain quantum computing", model="phi-4-mini", max_tokens=500)

    assert response.content
    again = client.complete(
        prompt="Explain quantum computing", model="phi-4-mini", max_tokens=500, temperature=0
    )
    assert again.content == answers["Explain quantum computing"]


def test_stream_complete():
    """A prompt by name and a model give the answer in chunks."""
    client = FoundryAPIClient()
    pieces = []
    for chunk in client.stream_complete(prompt="Write a story about AI", model="phi-4-mini"):
        pieces.append(chunk.content)  # noqa: PERF401 (as the user spells it)

    assert len(pieces) > 20
    assert "".join(pieces)


def test_health_check():
    """Health tells the status, the models in memory, and how much memory the service takes."""
    client = FoundryAPIClient()
    client.models.ensure_loaded("phi-4-mini")
    health = client.health_check()

    assert health.status == "ok"
    assert health.loaded_models == ("phi-4-mini-generic-cpu:1",)
    assert 10 * 1024**2 < health.memory_usage < 10 * 1024**3


def test_foundry_model(monkeypatch):
    """FOUNDRY_MODEL names the model of calls that name none."""
    monkeypatch.setenv("FOUNDRY_MODEL", "phi-4-mini")
    client = FoundryAPIClient()

    assert client.complete(prompt="Say OK", max_tokens=500).model == "phi-4-mini-generic-cpu:1"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("retries", "tries"), [("0", 1), ("1", 2)])
def test_foundry_timeout_and_retries(phi, monkeypatch, retries, tries):
    """FOUNDRY_TIMEOUT bounds the silence of a runtime that hangs, FOUNDRY_RETRIES the tries after that."""
    monkeypatch.setenv("FOUNDRY_TIMEOUT", "0.2")
    monkeypatch.setenv("FOUNDRY_RETRIES", retries)
    client = FoundryAPIClient()
    os.kill(phi.pid, signal.SIGSTOP)
    before = clock.monotonic()
    try:
        with pytest.raises(ServiceTimeout) as caught:
            client.complete(prompt="Hello", model="phi-4-mini")
    finally:
        os.kill(phi.pid, signal.SIGCONT)

    assert len(caught.value.attempts) == tries
    assert 0.2 * tries <= clock.monotonic() - before < 5


def test_foundry_log_level(monkeypatch, caplog):
    """FOUNDRY_LOG_LEVEL is the level of `configure_logging()`: a call is told at DEBUG, not at WARNING."""
    client = FoundryAPIClient()

    def ask():
        client.complete(prompt="Say OK", model="phi-4-mini", max_tokens=500)

    assert lines_by_level(ask, "chat.complete ok", monkeypatch, caplog) == {"DEBUG": 1, "WARNING": 0}
