"""What tests of batches share: requests, a client that is a script, and files that fail when told to."""

from __future__ import annotations

import errno
import json
import os
import threading
from types import SimpleNamespace

from foundry_rest.batch.figures import BatchSummary
from foundry_rest.batch.files import Files
from foundry_rest.batch.journal import Journal
from foundry_rest.batch.output import Output
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.batch.run import BatchRun, Hooks, Settings
from foundry_rest.batch.stop import Stop
from foundry_rest.schema import ChatReply, Usage
from foundry_rest.schema.batch import CHAT, BatchRequest

MEANINGS = {"m": "\nm-generic-cpu:1\n2.x", "other": "\nother-generic-cpu:1\n2.x"}


def request(custom_id: str, prompt: str = "", model: str = "m", **params) -> BatchRequest:
    """Return a chat request; its prompt is its name unless one is given."""
    messages = [{"role": "user", "content": prompt or custom_id}]
    return BatchRequest(custom_id, CHAT, {"model": model, "messages": messages, **params})


def filled(*requests: BatchRequest | str) -> RequestIndex:
    """Return an index of requests, in lines from 1."""
    index = RequestIndex()
    for line, given in enumerate(requests, 1):
        assert index.add(line, request(given) if isinstance(given, str) else given) is None
    return index


def reply(text: str, **more) -> ChatReply:
    """Return a chat reply with its body."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-generic-cpu:1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }
    usage = Usage(prompt_tokens=2, completion_tokens=3, total_tokens=5)
    return ChatReply(content=text, bodies=(json.dumps(body).encode(),), usage=usage, **more)


class FakeAnswering:
    """The endpoints of a client; each request is answered by a function of its prompt.

    Args:
        answer: Called with the prompt; what it returns is the text of the answer, or the answer, and what it
            raises is raised.
    """

    def __init__(self, answer=lambda prompt: f"re: {prompt}") -> None:
        self.asked: list[str] = []
        self.options: list[dict[str, object]] = []
        self._answer, self._lock = answer, threading.Lock()
        self.chat = SimpleNamespace(complete=self._complete)
        self.embeddings = SimpleNamespace(create=self._complete)
        self.responses = SimpleNamespace(create=self._complete)

    def _complete(self, given, **options):
        prompt = given[-1]["content"] if isinstance(given, list) else given
        with self._lock:
            self.asked.append(prompt)
            self.options.append(options)
        answer = self._answer(prompt)
        return reply(answer) if isinstance(answer, str) else answer


class FaultyFiles(Files):
    """Files of which one operation fails.

    Args:
        at: Number of the operation that fails, from 1; 0 for none.
        of: Which operations are counted, ``"write"`` for instance; ``""`` for all.
        half: Whether a write that fails writes half before.
        stays: Whether every later operation fails, too, as on a disk that stays full.
        error: What is raised.

    Attributes:
        done: The operations, in order.
    """

    def __init__(
        self, at: int = 0, *, of: str = "", half: bool = False, stays: bool = False, error=None
    ) -> None:
        self.done: list[str] = []
        self._at, self._of, self._half, self._stays = at, of, half, stays
        self._counted = 0
        self._error = error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._lock = threading.Lock()

    def write(self, descriptor, content):
        """Write, or fail with half of it written."""
        if self._is_now("write"):
            if self._half:
                super().write(descriptor, content[: len(content) // 2])
            raise self._error
        return super().write(descriptor, content)

    def sync(self, descriptor):
        """Sync, or fail."""
        if self._is_now("sync"):
            raise self._error
        super().sync(descriptor)

    def replace(self, source, target):
        """Replace, or fail."""
        if self._is_now("replace"):
            raise self._error
        super().replace(source, target)

    def sync_directory(self, directory):
        """Sync a directory, or fail."""
        if self._is_now("sync_directory"):
            raise self._error
        super().sync_directory(directory)

    def _is_now(self, name: str) -> bool:
        with self._lock:
            self.done.append(name)
            self._counted += self._of in ("", name)
            is_it = self._counted == self._at and self._of in ("", name)
            return is_it or (self._stays and self._counted >= self._at > 0)


class Bench:
    """Runs of one batch in a folder, each with a new index, as a process would have it.

    Args:
        folder: Where journal and output are.
        options: Settings of the output.
    """

    def __init__(self, folder, **options) -> None:
        self.output = Output(folder / "out.jsonl", **options)
        self.ended: list[BatchSummary] = []
        self.notes: list[str] = []
        self.stop = Stop()
        self.last: BatchRun | None = None

    def run(self, client, *requests, files=None, meanings=MEANINGS, hooks=None, **settings):
        """Run once; return the summary and the counts."""
        self.stop = Stop()
        files = files or Files()
        output = Output(self.output.path, self.output.errors, self.output.ordered, files)
        told = hooks or Hooks(note=self.notes.append, ended=self.ended.append)
        given = Settings(**{"concurrency": 1, **settings})
        with filled(*requests) as index, Journal(output.journal, files) as journal:
            run = BatchRun(
                client, index, journal, output, settings=given, hooks=told, stop=self.stop, meanings=meanings
            )
            self.last = run
            return run.run()

    def lines(self, path=None) -> list[dict[str, object]]:
        """Return the lines of an output."""
        return [json.loads(line) for line in (path or self.output.path).read_bytes().splitlines()]

    def results(self, path=None) -> dict[str, object]:
        """Return the text or the code of each line by its custom_id; fail where one is there twice."""
        found: dict[str, object] = {}
        for line in self.lines(path):
            assert line["custom_id"] not in found
            found[line["custom_id"]] = result_of(line)
        return found


def result_of(line) -> object:
    """Return the text of a line's answer, the status of its failure, or the code of its error."""
    if line["response"] is None:
        return line["error"]["code"]
    assert line["error"] is None
    body = line["response"]["body"]
    return body["choices"][0]["message"]["content"] if "choices" in body else line["response"]["status_code"]
