"""What watches over the output of the suite finds what it is there for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from support.canaries import Canaries

from foundry_rest import FoundryAPIClient
from foundry_rest.testing import DEMO_MODEL

KEY, PROMPT = "sk-canary-0123456789", "the prompt of the canary"


@pytest.fixture
def watching(monkeypatch, _canaries):
    """Watch beside the one that watches over all tests, which is not to see what is told on purpose."""
    with Canaries().watching(monkeypatch) as canaries:
        yield canaries
    _canaries.forget()


@pytest.fixture
def sent(watching, server):
    """Send the key and the prompt."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, api_key=KEY, dialect="openai") as client:
        client.complete(PROMPT)
    assert watching.found(with_prompts=True) == []
    return watching


@pytest.mark.parametrize("told", [KEY, PROMPT])
@pytest.mark.parametrize("where", ["text", "extra"])
def test_the_log(sent, told, where):
    """A key and a prompt are found in a record's text and in its attributes."""
    log = logging.getLogger("foundry_rest")
    log.debug("%s", told if where == "text" else "", extra={"model": told})
    assert len(sent.found(with_prompts=True)) == 1
    assert len(sent.found(with_prompts=False)) == (told == KEY)


def test_what_is_printed(sent, capsys):
    """A key is found in what a test prints; a prompt may be there."""
    sys.stdout.write(PROMPT)
    capsys.readouterr()
    assert sent.found(with_prompts=True) == []
    sys.stderr.write(KEY)
    capsys.readouterr()
    assert len(sent.found(with_prompts=True)) == 1


def test_a_process(watching):
    """A key that a process gets in its environment is found in what it prints."""
    code = "import os; print(os.environ['FOUNDRY_API_KEY'])"
    env = os.environ | {"FOUNDRY_API_KEY": KEY}
    subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert len(watching.found(with_prompts=False)) == 1
