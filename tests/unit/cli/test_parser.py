"""What all commands have in common: their help, their letters, their options, and a hint at a slip."""

from __future__ import annotations

import argparse
import json
import shlex
from collections import defaultdict
from contextlib import suppress

import pytest

from foundry_rest.cli.client import headers_of
from foundry_rest.cli.command_table import COMMANDS
from foundry_rest.cli.parser import build_parser


def walk(parser, path=()):
    """Yield every parser with the words that lead to it."""
    yield path, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name in action.choices:
                yield from walk(action.choices[name], (*path, name))


PARSERS = {" ".join(path): parser for path, parser in walk(build_parser())}
#: What runs something: a group of actions only names them.
RUNNING = {name: parser for name, parser in PARSERS.items() if name not in ("", "cache")}
#: Commands that ask no service of the caller's.
ALONE = {"demo", "serve", "cache stats", "cache clear", "completion", "help"}
#: Letters with two meanings: -t and -c are what plugins of monitors have, and a chat's.
TWICE = {"-t": {"temperature", "timeout"}, "-c": {"critical", "continues"}}
#: What every other takes.
CALLS = {"--url", "--timeout", "--deadline", "--retries", "--header", "--verbose"}


def flags(parser):
    """Return every spelling of every option of a parser."""
    return {flag for action in parser._actions for flag in action.option_strings}


def examples(parser):
    """Return the examples of a parser's help."""
    lines = parser.format_help().partition("\nexamples:\n")[2].splitlines()
    return lines[: next((at for at, line in enumerate(lines) if not line.startswith("  ")), None)]


@pytest.mark.parametrize("name", PARSERS)
def test_help_fits(name, monkeypatch):
    """Help has at most 80 columns on the widest terminal."""
    monkeypatch.setenv("COLUMNS", "200")

    assert [line for line in PARSERS[name].format_help().splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", PARSERS)
def test_two_examples(name):
    """Help of each command ends with two examples, and each of them is understood by the parser."""
    given = examples(PARSERS[name])

    assert len(given) == 2
    for line in given:
        typed = line.replace("$(foundry-rest url)", "URL").rpartition("|")[2]
        words = shlex.split(typed.partition(" python ")[0].partition(" > ")[0])
        if "foundry-rest" in words:
            build_parser().parse_args(words[words.index("foundry-rest") + 1 :])


def test_a_letter_has_one_meaning():
    """A letter is the same option in every command, but for those that other programs have made usual."""
    meanings = defaultdict(set)
    for parser in PARSERS.values():
        for action in parser._actions:
            for letter in (flag for flag in action.option_strings if not flag.startswith("--")):
                meanings[letter].add(action.dest)

    assert all(names <= TWICE.get(letter, names) for letter, names in meanings.items())
    assert [letter for letter, names in meanings.items() if len(names) > 1 and letter not in TWICE] == []


@pytest.mark.parametrize("name", sorted(RUNNING.keys() - ALONE))
def test_options_of_a_call(name):
    """Whatever asks a service says how: address, bounds, tries, headers, log."""
    assert CALLS - flags(RUNNING[name]) == set()
    assert "-v" in flags(RUNNING[name])


@pytest.mark.parametrize("name", sorted(RUNNING.keys() - {"completion", "help"}))
def test_json_everywhere(name):
    """Every command that does something has an answer for programs."""
    assert "--json" in flags(RUNNING[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chta", "Hello"], "did you mean chat?"),
        (["cache", "stat", "f"], "did you mean stats?"),
        (["chat", "--modle", "m"], "did you mean --model?"),
        (["chat", "Hi", "--max-tokens=3", "--temprature=0"], "did you mean --temperature?"),
        (["batch", "i", "-o", "o", "--format", "json"], "did you mean jsonl?"),
        (["load", "--tll=5", "m"], "did you mean --ttl?"),
    ],
)
def test_did_you_mean(run, arguments, said):
    """A slip in a command, an option or a choice is answered with what is most like it, in JSON, too."""
    code, stdout, stderr = run(*arguments)

    assert (code, stdout) == (2, "")
    assert said in stderr.splitlines()[-1]
    assert said in json.loads(run(*arguments, "--json")[2])["error"]["message"]


def test_nothing_is_like_it(run):
    """What is like nothing lists what there is, and an unknown option is told with its command's usage."""
    assert "(choose from demo, chat, " in run("zzzzz")[2]
    stderr = run("load", "m", "--zzzzz")[2]

    assert "did you mean" not in stderr
    assert stderr.startswith("usage: foundry-rest load ")


def test_headers():
    """Headers are read from the line and from files; a later one wins, spaces around do not matter."""
    assert headers_of(["A: 1", "b:x:y", "A:2"]) == {"A": "2", "b": "x:y"}


def test_headers_of_a_file(tmp_path):
    """A file holds one header a line; empty lines and remarks are left out."""
    file = tmp_path / "headers"
    file.write_text("\ufeff# ours\nX-Team: a\n\nX-Run:  7 \n", "utf-8")

    assert headers_of([f"@{file}", "X-Team: b"]) == {"X-Team": "b", "X-Run": "7"}


@pytest.mark.parametrize("given", ["secret-key-without-name", ": secret", "@/nowhere/at/all"])
def test_bad_headers(run, server, given):
    """A header of another form is refused before anything is sent, and its value is not shown."""
    code, stdout, stderr = run("health", "--header", given)

    assert (code, stdout, len(server.requests)) == (2, "", 0)
    assert "NAME:VALUE" in stderr
    assert "secret" not in stderr


@pytest.mark.parametrize("command", [["health"], ["check"], ["models"], ["doctor"], ["monitor", "--count=1"]])
def test_headers_are_sent(run, server, command):
    """A header that is given goes with what is asked."""
    run(*command, "--header", "X-Team: blue")

    assert "blue" in {request.headers.get("X-Team") for request in server.requests}


def test_bounds_reach_the_client(run, server):
    """Bounds and tries are the client's: a refused value is named, before anything is sent."""
    for option in ("--deadline=0", "--retries=-1", "--timeout=0"):
        code, _, stderr = run("health", option)
        assert (code, option.partition("=")[0].strip("-") in stderr) == (2, True)
    assert len(server.requests) == 0


def test_verbose(run, server):
    """`-v` logs what a call does to stderr, and leaves stdout as it is."""
    quiet, loud = run("chat", "Hello"), run("chat", "Hello", "-v")

    assert loud[:2] == quiet[:2]
    assert "DEBUG foundry_rest" in loud[2]
    assert quiet[2] == ""


def test_parsers_are_made_when_they_are_needed():
    """`--help` makes no command's arguments, and running one makes no other's."""
    parser = build_parser()
    (commands,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    with suppress(SystemExit):
        parser.parse_args(["load", "m"])

    assert [name for name in commands.choices if commands.choices.get(name) is not None] == ["load"]
    assert set(commands.choices) == set(COMMANDS)


def test_every_name_has_its_row():
    """A row stands under its name, and another name's command is there."""
    assert all(name == row.name for name, row in COMMANDS.items())
    assert {row.runs for row in COMMANDS.values()} - {""} <= set(COMMANDS)
