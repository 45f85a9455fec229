"""Advice: data with two renderings, the library's words and the command's; nothing advises itself."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest

from foundry_rest import errors
from foundry_rest.errors import ModelNotFound, ServiceNotFound, ServiceUnreachable
from foundry_rest.errors.advice import Advice, Words, in_command

ROOT = Path(__file__).parents[2]
CLASSES = [
    cls
    for cls in (getattr(errors, name) for name in errors.__all__)
    if isinstance(cls, type) and issubclass(cls, errors.FoundryError)
]
COMMANDS = ["demo", "chat", "models", "load", "unload", "download", "health", "serve"]
#: What only a program can give or call.
LIBRARY_ONLY = re.compile(r"\b[a-z_]+=|\bclient\.|\berror\.|embedded\(|\bauto_load\b|\bauto_start\b")
#: What the command does not call.
NOT_CALLED = (
    "endpoints",
    "schema",
    "stream/responses",
    "stream/tool",
    "adapter",
    "testing",
    "breaker/storage",
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("command", COMMANDS)
def test_words_of_the_command(cls, command):
    """No error tells a command's user to give an argument or call a method; none advises itself."""
    told = cls("it broke", url="http://h").for_command(command)

    assert told.startswith("it broke (http://h)")
    assert not LIBRARY_ONLY.search(told)
    assert f"foundry-rest {command}" not in told


def sources():
    """Return the modules whose errors the command may show."""
    paths = sorted((ROOT / "foundry_rest").rglob("*.py"))
    return [path for path in paths if not any(part in path.as_posix() for part in NOT_CALLED)]


def advised(tree):
    """Yield every text that is advice in the command's words: plain ones, and the second of two."""
    pairs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Words":
            pairs |= set(map(id, ast.walk(node)))
            shown = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "command")]
            yield from map(ast.unparse, shown or node.args[:1])
    for node in ast.walk(tree):
        given = node.value if isinstance(node, (ast.Assign, ast.keyword)) else None
        name = getattr(node, "arg", "") or ast.unparse(getattr(node, "targets", [ast.Name("")])[0])
        if given is not None and "advice" in name.lower():
            texts = (
                each for each in ast.walk(given) if isinstance(each, ast.Constant) and id(each) not in pairs
            )
            yield from (each.value for each in texts if isinstance(each.value, str))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_advice_in_the_source(path):
    """Wherever the package advises an argument or a method, it has words for the command beside it."""
    found = [text for text in advised(ast.parse(path.read_text("utf-8"))) if LIBRARY_ONLY.search(text)]

    assert found == []


def test_the_check_can_complain():
    """The check of the sources sees both kinds of text."""
    source = 'error.advice = "give a="\nf(advice=Advice(Words("b=", "c="), Words("d=", "D")))'

    assert sorted(advised(ast.parse(source))) == ["'D'", "'c='", "give a="]


BOTH = [
    (Advice("Wait."), "Wait.", "Wait."),
    (Advice(Words("Give a=.", "Give --a.")), "Give a=.", "Give --a."),
    (Advice("Wait.", Words("Give a=.", "Give --a.")), "Wait. Give a=.", "Wait. Give --a."),
    (Advice("Did you mean b?", Advice(Words("x=", "--x"))), "Did you mean b? x=", "Did you mean b? --x"),
    (Advice(Words("", "Only here.")), "", "Only here."),
    (Advice(Words("Only there.", "")), "Only there.", ""),
    (Advice(), "", ""),
    ("a plain text", "a plain text", "a plain text"),
]


@pytest.mark.parametrize(("advice", "library", "command"), BOTH)
def test_both_renderings(advice, library, command):
    """Advice is a text in the library's words and has the command's; also copied, pickled and joined."""
    for each in (advice, copy.deepcopy(advice), pickle.loads(pickle.dumps(advice)), Advice(advice)):
        assert (each, in_command(each)) == (library, command)
    error = errors.FoundryError("no", advice=advice)
    assert error.for_command() == f"no. {command}".removesuffix(". ")
    assert pickle.loads(pickle.dumps(error)).for_command() == error.for_command()


@pytest.mark.parametrize("running", COMMANDS)
def test_nothing_advises_itself(running):
    """A command is not advised to run what it is; the rest of the advice stays."""
    advice = Advice(*(Words(f"Run {name}.", runs=name) for name in COMMANDS), "Wait.")

    assert advice.for_command(running) == str(advice).replace(f"Run {running}. ", "")
    assert ServiceUnreachable("gone").for_command(running).count("foundry-rest") == 2 - (
        running in ("health", "serve")
    )


PLACES = (
    Advice(Words("base_url (not given)", "--url (not given)")),
    "FOUNDRY_ENDPOINT (not set)",
    "x (none)",
)


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("cls", [ServiceNotFound, ServiceUnreachable])
def test_places(cls, count):
    """On a terminal each place that was looked at has its line; elsewhere, and in a log, it is one line."""
    error = cls("nothing was found", places=PLACES[:count], advice="Start one.")
    shown = error.for_command(in_lines=True)

    assert str(error).count("\n") == error.for_command().count("\n") == 0
    assert len(shown.splitlines()) == (count + 2 if count else 1)
    assert shown.splitlines()[1 : count + 1] == [f"  {in_command(place)}" for place in PLACES[:count]]
    assert all(place in error.message for place in PLACES[:count])
    assert "base_url" not in error.for_command() + shown
    assert pickle.loads(pickle.dumps(error)).for_command(in_lines=True) == shown


def test_suggested_names_stay():
    """What a service suggests stands in both renderings, before the class's own advice."""
    error = ModelNotFound("no", advice=Advice("Did you mean a or b?", ModelNotFound.advice))

    assert error.for_command("chat").startswith(
        "no. Did you mean a or b? List its names with: foundry-rest models"
    )
    assert str(error).startswith("no. Did you mean a or b? List the names it knows with client.models")
