"""`--metrics-textfile`: what a command leaves behind for Prometheus, and that it harms nothing."""

from __future__ import annotations

import re

import pytest
from support.servers import CHAT

from foundry_rest.cli import commands
from foundry_rest.observe.textfile import JobTextfile
from foundry_rest.testing import chat_stream, inference_failed


def values(path) -> dict[str, float]:
    """Return the values by the ends of the names, with the outcome where there is one."""
    found = re.findall(
        r'^foundry_rest_job_(\w+)\{job="(\w+)"(?:,outcome="(\w+)")?\} (\S+)$', path.read_text(), re.MULTILINE
    )
    assert {job for _, job, _, _ in found} == {path.stem}
    return {outcome or name: float(value) for name, _, outcome, value in found}


def test_chat(run, server, tmp_path):
    """A run that goes well leaves its end, its time and its code; one that does not keeps the success."""
    path = tmp_path / "chat.prom"
    server.on("POST", CHAT, chat_stream("Hi"), inference_failed())
    assert run("chat", "Hello", "--metrics-textfile", str(path))[0] == 0
    first = values(path)
    assert run("chat", "Hello", "--metrics-textfile", str(path))[0] == 1
    second = values(path)

    assert first.keys() == {
        "last_run_timestamp_seconds",
        "last_success_timestamp_seconds",
        "duration_seconds",
        "exit_code",
    }
    assert (first["exit_code"], second["exit_code"]) == (0, 1)
    assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]


def test_batch(run, server, tmp_path):
    """A batch leaves what it has done, by outcome."""
    path = tmp_path / "night.prom"
    server.on(
        "POST", CHAT, lambda request: inference_failed() if b"bad" in request.body else chat_stream("ok")
    )
    source = tmp_path / "in.txt"
    source.write_text("a\nb\nbad\n")
    arguments = ["batch", str(source), "-o", str(tmp_path / "out.jsonl"), "--metrics-textfile", str(path)]
    assert run(*arguments)[0] == 6
    found = values(path)

    assert (found["succeeded"], found["failed"], found["unsent"], found["exit_code"]) == (2, 1, 0, 6)


def test_a_check_is_no_run(run, server, tmp_path):
    """`--dry-run` sends nothing, and leaves nothing."""
    (tmp_path / "in.txt").write_text("a\n")
    code, *_ = run(
        "batch", str(tmp_path / "in.txt"), "--dry-run", "--metrics-textfile", str(tmp_path / "a.prom")
    )

    assert (code, (tmp_path / "a.prom").exists()) == (0, False)


def test_wrong_settings(run, server, tmp_path):
    """A run that ends before its first request is a run, too."""
    path = tmp_path / "a.prom"
    assert run("batch", "no-such-file", "-o", str(tmp_path / "o"), "--metrics-textfile", str(path))[0] == 2

    assert values(path)["exit_code"] == 2


@pytest.mark.parametrize("name", ["a.txt", "none/a.prom"])
def test_a_place_that_cannot_be(run, server, tmp_path, name):
    """It is told before anything is sent."""
    code, stdout, stderr = run("chat", "Hello", "--metrics-textfile", str(tmp_path / name))

    assert (code, stdout, server.asked(CHAT)) == (2, "", [])
    assert "must end with .prom" in stderr or "there is no directory" in stderr


def test_a_full_disk(run, server, tmp_path, monkeypatch):
    """The command has done its work: it says what is missing, and its exit code is its own."""

    def full(self, code):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JobTextfile, "write", full)
    server.on("POST", CHAT, chat_stream("Hi"))
    code, stdout, stderr = run("chat", "Hello", "--metrics-textfile", str(tmp_path / "a.prom"))

    assert (code, stdout) == (0, "Hi\n")
    assert f"The textfile {tmp_path / 'a.prom'} cannot be written (No space left on device)" in stderr


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("a fault"), 1)])
def test_whatever_ends_it(run, server, tmp_path, monkeypatch, error, code):
    """Ctrl-C and a fault of ours are runs that did not go well."""

    def raises(arguments):
        raise error

    monkeypatch.setitem(commands._COMMANDS, "chat", raises)
    path = tmp_path / "a.prom"
    try:
        run("chat", "Hello", "--metrics-textfile", str(path))
    except RuntimeError as raised:
        assert raised is error  # noqa: PT017 (one of the two cases)

    assert values(path)["exit_code"] == code
