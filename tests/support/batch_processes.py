"""A batch as files in a folder, and the command over them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from foundry_rest import clock

#: Seconds that one run of these tests may take; far above what it needs.
PATIENCE = 60


def line(custom_id, prompt, *, model, **body):
    """Return one of OpenAI's lines, as a mapping."""
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": model, "messages": [{"role": "user", "content": prompt}], **body},
    }


def lines(count, *, model, **body):
    """Return lines with prompts of their own, named from ``r0`` on."""
    return [line(f"r{number}", f"Say {number}", model=model, **body) for number in range(count)]


def write(path, rows):
    """Write rows as lines of JSON."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def results(path):
    """Return the lines of an output by ``custom_id``, each of which is there once."""
    rows = [json.loads(text) for text in Path(path).read_text("utf-8").splitlines()]
    found = {row["custom_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def outcome(row):
    """Return what a line of an output says: a status, or the code of an error."""
    if row["response"] is not None:
        assert row["error"] is None
        return row["response"]["status_code"]
    return row["error"]["code"]


def outcomes(path):
    """Return what the lines of an output say, by ``custom_id``."""
    return {name: outcome(row) for name, row in results(path).items()}


def text_of(row):
    """Return the text of an answer."""
    return row["response"]["body"]["choices"][0]["message"]["content"]


class Batch:
    """One batch: its files in a folder of its own, and the command that answers it.

    Args:
        command: The command ``foundry-rest``.
        folder: Where the files are.
        url: Address of the service.
        output: Name of the output in the folder, or its whole path.
    """

    def __init__(self, command, folder, url, output="out.jsonl"):
        self._command, self.folder, self.url = command, folder, url
        self.input = folder / "in.jsonl"
        self.output = folder / output
        self.journal = self.output.with_name(f"{self.output.name}.journal")
        self._notes = 0

    def with_lines(self, count, *, model):
        """Write so many lines as its input; return the batch."""
        write(self.input, lines(count, model=model))
        return self

    def arguments(self, *options, source=None):
        """Return the arguments of the command."""
        given = str(self.input if source is None else source)
        return ("batch", given, "-o", str(self.output), "--url", self.url, *map(str, options))

    def run(self, *options, stdin=b"", source=None):
        """Run the command to its end; nobody may see a traceback."""
        done = self._command(*self.arguments(*options, source=source), stdin=stdin)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def start(self, *options):
        """Start the command and return its run."""
        self._notes += 1
        notes = self.folder / f"{self.output.name}.notes{self._notes}"
        with notes.open("wb") as stderr:
            return Run(self._command.start(*self.arguments(*options), stderr=stderr), notes, self.journal)

    def records(self):
        """Return the results in the journal."""
        head, *rows = self.journal.read_bytes().splitlines()
        assert json.loads(head)["format"] == "foundry_rest batch journal"
        return [json.loads(row) for row in rows]


class Run:
    """One run of the command, under way.

    Args:
        process: The process.
        notes: File of what it says to people.
        journal: Its journal.
    """

    def __init__(self, process: subprocess.Popen[str], notes: Path, journal: Path):
        self.process, self._notes, self._journal = process, notes, journal
        self._read, self._lines = 0, 0

    @property
    def notes(self):
        """Return what it has said to people so far."""
        return self._notes.read_text("utf-8")

    def answered(self):
        """Return how many results are in the journal; each begins with a line end."""
        with suppress(FileNotFoundError), self._journal.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            self._read += len(new)
            self._lines += new.count(b"\n")
        return self._lines

    def wait_for(self, condition):
        """Wait until a condition holds; fail when the run ends first, or in the end."""
        limit = clock.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"it ended: {self.process.returncode}, {self.notes}"
            assert clock.monotonic() < limit, f"it did not come: {self.notes}"
            clock.sleep(0.002)

    def wait_said(self, text):
        """Wait until it has said so."""
        self.wait_for(lambda: text in self.notes)

    def send(self, number):
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self):
        """End it as a crash does, and return whether it was still there."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode == -signal.SIGKILL

    def end(self):
        """Wait for its end and return its exit code; nobody may see a traceback."""
        self.process.communicate(timeout=PATIENCE)
        assert "Traceback" not in self.notes, self.notes
        return self.process.returncode


def is_root():
    """Return whether this process may do everything."""
    return os.name == "posix" and os.geteuid() == 0
