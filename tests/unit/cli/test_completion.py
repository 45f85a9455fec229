"""`completion`: the scripts, each run by its own shell where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from foundry_rest.cli.command_table import COMMANDS
from foundry_rest.cli.completion import places
from foundry_rest.cli.help_arguments import SHELLS
from foundry_rest.cli.parser import build_parser

ASKED = {
    "bash": """\
source "$SCRIPT"
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_foundry_rest
printf '%s\\n' "${{COMPREPLY[@]}}" """,
    "zsh": """\
compdef() {{ :; }}
_describe() {{ print -rl -- ${{(P)2}} }}
_files() {{ :; }}
source "$SCRIPT"
words=({words}); CURRENT=${{#words}}
_foundry_rest""",
    "fish": """\
source "$SCRIPT"
complete -C (string join ' ' -- {words})""",
}


def shell(name):
    """Return the mark of a test in a shell."""
    missing = os.name != "posix" or shutil.which(name) is None
    return pytest.param(
        name, marks=pytest.mark.skipif(missing, reason=f"needs {name}: apt-get install {name}")
    )


@pytest.fixture
def offered(run, tmp_path):
    """Return a function that gives what a shell offers after some words, the last of which is begun."""

    def ask(name, *words):
        script = tmp_path / f"foundry-rest.{name}"
        script.write_text(run("completion", name)[1], "utf-8")
        given = " ".join(f"'{word}'" for word in ("foundry-rest", *words))
        done = subprocess.run(
            [name, *(["-f"] if name == "zsh" else []), "-c", ASKED[name].format(words=given)],
            env={"PATH": os.environ["PATH"], "SCRIPT": str(script), "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.stderr == ""
        found = (re.split(r"[:\t]", line)[0] for line in done.stdout.splitlines())
        return {word for word in found if word.startswith(words[-1])} - {""}

    return ask


@pytest.mark.parametrize("name", [shell(each) for each in ASKED])
def test_in_the_shell(offered, name):
    """A shell offers commands, then that command's options, choices and actions, and no other's."""
    assert offered(name, "ch") == {"chat", "check"}
    assert offered(name, "chat", "--temper") == {"--temperature"}
    assert offered(name, "load", "--te") == set()
    assert offered(name, "batch", "--format", "js") == {"jsonl"}
    assert offered(name, "cache", "") >= {"stats", "clear"}
    assert offered(name, "cache", "clear", "--o") == {"--older-than"}
    assert offered(name, "completion", "") >= set(SHELLS)
    assert offered(name, "help", "exit") == {"exit-codes"}


def test_values_with_an_equals_sign(offered):
    """Bash parts a word at the sign: what follows it is the option's value."""
    if shutil.which("bash") is None or os.name != "posix":
        pytest.skip("needs bash: apt-get install bash")
    assert offered("bash", "batch", "--format", "=", "c") == {"csv"}


@pytest.mark.parametrize("name", SHELLS)
def test_scripts_hold_everything(run, name):
    """Each script holds every command and every option, and ends with a line end."""
    code, script, stderr = run("completion", name)

    assert (code, stderr, script[-1]) == (0, "", "\n")
    for place in places(build_parser()):
        for word in place.options:
            assert all(flag.lstrip("-") in script for flag in word.flags)
    assert all(command in script for command in COMMANDS)


def test_powershell_has_each_key_once(run):
    """PowerShell refuses a table with one key twice, and does not see the case of letters."""
    keys = re.findall(r"^ +'([^']*)' = @\(", run("completion", "powershell")[1], re.MULTILINE)

    assert len(keys) == len({key.lower() for key in keys}) > len(COMMANDS)


def test_unknown_shell(run):
    """Another shell is refused with those that are known."""
    code, stdout, stderr = run("completion", "tcsh")

    assert (code, stdout) == (2, "")
    assert "choose from bash, zsh, fish, powershell" in stderr
