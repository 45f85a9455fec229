"""A whole batch from a program: a file in, a file out, and what it says when it cannot."""

from __future__ import annotations

import errno
import itertools
import json
import os

import pytest
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient
from foundry_rest.batch.files import Files
from foundry_rest.batch.job import answer_file
from foundry_rest.batch.journal import Journal
from foundry_rest.batch.run import Hooks, Settings
from foundry_rest.batch.stop import INTERRUPTED, OUT_OF_TIME, Stop
from foundry_rest.errors import ConfigError, DeadlineExceeded, ServiceUnreachable
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_error, stall


@pytest.fixture
def source(tmp_path):
    """Return an input of three prompts."""
    path = tmp_path / "in.txt"
    path.write_text("one\ntwo\nthree\n")
    return path


def repeat(request):
    """Answer with the prompt; say no to ``two``."""
    prompt = request.json()["messages"][-1]["content"]
    return json_error(400, "no") if prompt == "two" else answer(prompt)(request)


def lines(path) -> list[dict[str, object]]:
    """Return the lines of an output."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_file(server, client, source, tmp_path):
    """Each line of the input has one of the output; the outcome says how it went."""
    outcome = answer_file(client, source, tmp_path / "out.jsonl", ordered=True)

    assert [line["custom_id"] for line in lines(tmp_path / "out.jsonl")] == ["line-1", "line-2", "line-3"]
    assert (outcome.summary.succeeded, outcome.counts.succeeded) == (3, 3)
    assert (outcome.is_whole, outcome.reason, outcome.error) == (True, "", None)


def test_errors_apart(server, client, source, tmp_path):
    """Failures go into a file of their own, and the outcome is not whole."""
    server.on("POST", CHAT, repeat)
    outcome = answer_file(client, str(source), str(tmp_path / "out"), errors=str(tmp_path / "err"))

    assert [line["custom_id"] for line in lines(tmp_path / "err")] == ["line-2"]
    assert len(lines(tmp_path / "out")) == 2
    assert not outcome.is_whole


def test_again(server, client, source, tmp_path):
    """Called again with the same files it sends nothing."""
    answer_file(client, source, tmp_path / "out")
    before = len(server.asked(CHAT))
    outcome = answer_file(client, source, tmp_path / "out")

    assert len(server.asked(CHAT)) == before
    assert outcome.summary.done_before == 3


def test_an_input_that_cannot_be_sent(server, client, tmp_path):
    """The error names the first findings and their number; nothing is sent, and no file is made."""
    (tmp_path / "in.jsonl").write_text("{no}\n" * 7)
    with pytest.raises(ConfigError, match="has 7 findings, and nothing was sent") as raised:
        answer_file(client, tmp_path / "in.jsonl", tmp_path / "out")

    assert [f"line {number}: " in str(raised.value) for number in range(1, 8)] == [True] * 5 + [False] * 2
    assert not server.requests
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_paths_are_checked_first(server, client, source):
    """The output in the place of the input is refused before anything else."""
    with pytest.raises(ConfigError, match="is used twice"):
        answer_file(client, source, source)

    assert source.read_text() == "one\ntwo\nthree\n"


def test_several_models(tmp_path):
    """Several models are told with their numbers, because each takes a load."""
    ids = ("x-generic-cpu:1", "y-generic-cpu:1")
    given = [{"prompt": "a", "model": ids[0]}, {"prompt": "b", "model": ids[1]}, {"prompt": "c"}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, given)))
    notes: list[str] = []
    with (
        FaultServer({"x": ids[0], "y": ids[1]}) as server,
        FoundryAPIClient(server.url, model=ids[0], retries=0) as client,
    ):
        outcome = answer_file(client, tmp_path / "in.jsonl", tmp_path / "out", hooks=Hooks(note=notes.append))

    assert outcome.is_whole
    assert notes == [
        f"Several models, one after the other, because a load takes long: {ids[0]} (2), {ids[1]} (1)."
    ]


def test_an_alias_that_no_list_tells(server, source, tmp_path):
    """A service that lists ids alone knows its aliases by loading: the journal's keys rest on the id."""
    for model in ("demo", DEMO_MODEL):
        with FoundryAPIClient(server.url, model=model, retries=0) as client:
            outcome = answer_file(client, source, tmp_path / "out")

    assert outcome.is_whole
    assert outcome.summary.done_before == 3


def test_no_service(source, tmp_path):
    """Without a service the error comes out, and a later call begins where this one ended."""
    with (
        dead_address() as url,
        FoundryAPIClient(url, model=DEMO_MODEL, retries=0) as client,
        pytest.raises(ServiceUnreachable),
    ):
        answer_file(client, source, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_stop(server, client, source, tmp_path):
    """A stop of the caller's ends it, with the reason."""
    stop = Stop()
    hooks = Hooks(started=lambda figures: stop.ask(INTERRUPTED))
    outcome = answer_file(client, source, tmp_path / "out", stop=stop, hooks=hooks)

    assert (outcome.reason, outcome.counts.unsent) == (INTERRUPTED, 3)


def test_a_stop_before_the_service_is_found(server, client, source, tmp_path):
    """It ends the search: the reason is told, and no output is written."""
    stop = Stop()
    stop.ask(INTERRUPTED)
    outcome = answer_file(client, source, tmp_path / "out", stop=stop)

    assert (outcome.reason, outcome.is_written) == (INTERRUPTED, False)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fails(server, client, source, tmp_path, monkeypatch):
    """The error names the journal, with the results so far in it, and keeps the number of the system's."""
    writes = itertools.count(1)

    def write(_, descriptor, content):
        if next(writes) == 3:  # the head, a record, and this one
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", write)
        with pytest.raises(
            OSError, match=r"the results so far are in .*out\.journal: run it again"
        ) as raised:
            answer_file(client, source, tmp_path / "out", settings=Settings(concurrency=1))
    outcome = answer_file(client, source, tmp_path / "out")

    assert raised.value.errno == errno.ENOSPC
    assert os.strerror(errno.ENOSPC) in str(raised.value)
    assert outcome.is_whole
    assert 1 <= outcome.summary.done_before <= 2


def test_two_at_once(server, client, source, tmp_path):
    """A second one on the same files is refused by name."""
    with (
        Journal(tmp_path / "out.journal"),
        pytest.raises(ConfigError, match=r"another run has .*out\.journal open"),
    ):
        answer_file(client, source, tmp_path / "out")


def test_the_time_of_the_whole_job_bounds_the_search(source, tmp_path):
    """A service that is silent at the start does not outlast the job: the reason is told, nothing is sent."""
    with FaultServer() as server:
        server.on("GET", "/*", stall())
        with FoundryAPIClient(server.url, model=DEMO_MODEL, timeout=30) as client:
            outcome = answer_file(client, source, tmp_path / "out", settings=Settings(stop_after=0.2))

    assert (outcome.reason, outcome.is_written, outcome.counts.unsent) == (OUT_OF_TIME, False, 3)


def test_the_deadline_of_a_call_is_none_of_the_job(source, tmp_path):
    """A call that finds the service may be over before the job is: that is its own error."""
    with FaultServer() as server:
        server.on("GET", "/*", stall())
        settings = Settings(stop_after=60, options={"deadline": 0.2})
        with (
            FoundryAPIClient(server.url, model=DEMO_MODEL, timeout=30) as client,
            pytest.raises(DeadlineExceeded),
        ):
            answer_file(client, source, tmp_path / "out", settings=settings)
