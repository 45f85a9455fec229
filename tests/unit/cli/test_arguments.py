"""The arguments of the command, and what it costs to ask for help."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foundry_rest import __version__
from foundry_rest.cli.parser import build_parser
from foundry_rest.cli.ports import DEFAULT_PORT

ROOT = Path(__file__).parents[3]


def test_options_of_chat():
    """Every option of `chat` arrives under its name; what is not given is None."""
    given = build_parser().parse_args(
        [
            "chat",
            "Hi",
            "--model",
            "m",
            "--system",
            "s",
            "--max-tokens=5",
            "--temperature=0.5",
            "--no-stream",
            "--json",
            "--url",
            "u",
            "--timeout=3",
        ]
    )
    nothing = build_parser().parse_args(["chat"])

    assert (given.prompt, given.model, given.system, given.max_tokens) == ("Hi", "m", "s", 5)
    assert (given.temperature, given.no_stream, given.json) == (0.5, True, True)
    assert (given.url, given.timeout) == ("u", 3.0)
    assert (nothing.prompt, nothing.model, nothing.max_tokens, nothing.temperature) == (None,) * 4


def test_options_of_serve():
    """`--model-dir` and `--load` may be repeated; by default it is loopback and the usual port."""
    given = build_parser().parse_args(
        ["serve", "--model-dir", "a", "--model-dir", "b", "--port", "80", "--load", "a", "--load", "b"]
    )
    nothing = build_parser().parse_args(["serve"])

    assert (given.model_dir, given.port, given.load) == (["a", "b"], 80, ["a", "b"])
    assert (nothing.model_dir, nothing.host, nothing.port, nothing.load) == ([], "127.0.0.1", None, [])


def test_the_usual_port_is_told(run):
    """`serve --help`, README and the page on interfaces name the port that serve takes."""
    pages = [(ROOT / name).read_text("utf-8") for name in ("README.md", "docs/how-to/interfaces.md")]

    assert all(str(DEFAULT_PORT) in text for text in (run("serve", "--help")[1], *pages))


def test_options_of_the_model_commands():
    """What is not given is None or False, so that the client's own defaults hold."""
    parse = build_parser().parse_args
    load, unload, download = parse(["load", "m"]), parse(["unload", "--all"]), parse(["download", "m"])

    assert (load.name, load.ttl, load.device, load.json, load.start) == ("m", None, None, False, False)
    assert (unload.name, unload.all, unload.respect_ttl) == (None, True, False)
    assert (download.name, download.embedded, download.timeout) == ("m", False, None)
    assert [parse(["models", *given]).which for given in ([], ["--cached"], ["--loaded"])] == [
        "known",
        "cached",
        "loaded",
    ]
    assert parse(["load", "m", "--ttl=5", "--device", "npu"]).ttl == 5


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["chat", "a", "b"],
        ["chat", "--max-tokens", "many"],
        ["health", "--model", "m"],
        ["models", "--cached", "--loaded"],
        ["load"],
        ["load", "m", "--ttl", "long"],
        ["unload"],
        ["unload", "m", "--all"],
        ["download"],
        ["download", "m", "--embedded", "--url", "u"],
        ["chat", "a", "--start", "--url", "u"],
    ],
)
def test_wrong_arguments(run, arguments):
    """Wrong arguments are code 2, with the usage on stderr."""
    code, stdout, stderr = run(*arguments)

    assert (code, stdout) == (2, "")
    assert stderr.startswith("usage: foundry-rest")


def test_version(run):
    """`--version` prints name and version."""
    assert run("--version") == (0, f"foundry-rest {__version__}\n", "")


def test_help_is_quick():
    """`--help` imports neither requests nor what of ours or Python's is not needed for it."""
    code = (
        "import sys; before = set(sys.modules); from foundry_rest.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    *shown, imported = ran.stdout.splitlines()

    assert "exit codes:" in shown
    names = imported.split()
    assert {name for name in names if name.startswith("foundry_rest.cli.")} == {
        f"foundry_rest.cli.{name}"
        for name in ("command_table", "exit_codes", "failures", "main", "parser", "streams")
    }
    slow = {
        "requests",
        "msgspec",
        "rich",
        "foundry_local_sdk",
        "typing",
        "shutil",
        "contextlib",
        "dataclasses",
    }
    assert slow.isdisjoint(names)
