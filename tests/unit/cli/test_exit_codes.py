"""How a command ends: its code, and what its last line on stderr says."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.platforms import posix
from support.servers import CHAT

from foundry_rest import clock, errors
from foundry_rest.cli import commands
from foundry_rest.cli.exit_codes import BATCH_EXIT_CODES, EXIT_CODES, ExitCode, describe, exit_code_of
from foundry_rest.cli.main import main
from foundry_rest.testing import (
    chat_stream,
    cut,
    dead_address,
    html_page,
    inference_failed,
    json_error,
    paced,
    stall,
    too_many,
)

ROOT = Path(__file__).parents[3]
PUBLIC_ERRORS = [
    cls
    for cls in map(errors.__dict__.get, errors.__all__)
    if isinstance(cls, type) and issubclass(cls, errors.FoundryError)
]
#: The rest end in the code of FoundryError.
CODE_OF = {
    "ConfigError": 2,
    "UnknownArgument": 2,
    "CircuitOpen": 3,
    "TransportError": 3,
    "WorkerLost": 3,
    "ExecutorBroken": 3,
    "ServiceNotFound": 3,
    "ServiceUnreachable": 3,
    "ServiceTimeout": 4,
    "DeadlineExceeded": 4,
    "StreamInterrupted": 5,
    "InvalidReply": 5,
    "InvalidMember": 5,
}


@pytest.mark.parametrize("error", PUBLIC_ERRORS, ids=lambda cls: cls.__name__)
def test_every_error_has_its_code(error):
    """Each class of the error tree ends in the code of one row."""
    assert exit_code_of(error("no")) == CODE_OF.get(error.__name__, 1)


def test_table_has_no_doubtful_row():
    """No code and no error stands in two rows; every error named is public, the parser's, or Python's own."""
    codes = [row.code for row in EXIT_CODES]
    names = [name for row in EXIT_CODES for name in row.errors]

    assert sorted(set(codes)) == codes
    assert sorted(set(names)) == sorted(names)
    assert set(names) <= {*errors.__all__, *dir(builtins), "UsageError"}


def test_help_lists_the_table(run):
    """`--help` lists every code with its meaning, and no other code."""
    code, stdout, _ = run("--help")
    listed = stdout.partition("exit codes:\n")[2].partition("\n\n")[0]

    assert code == 0
    assert [tuple(line.split(None, 1)) for line in listed.splitlines()] == [
        (str(row.code), row.meaning) for row in EXIT_CODES
    ]


def test_another_table():
    """A command with codes of its own brings a table in the same form: Nagios takes 2 for critical."""
    table = (
        ExitCode(0, "OK"),
        ExitCode(2, "CRITICAL", ("TransportError",)),
        ExitCode(3, "?", ("Exception",)),
    )

    assert exit_code_of(errors.ServiceUnreachable("lost"), table) == 2
    assert exit_code_of(errors.ConfigError("wrong"), table) == 3
    assert describe(table).splitlines()[1] == "  2    CRITICAL"


#: Variables, options, what the service does, code, what is said.
FAILURES = [
    ({}, [], too_many(), 1, "Too many requests"),
    ({}, [], inference_failed(), 1, "out of memory"),
    ({}, ["--max-tokens", "0"], None, 2, "max_tokens must be a whole number, 1 or more"),
    ({}, ["--temperature", "nan"], None, 2, "temperature must be a number, 0 or more, not nan"),
    ({}, ["--timeout", "-1"], None, 2, "timeout must be a number of seconds above 0"),
    ({}, ["--model", "a b"], None, 2, "'a b' is no alias or id"),
    ({}, ["--url", "127.0.0.1:1"], None, 2, "must start with http://"),
    ({"FOUNDRY_TIMEOUT": "soon"}, [], None, 2, "FOUNDRY_TIMEOUT='soon' cannot be used: allowed is"),
    ({"FOUNDRY_LOG_LEVEL": "loud"}, [], None, 2, "FOUNDRY_LOG_LEVEL='loud' cannot be used"),
    ({}, [], cut(), 3, "closed the connection"),
    ({}, ["--timeout", "0.1"], stall(), 4, "larger --timeout (FOUNDRY_TIMEOUT)"),
    ({"FOUNDRY_DEADLINE": "0.1"}, [], stall(), 4, "larger --deadline (FOUNDRY_DEADLINE)"),
    ({}, [], html_page(), 5, "expected an event stream"),
]


@pytest.mark.parametrize("row", FAILURES)
def test_codes(run, server, monkeypatch, row):
    """Each kind of failure ends in its code; stdout stays empty, stderr names the reason, no traceback."""
    variables, options, script, code, said = row
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if script is not None:
        server.on("POST", CHAT, script)
    got, stdout, stderr = run("chat", "Hello", *options)

    assert (got, stdout) == (code, "")
    assert said in stderr.splitlines()[-1]
    assert stderr.splitlines()[-1].startswith("foundry-rest: ")
    assert "Traceback" not in stderr


#: Prompts of a batch, its options, the code; for 75 the service is at an address where nothing listens.
BATCHES = [
    (["fine", "bad"], [], 6),
    (["fine", "fine"], ["--stop-after", "0.001", "--grace", "0"], 7),
    (["fine"], [], 75),
]


@pytest.mark.parametrize("row", BATCHES)
def test_codes_of_batch(run, server, tmp_path, row):
    """A batch has codes of its own: some requests failed, it was stopped early, the service is down."""
    prompts, options, code = row

    def reply(request):
        if code == 7:
            return stall()
        return json_error(400, "no") if request.json()["messages"][0]["content"] == "bad" else chat_stream()

    server.on("POST", CHAT, reply)
    (tmp_path / "in.txt").write_text("\n".join(prompts))
    paths = [str(tmp_path / "in.txt"), "-o", str(tmp_path / "out.jsonl")]
    with dead_address() as dead:
        got, stdout, stderr = run("batch", *paths, *options, *(["--url", dead] if code == 75 else []))

    assert (got, stdout) == (code, "")
    assert "Traceback" not in stderr
    assert ("foundry-rest: " in stderr.splitlines()[-1]) is (code == 75)


def test_every_row_is_produced():
    """Each row is the end of a command that a test runs: success, a failure above, Ctrl-C, a closed pipe."""
    produced = {0, 130, 141, *(code for *_, code, _ in FAILURES), *(code for *_, code in BATCHES)}

    assert produced == {row.code for row in EXIT_CODES}


@pytest.mark.parametrize("error", PUBLIC_ERRORS, ids=lambda cls: cls.__name__)
def test_errors_of_batch(error):
    """An error that a batch starts with is 75 where the service is away: a cron job runs it again."""
    away = {"CircuitOpen", "TransportError", "ServiceNotFound", "ServiceUnreachable", "ServiceTimeout"}
    away |= {"WorkerLost", "ExecutorBroken"}
    expected = 75 if error.__name__ in {*away, "DeadlineExceeded"} else CODE_OF.get(error.__name__, 1)

    assert exit_code_of(error("no"), BATCH_EXIT_CODES) == expected


def test_success(run, server):
    """A command that did its work is code 0, and silent on stderr."""
    assert run("chat", "Hello") == (0, "Hello there\n", "")


def test_timeout_of_health(run, server):
    """`health --timeout` bounds the wait for a service that is silent."""
    server.on("GET", "/status", stall())
    before = clock.monotonic()
    code, _, stderr = run("health", "--timeout", "0.1")

    assert code == 4
    assert "--timeout" in stderr
    assert clock.monotonic() - before < 1


def test_dead_address(run, server):
    """An address at which nothing listens is code 3, and what to run."""
    with dead_address() as url:
        code, stdout, stderr = run("chat", "Hello", "--url", url)

    assert (code, stdout) == (3, "")
    assert f"connection refused: nothing listens there (detect at {url})" in stderr
    assert "foundry-rest serve" in stderr


@pytest.mark.parametrize("arguments", [["chat", "Hello"], ["models"], ["health"]])
def test_nothing_found(run, arguments):
    """Without a service: code 3, what was looked at, and what to run or give, in the command's words."""
    code, stdout, stderr = run(*arguments)

    assert (code, stdout) == (3, "")
    for said in (
        "FOUNDRY_ENDPOINT (not set)",
        "registry file",
        "foundry-rest serve --model-dir DIR",
        "--url",
    ):
        assert said in stderr
    assert "embedded(" not in stderr


def test_cut_stream(run, server):
    """A cut stream is code 5; the text so far stays on stdout, no attribute of the library is named."""
    server.on("POST", CHAT, chat_stream("one two three")[:4] + cut())
    code, stdout, stderr = run("chat", "Hello")

    assert (code, stdout) == (5, "one two\n")
    assert stderr.rstrip().endswith("Ask again for a whole answer.")
    assert "error.text" not in stderr


def test_interrupted(run, monkeypatch):
    """Ctrl-C is code 130, without a word."""
    monkeypatch.setitem(commands._COMMANDS, "health", _press_ctrl_c)
    assert run("health") == (130, "", "")


def _press_ctrl_c(_):
    raise KeyboardInterrupt


@posix
def test_ctrl_c_in_a_stream(server):
    """Ctrl-C in the middle of a stream ends it within a second; the text so far stays, nothing is said."""
    server.on("POST", CHAT, paced(chat_stream("one two three four five six seven eight"), every=0.2))
    with subprocess.Popen(
        [sys.executable, "-m", "foundry_rest", "chat", "Hello"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FOUNDRY_LOG_LEVEL": "WARNING"},
        preexec_fn=_with_ctrl_c,  # noqa: PLW1509 (no other thread of ours holds a lock here)
    ) as process:
        assert process.stdout.read(3) == "one"
        before = clock.monotonic()
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=5)

    assert clock.monotonic() - before < 1
    assert server.wait_left()
    assert (process.returncode, stderr) == (130, "")
    assert ("one" + rest).endswith("\n")
    assert "eight" not in rest


def _with_ctrl_c():
    # A background job of a shell ignores SIGINT, and so would its children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@posix
def test_closed_pipe():
    """A pipe that nobody reads any more is code 141, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "foundry_rest", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # argparse swallows the error of an unbuffered stdout
        check=False,
    )
    os.close(writer)

    assert (ran.returncode, ran.stderr) == (141, b"")


def test_output_that_breaks(capsys, monkeypatch):
    """A reader that left is code 141 without a word; a disk that is full is code 1 with its reason."""

    def fail(error):
        def write(_):
            raise error

        monkeypatch.setitem(commands._COMMANDS, "health", write)
        monkeypatch.setattr("foundry_rest.cli.main.discard", lambda stream: None)
        return main(["health"]), capsys.readouterr().err

    assert fail(BrokenPipeError()) == (141, "")
    assert fail(OSError(28, "No space left on device")) == (
        1,
        "foundry-rest: the output cannot be written: No space left on device\n",
    )


def test_errors_of_the_package_are_no_output_errors(capsys, monkeypatch):
    """Our transport errors are OSErrors by descent, and still end in their own code."""

    def lose(_):
        raise errors.ServiceUnreachable("lost")

    assert issubclass(errors.ServiceUnreachable, OSError)
    monkeypatch.setitem(commands._COMMANDS, "health", lose)
    assert main(["health"]) == 3
    assert capsys.readouterr().err.startswith("foundry-rest: lost.")


@pytest.mark.parametrize("arguments", [["chat", "Hello"], ["models"], ["health"], ["load", "demo"]])
def test_places_on_a_terminal(run, monkeypatch, arguments):
    """On a terminal an error lists one place that was looked at on each line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    code, _, stderr = run(*arguments)
    lines = stderr.splitlines()

    assert code == 3
    assert "  --url (not given)" in lines
    assert "  FOUNDRY_ENDPOINT (not set)" in lines
    assert lines[-1].startswith("Start one with: foundry-rest serve")


def test_health_does_not_advise_health(run):
    """`health` at a dead address advises what to start, and not itself."""
    with dead_address() as url:
        stderr = run("health", "--url", url)[2]

    assert "foundry-rest serve" in stderr
    assert "foundry-rest health" not in stderr
