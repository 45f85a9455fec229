"""`models remove`: what is asked before, what is printed, and what is refused."""

from __future__ import annotations

import io
import json

import pytest

from foundry_rest.endpoints.models import Models
from foundry_rest.schema import ModelInfo

ID = "demo-generic-cpu:1"
INFO = ModelInfo(id=ID, alias="demo", cached=True, size=1_500_000)


class Terminal(io.StringIO):
    """Stand for a person who types."""

    def isatty(self):
        """Say that a person types."""
        return True


@pytest.fixture
def removed(monkeypatch):
    """Play the endpoint; return the names that were removed."""
    names = []

    def remove(self, name):
        names.append(name)
        return ModelInfo(id=ID, cached=False)

    monkeypatch.setattr(Models, "remove", remove)
    monkeypatch.setattr(Models, "resolve", lambda self, name: INFO)
    return names


@pytest.mark.parametrize("word", ["y\n", "YES\n", " yes \n"])
def test_confirmed(run, server, removed, word):
    """On a terminal the exact model and its size are told, and that one goes."""
    code, stdout, stderr = run("models", "remove", "demo", stdin=Terminal(word))

    assert (code, stdout, removed) == (0, f"{ID}\n", [ID])
    assert stderr == f"Delete {ID} from the disk (1.5 MB)? [y/N] "


@pytest.mark.parametrize("word", ["", "\n", "n\n", "yess\n"])
def test_not_confirmed(run, server, removed, word):
    """Anything but a yes deletes nothing, and is no success."""
    code, stdout, stderr = run("models", "remove", "demo", stdin=Terminal(word))

    assert (code, stdout, removed) == (1, "", [])
    assert stderr.endswith("Nothing was deleted.\n")


def test_without_a_question(run, server, removed):
    """With --yes, and where nobody can answer, nothing is asked, and the name goes as it is."""
    assert run("models", "remove", "demo", "--yes", stdin=Terminal("n\n")) == (0, f"{ID}\n", "")
    assert run("models", "remove", "demo") == (0, f"{ID}\n", "")
    assert json.loads(run("models", "remove", "demo", "--json")[1])["cached"] is False
    assert removed == ["demo"] * 3


def test_elsewhere(run, server):
    """A service that is not seen to be here: code 1, and where to go."""
    code, stdout, stderr = run("models", "remove", "demo")

    assert (code, stdout) == (1, "")
    assert "foundry cache remove" in stderr


@pytest.mark.parametrize(
    "arguments",
    [["remove"], ["remove", "demo", "--cached"], ["delete", "demo"], ["--yes"], ["remove", "a b"]],
)
def test_wrong_arguments(run, server, arguments):
    """What cannot be meant is refused before anything is asked."""
    assert run("models", *arguments)[:2] == (2, "")
    assert server.requests == []
