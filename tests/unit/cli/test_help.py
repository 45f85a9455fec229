"""`help`: topics that concern all commands, and the help of one."""

from __future__ import annotations

import pytest

from foundry_rest.cli.exit_codes import EXIT_CODES
from foundry_rest.cli.help import SETTINGS
from foundry_rest.cli.help_arguments import TOPICS
from foundry_rest.config import VARIABLES


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_fit(run, topic):
    """A topic has at most 80 columns, but for a path."""
    code, stdout, stderr = run("help", topic)

    assert (code, stderr) == (0, "")
    assert [line for line in stdout.splitlines() if len(line) > 80 and "foundry_rest" not in line] == []


def test_exit_codes(run):
    """Every code of every command is there."""
    stdout = run("help", "exit-codes")[1]

    assert all(f"  {row.code:<5}{row.meaning}" in stdout.splitlines() for row in EXIT_CODES)
    assert "unknown: wrong arguments or settings" in stdout


def test_environment(run):
    """Every variable that is read has its line."""
    assert tuple(SETTINGS) == VARIABLES
    assert all(name in run("help", "environment")[1] for name in VARIABLES)


def test_files(run, tmp_path, monkeypatch):
    """The places are those of this user on this machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stdout = run("help", "files")[1]

    for said in (
        "service-PID.json",
        "host-slots",
        ".foundry_rest",
        "OUTPUT.journal",
        "conversations",
        "templates",
    ):
        assert said in stdout


def test_help_of_a_command(run):
    """`help NAME` is `NAME --help`, `help` alone is `--help`."""
    assert run("help", "chat") == run("chat", "--help")
    assert run("help") == run("--help")


def test_unknown_topic(run):
    """A slip is answered with what is meant."""
    code, _, stderr = run("help", "exit-code")
    assert (code, "did you mean exit-codes?" in stderr) == (2, True)
