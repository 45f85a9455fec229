"""The input of a batch as the world has it: files that grow, pipes, and a stdin that is closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from support.batch_processes import PATIENCE, Batch, line, lines, outcomes, write
from support.platforms import posix
from support.servers import CHAT, bodies

from foundry_rest import clock
from foundry_rest.testing import hold

MODEL = "demo-generic-cpu"


@pytest.fixture
def batch(command, faults, tmp_path):
    """Return a batch without an input."""
    return Batch(command, tmp_path, faults.url)


def text_of(rows):
    """Return rows as lines of JSON."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def answered(*numbers):
    """Return what an output says when these requests have their answers."""
    return {f"r{number}": 200 for number in numbers}


def pending(pipe):
    """Return how many bytes of a pipe nobody has read yet."""
    import fcntl
    import termios

    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@contextmanager
def growing(path):
    """Append to a file, all the time and by whole lines, until the block ends."""
    over = threading.Event()

    def grow():
        number = 100_000
        with path.open("ab", buffering=0) as file:
            while not over.is_set():
                file.write(text_of([line(f"r{number}", "More", model=MODEL)]))
                number += 1
                clock.sleep(0.0005)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


# ---------------------------------------------------------------- files that grow


def test_grows_while_it_is_read(batch, faults):
    """A file that grows while it is read ends the check where it was, with the line: nothing is sent."""
    write(batch.input, lines(8_000, model=MODEL))
    with growing(batch.input):
        done = batch.run()

    assert done.returncode == 2, done.stderr
    (said,) = [text for text in done.stderr.splitlines() if "input_changed" in text]
    number = int(said.removeprefix(f"{batch.input}:").partition(":")[0])
    assert number > 8_000
    assert not faults.asked(CHAT)
    assert not batch.journal.exists()
    assert not batch.output.exists()

    write(batch.input, lines(30, model=MODEL))
    assert batch.run().returncode == 0
    assert outcomes(batch.output) == answered(*range(30))


@posix
def test_grows_while_it_is_answered(batch, faults, gate):
    """What is appended after the check is for the next run, which sends it alone."""
    write(batch.input, lines(20, model=MODEL))
    faults.on("POST", CHAT, lambda request: hold(gate) + faults.healthy(request))
    run = batch.start()
    run.wait_for(lambda: len(faults.asked(CHAT)) == 4)
    with batch.input.open("ab") as file:
        file.write(text_of(line(f"r{number}", "More", model=MODEL) for number in range(20, 25)))
    gate.set()

    assert run.end() == 0
    assert outcomes(batch.output) == answered(*range(20))
    assert batch.run().returncode == 0
    assert outcomes(batch.output) == answered(*range(25))
    assert len(bodies(faults)) == 25


@posix
def test_is_replaced_while_it_is_answered(batch, faults, gate):
    """Nothing that happens to the file after the check changes what is sent: it may even be gone."""
    write(batch.input, lines(20, model=MODEL))
    faults.on("POST", CHAT, lambda request: hold(gate) + faults.healthy(request))
    run = batch.start()
    run.wait_for(lambda: len(faults.asked(CHAT)) == 4)
    batch.input.write_bytes(b"\0" * 100)
    batch.input.unlink()
    gate.set()

    assert run.end() == 0
    assert outcomes(batch.output) == answered(*range(20))
    assert sorted(body["messages"][0]["content"] for body in bodies(faults)) == sorted(
        f"Say {number}" for number in range(20)
    )


@pytest.mark.parametrize("end", [1, 40, -1])
def test_half_a_line_at_its_end(batch, faults, end):
    """A writer that is in the middle of a line: the line is named, and nothing is sent until it is whole."""
    rows = lines(5, model=MODEL)
    *_, last = text_of(rows).splitlines()
    batch.input.write_bytes(text_of(rows[:4]) + last[:end])
    done = batch.run()

    assert done.returncode == 2
    assert f"{batch.input}:5: invalid_json_line" in done.stderr
    assert not faults.asked(CHAT)
    assert not batch.output.exists()
    batch.input.write_bytes(text_of(rows[:4]) + last)
    assert batch.run().returncode == 0
    assert outcomes(batch.output) == answered(*range(5))


# ---------------------------------------------------------------- stdin


def test_stdin_is_a_pipe(batch, faults):
    """`-` reads a pipe to its end; the same lines again, from wherever, are answered."""
    rows = lines(30, model=MODEL)
    assert batch.run(source="-", stdin=text_of(rows)).returncode == 0
    assert batch.run(source="-", stdin=text_of(rows)).returncode == 0
    write(batch.input, rows)
    assert batch.run().returncode == 0

    assert outcomes(batch.output) == answered(*range(30))
    assert len(bodies(faults)) == 30


def test_stdin_names_its_lines(batch, faults):
    """A finding in stdin has its line, and nothing is sent."""
    rows = [*lines(3, model=MODEL), {"custom_id": "r0", "body": {}}, line("r0", "Again", model=MODEL)]
    done = batch.run(source="-", stdin=text_of(rows))

    assert done.returncode == 2
    assert "-:4: " in done.stderr
    assert "-:5: duplicate_custom_id" in done.stderr
    assert not faults.asked(CHAT)
    assert not batch.output.exists()


@posix
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("<&-", "stdin is closed"),
        ("</dev/null", "empty_file"),
        ("<{folder}/in.jsonl", "5 answers"),
        ("< <(cat {folder}/in.jsonl; sleep 0.2; tail -n 1 {folder}/more.jsonl)", "6 answers"),
    ],
)
def test_stdin_of_a_shell(batch, command, faults, tmp_path, given, said):
    """Stdin that is closed, empty, a file, or a pipe whose writer is slow."""
    write(batch.input, lines(5, model=MODEL))
    write(tmp_path / "more.jsonl", [line("last", "Last", model=MODEL)])
    words = " ".join(f"'{word}'" for word in command.line(*batch.arguments(source="-")))
    done = subprocess.run(
        ["bash", "-c", f"{words} {given.format(folder=tmp_path)}"],
        capture_output=True,
        env=command.environ(),
        timeout=PATIENCE,
        check=False,
        encoding="utf-8",
    )

    is_read = "answers" in said
    assert done.returncode == (0 if is_read else 2), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert bool(faults.asked(CHAT)) == batch.output.exists() == is_read


@posix
def test_input_is_a_named_pipe(batch, faults, tmp_path):
    """A named pipe, as a shell's process substitution, is read once and to its end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(text_of(lines(10, model=MODEL))))
    writer.start()
    done = batch.run(source=pipe)
    writer.join(PATIENCE)

    assert done.returncode == 0, done.stderr
    assert outcomes(batch.output) == answered(*range(10))
    assert len(bodies(faults)) == 10


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_signal_while_stdin_is_read(batch, command, faults, within, number, code):
    """A signal while the input is still awaited ends the command at once: nothing was begun."""
    process = subprocess.Popen(
        command.line(*batch.arguments(source="-")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=command.environ(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no lock is held)
    )
    process.stdin.write(text_of(lines(3, model=MODEL)))
    process.stdin.flush()
    assert within(PATIENCE, lambda: pending(process.stdin) == 0)
    clock.sleep(0.1)
    assert process.poll() is None
    process.send_signal(number)
    process.wait(PATIENCE)
    _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert not faults.requests
    assert not batch.journal.exists()
