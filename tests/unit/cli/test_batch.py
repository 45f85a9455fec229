"""The command ``batch``: every option, every exit code, what goes to stdout and what to stderr."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.platforms import links, posix
from support.responses import streamed
from support.servers import CHAT, answer
from support.waits import until

from foundry_rest import clock
from foundry_rest.batch.files import Files
from foundry_rest.batch.input_rows import FORMATS
from foundry_rest.batch.journal import Journal
from foundry_rest.batch.resume import RETRIES
from foundry_rest.batch.run import DOWNTIME, GRACE, SYNCS, Settings
from foundry_rest.batch.stop import Stop
from foundry_rest.cli.failures import UsageError
from foundry_rest.cli.parser import build_parser
from foundry_rest.endpoints import window
from foundry_rest.resilience.host_slots import HostSlots, default_directory
from foundry_rest.schema.batch import EMBEDDINGS, RESPONSES
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    dead_address,
    hold,
    inference_failed,
    json_answer,
    json_error,
    stall,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Make silences short."""
    monkeypatch.setattr(window, "TICK", 0.01)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def batch(run, folder, server):
    """Return a function that runs ``batch`` in the folder."""
    server.on("POST", CHAT, repeat)
    return lambda *arguments, **more: run("batch", *arguments, **more)


def repeat(request):
    """Answer with the prompt; say no where it begins so."""
    prompt = request.json()["messages"][-1]["content"]
    failures = {"bad": json_error(400, "no"), "broken": inference_failed()}
    return failures.get(prompt) or answer(prompt)(request)


def given(folder, *rows, name="in.jsonl") -> str:
    """Write an input: texts as they are, mappings as JSON; return its name."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


def chat_line(name, prompt=None, **body):
    """Return one of OpenAI's lines."""
    messages = [{"role": "user", "content": prompt or name}]
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": {"messages": messages, **body}}


def lines(path) -> list[dict[str, object]]:
    """Return the lines of an output."""
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def results(path) -> dict[str, object]:
    """Return the text, the status or the code of each line by its name."""
    found: dict[str, object] = {}
    for line in lines(path):
        assert line["custom_id"] not in found
        found[line["custom_id"]] = (
            line["error"]["code"]
            if line["error"]
            else line["response"]["body"]["choices"][0]["message"]["content"]
            if line["response"]["status_code"] == 200
            else line["response"]["status_code"]
        )
    return found


def names(folder) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}


def asked(server) -> list[dict[str, object]]:
    """Return the bodies of the chat requests."""
    return [request.json() for request in server.asked(CHAT)]


# ---------------------------------------------------------------- exit codes


def test_everything_is_answered(batch, folder):
    """Code 0: the output has all lines, stdout is empty, and stderr says how it went."""
    code, stdout, stderr = batch(given(folder, chat_line("a"), chat_line("b")), "-o", "out.jsonl")

    assert (code, stdout) == (0, "")
    assert results("out.jsonl") == {"a": "a", "b": "b"}
    assert "out.jsonl: 2 answers, 0 failed, 0 without a result" in stderr
    assert "2: 2 succeeded" in stderr
    assert names(folder) == {"in.jsonl", "out.jsonl", "out.jsonl.journal"}


def test_some_failed(batch, folder):
    """Code 6: some requests failed, and the way to send them again is named."""
    source = given(folder, chat_line("a", "bad"), chat_line("b"), chat_line("c", "broken"))
    code, stdout, stderr = batch(source, "-o", "out")

    assert (code, stdout) == (6, "")
    assert results("out") == {"a": 400, "b": "b", "c": 500}
    assert "--retry-failed" in stderr.splitlines()[-1]


def test_stopped_early(batch, folder, server):
    """Code 7: it was stopped early, the rest is told apart, and the same command goes on."""
    source = given(folder, *(chat_line(str(number), "bad") for number in range(40)))
    code, _, stderr = batch(source, "-o", "out", "--max-errors", "2", "--concurrency", "1")

    assert code == 7
    assert "Stopping (too many errors)" in stderr
    assert "run the same command again" in stderr.splitlines()[-1]
    assert set(results("out").values()) == {400, "batch_cancelled"}
    before = len(asked(server))
    assert batch(source, "-o", "out")[0] == 6
    assert set(results("out").values()) == {400}
    assert len(asked(server)) == 40
    assert before < 40


def test_service_down_at_the_start(run, folder, monkeypatch):
    """Code 75: no service at the start; no output is made, and the next run begins."""
    monkeypatch.setenv("FOUNDRY_RETRIES", "0")
    source = given(folder, chat_line("a"))
    with dead_address() as url:
        code, stdout, stderr = run("batch", source, "-o", "out", "--url", url, "--model", "demo")

    assert (code, stdout) == (75, "")
    assert "connection refused" in stderr
    assert "out" not in names(folder)


def test_service_not_found(run, folder):
    """Code 75 also where no service is found at all: a cron job tries again."""
    code, stdout, stderr = run("batch", given(folder, "one", name="in.txt"), "-o", "out")

    assert (code, stdout) == (75, "")
    assert "foundry-rest serve" in stderr


def test_service_that_goes_away(batch, folder, server):
    """Code 75: a service that went away and stays so; what was answered is there, the rest comes later."""

    def answer_once(request):
        if len(asked(server)) > 1:
            threading.Thread(target=server.stop).start()
            return stall()
        return repeat(request)

    server.on("POST", CHAT, answer_once)
    source = given(folder, *map(chat_line, "abc"))
    code, _, stderr = batch(source, "-o", "out", "--concurrency", "1", "--max-downtime", "0.05")

    assert code == 75
    assert results("out")["a"] == "a"
    assert results("out")["c"] == "batch_cancelled"
    assert "Stopping (service down)" in stderr
    assert "connection refused" in stderr


def test_a_disk_that_fails(batch, folder, monkeypatch):
    """Code 1: the reason is told, and where the results so far are; a rerun ends well."""
    source = given(folder, chat_line("a"), chat_line("b"))
    with monkeypatch.context() as patch:
        patch.setattr(Files, "replace", full_disk)
        code, stdout, stderr = batch(source, "-o", "out")

    assert (code, stdout) == (1, "")
    assert "No space left on device" in stderr
    assert "out.journal" in stderr
    assert "Traceback" not in stderr
    assert names(folder) == {"in.jsonl", "out.journal"}
    assert batch(source, "-o", "out")[0] == 0
    assert results("out") == {"a": "a", "b": "b"}


def full_disk(*_):
    """Fail as a full disk does."""
    raise OSError(28, "No space left on device")


def test_an_unknown_model(batch, folder, server):
    """Code 1: a model that the service does not list ends the batch before the first request."""
    code, _, stderr = batch(given(folder, chat_line("a", model="other")), "-o", "out")

    assert code == 1
    assert "'other'" in stderr
    assert not asked(server)
    assert "out" not in names(folder)


# ---------------------------------------------------------------- wrong input, paths and numbers


def test_an_input_that_cannot_be_sent(batch, folder, server):
    """Code 2: every finding with file, line and code; nothing is sent, no file is made."""
    bad = chat_line("b", stream=True, api_key="sk-s3cret")
    source = given(folder, chat_line("a"), "{no}", chat_line("a"), bad)
    code, stdout, stderr = batch(source, "-o", "out")

    assert (code, stdout) == (2, "")
    assert [line.split(": ")[:2] for line in stderr.splitlines()[:4]] == [
        ["in.jsonl:2", "invalid_json_line"],
        ["in.jsonl:3", "duplicate_custom_id"],
        ["in.jsonl:4", "invalid_stream"],
        ["in.jsonl:4", "credentials_in_body"],
    ]
    assert "4 findings in 4 rows; nothing was sent" in stderr.splitlines()[-1]
    assert "--skip-invalid" in stderr.splitlines()[-1]
    assert "sk-s3cret" not in stderr
    assert not server.requests
    assert names(folder) == {"in.jsonl"}


def test_skip_invalid(batch, folder):
    """``--skip-invalid`` tells the findings and sends the rest."""
    code, _, stderr = batch(given(folder, "{no}", chat_line("b")), "-o", "out", "--skip-invalid")

    assert code == 0
    assert "in.jsonl:1: invalid_json_line" in stderr
    assert results("out") == {"b": "b"}


def test_an_empty_input(batch, folder):
    """Code 2: an input without a request is a finding for the whole file."""
    code, _, stderr = batch(given(folder), "-o", "out")

    assert code == 2
    assert stderr.startswith("in.jsonl: empty_file: ")


#: Arguments after the input, and what is said.
WRONG = [
    ([], "batch needs INPUT and -o FILE"),
    (["-o", "in.jsonl"], "is used twice"),
    (["-o", "./sub/../in.jsonl"], "is used twice"),
    (["-o", "sub"], "sub is a directory"),
    (["-o", "none/out"], "there is no directory"),
    (["-o", "there"], "there exists, and no journal"),
    (["-o", "out", "--errors", "there"], "there exists, and no journal"),
    (["-o", "out", "--errors", "out"], "is used twice"),
    (["-o", "out", "--errors", "in.jsonl"], "is used twice"),
    (["-o", "out", "--report", "in.jsonl"], "is used twice"),
    (["-o", "out", "--report", "none/report.html"], "there is no directory"),
    (["-o", "out", "--report", "out"], "is used twice"),
    (["-o", "out", "--limit", "0"], "--limit must be a whole number, 1 or more"),
    (["-o", "out", "--limit", "-3"], "--limit"),
    (["-o", "out", "--limit", "x"], "invalid int value"),
    (["-o", "out", "--concurrency", "0"], "--concurrency must be"),
    (["-o", "out", "--concurrency", "1001"], "--concurrency must be"),
    (["-o", "out", "--host-slots", "0"], "--host-slots must be a whole number from 1 to 256"),
    (["-o", "out", "--host-slots", "257"], "--host-slots must be"),
    (["-o", "out", "--max-errors", "0"], "--max-errors must be"),
    (["-o", "out", "--stop-after", "0"], "--stop-after must be"),
    (["-o", "out", "--stop-after", "nan"], "--stop-after must be"),
    (["-o", "out", "--stop-after", "inf"], "--stop-after must be"),
    (["-o", "out", "--deadline", "-1"], "--deadline must be"),
    (["-o", "out", "--max-downtime", "-1"], "--max-downtime must be"),
    (["-o", "out", "--max-downtime", "nan"], "--max-downtime must be"),
    (["-o", "out", "--grace", "-0.5"], "--grace must be"),
    (["-o", "out", "--timeout", "0"], "timeout must be"),
    (["-o", "out", "--shard", "0/5"], "--shard must be K/N"),
    (["-o", "out", "--shard", "half"], "--shard must be K/N"),
    (["-o", "out", "--prompt", "no column"], "the template of the prompt cannot be read"),
    (["-o", "out", "--prompt", "{x"], "the template of the prompt cannot be read"),
    (["-o", "out", "--retry-failed=some"], "invalid choice"),
    (["-o", "out", "--sync", "often"], "invalid choice"),
    (["-o", "out", "--format", "xml"], "invalid choice"),
    (["-o", "out", "--merge", "x", "y"], "--merge needs OUT and the parts, and nothing else"),
    (["-o", "out", "--url", "nowhere"], "must start with http://"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_arguments(batch, folder, server, arguments, said):
    """Code 2: what is wrong, before anything is sent or any file is touched."""
    source = given(folder, chat_line("a"))
    (folder / "sub").mkdir()
    (folder / "there").write_text("precious")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code, stdout, stderr = batch(source, *arguments)

    assert (code, stdout) == (2, "")
    assert said in stderr
    assert "Traceback" not in stderr
    assert not asked(server)
    after = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} <= {"out.journal"}


@pytest.mark.parametrize("arguments", [["-o", "out"], ["nothing", "-o", "out"], [".", "-o", "out"]])
def test_no_input(batch, folder, arguments):
    """Code 2: an input that is not given, not there or a directory."""
    code, stdout, stderr = batch(*arguments)

    assert (code, stdout) == (2, "")
    assert "batch needs INPUT" in stderr or "cannot be read" in stderr
    assert names(folder) == set()


@links
def test_output_is_the_input_by_a_link(batch, folder):
    """Code 2: a link to the input is the input."""
    source = given(folder, chat_line("a"))
    (folder / "out").symlink_to(source)
    code, _, stderr = batch(source, "-o", "out")

    assert code == 2
    assert "is used twice" in stderr
    assert lines(source)[0]["custom_id"] == "a"


@links
@posix
def test_a_journal_that_is_a_link(batch, folder):
    """Code 1: a link in the place of the journal is not followed."""
    source = given(folder, chat_line("a"))
    (folder / "out.journal").symlink_to(folder / "elsewhere")
    code, _, stderr = batch(source, "-o", "out")

    assert code == 1
    assert "out.journal" in stderr
    assert "elsewhere" not in names(folder)


def test_two_runs_at_once(batch, folder):
    """Code 2: another run has the journal."""
    source = given(folder, chat_line("a"))
    with Journal(folder / "out.journal"):
        code, _, stderr = batch(source, "-o", "out")

    assert code == 2
    assert "another run has out.journal open" in stderr


def test_a_newer_journal(batch, folder):
    """Code 2: a journal of a newer version is refused and stays."""
    source = given(folder, chat_line("a"))
    content = '{"format":"foundry_rest batch journal","version":2}\n'
    (folder / "out.journal").write_text(content)
    code, _, stderr = batch(source, "-o", "out")

    assert code == 2
    assert "has version 2 of the journal's format, and this is 1" in stderr
    assert (folder / "out.journal").read_text() == content


# ---------------------------------------------------------------- what is sent


def test_prompts(batch, folder, server):
    """A text file is one prompt a line, and the options for prompts hold for each of them."""
    options = ["--system", "Be brief.", "--max-tokens", "7", "--temperature", "0.5", "--model", DEMO_MODEL]
    code, _, _ = batch(given(folder, "one", "", "two", name="in.txt"), "-o", "out", *options)

    assert code == 0
    assert results("out") == {"line-1": "one", "line-3": "two"}
    for body in asked(server):
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (body["max_tokens"], body["temperature"], body["model"]) == (7, 0.5, DEMO_MODEL)


def test_csv_with_a_template(batch, folder):
    """CSV is read by the names of its columns, with a template and a column that names the request."""
    source = given(folder, "key,text", "x,Hello", 'y,"a, b"', name="in.csv")
    code, _, _ = batch(source, "-o", "out", "--prompt", "Say: {text}", "--id", "key")

    assert code == 0
    assert results("out") == {"x": "Say: Hello", "y": "Say: a, b"}


def test_format(batch, folder):
    """``--format`` says what the name does not."""
    source = given(folder, '{"prompt": "x"}', name="in.txt")

    assert batch(source, "-o", "a", "--format", "text")[0] == 0
    assert results("a") == {"line-1": '{"prompt": "x"}'}
    assert batch(source, "-o", "b")[0] == 0
    assert results("b") == {"line-1": "x"}
    assert batch(given(folder, "prompt", "x"), "-o", "c", "--format", "csv")[0] == 0
    assert results("c") == {"line-2": "x"}


def test_stdin(batch, folder):
    """``-`` is stdin."""
    code, _, _ = batch("-", "-o", "out", stdin=b"one\ntwo\n")

    assert code == 0
    assert results("out") == {"line-1": "one", "line-2": "two"}
    assert names(folder) == {"out", "out.journal"}


def test_closed_stdin(batch, folder, monkeypatch):
    """Code 2: a closed stdin has no input."""
    code, _, stderr = batch("-", "-o", "out", stdin=io.StringIO())

    assert code == 2
    assert "stdin is closed" in stderr


def test_limit_and_shards(batch, folder):
    """``--limit`` takes the first rows; shards are parts that ``--merge`` puts together."""
    source = given(folder, *(chat_line(f"id-{number}") for number in range(9)))
    assert batch(source, "-o", "first", "--limit", "2")[0] == 0
    assert results("first").keys() == {"id-0", "id-1"}
    for part in (1, 2, 3):
        assert batch(source, "-o", f"part{part}", "--shard", f"{part}/3")[0] == 0
    code, stdout, stderr = batch("--merge", "all", "part1", "part2", "part3")

    assert (code, stdout) == (0, "")
    assert stderr == "all: 9 answers, 0 failed, 0 without a result\n"
    assert results("all") == {f"id-{number}": f"id-{number}" for number in range(9)}


@pytest.mark.parametrize(("prompt", "code"), [("fine", 0), ("bad", 6)])
def test_merge_has_the_code_of_what_it_merged(batch, folder, prompt, code):
    """``--merge`` ends like a run that made all of it."""
    batch(given(folder, chat_line("a", prompt)), "-o", "part")

    assert batch("--merge", "all", "part")[0] == code


def test_merge_of_an_unfinished_part(batch, folder):
    """A part that was stopped early makes the merge code 7."""
    line = {"custom_id": "a", "response": None, "error": {"code": "batch_expired", "message": "x"}}

    assert batch("--merge", "all", given(folder, line, name="part"))[0] == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--merge", "all"], "--merge needs OUT and the parts"),
        (["in", "--merge", "all", "part"], "--merge needs OUT and the parts, and nothing else"),
        (["--merge", "all", "none"], "the part none cannot be read"),
        (["--merge", "part", "part"], "is one of the parts"),
        (["--merge", "all", "part", "part"], "has a result in part, too"),
        (["--merge", "all", "bad"], "bad:1 is no line of a batch's output"),
    ],
)
def test_merge_refused(batch, folder, arguments, said):
    """Code 2: parts that cannot be merged."""
    given(folder, {"custom_id": "a", "response": {"status_code": 200}}, name="part")
    given(folder, "what", name="bad")
    code, stdout, stderr = batch(*arguments)

    assert (code, stdout) == (2, "")
    assert said in stderr
    assert names(folder) == {"part", "bad"}


def test_dry_run(batch, folder, server):
    """``--dry-run`` checks, counts and sends nothing; it needs no output, and makes none."""
    embed = {"custom_id": "e", "url": EMBEDDINGS, "body": {"input": "x", "model": "other"}}
    source = given(folder, chat_line("a"), chat_line("b"), embed)
    code, stdout, stderr = batch(source, "--dry-run")

    assert (code, stderr) == (0, "")
    assert stdout.splitlines() == [
        "3 requests in 3 rows, 0 findings",
        "           2  /v1/chat/completions",
        "           1  /v1/embeddings",
        "           2  demo",
        "           1  other",
    ]
    assert not server.requests
    assert names(folder) == {"in.jsonl"}


def test_dry_run_as_json(batch, folder):
    """With ``--json`` the plan is one object on stdout; findings stay on stderr."""
    source = given(folder, chat_line("a"), "{no}")
    code, stdout, stderr = batch(source, "-o", "out", "--dry-run", "--json", "--skip-invalid")

    assert code == 0
    assert json.loads(stdout) == {
        "rows": 2,
        "requests": 1,
        "findings": 1,
        "urls": {CHAT: 1},
        "models": {"demo": 1},
    }
    assert stderr.startswith("in.jsonl:2: invalid_json_line")
    assert batch(source, "--dry-run")[0] == 2
    assert names(folder) == {"in.jsonl"}


def test_three_routes_and_models(run, folder, monkeypatch):
    """Chat, embeddings and responses stand in one file; several models are told."""
    ids = ("x-generic-cpu:1", "y-generic-cpu:1")
    embed = {"custom_id": "e", "url": "/embeddings", "body": {"input": "x", "model": ids[1]}}
    respond = {"custom_id": "r", "url": "/responses", "body": {"input": "x", "model": ids[0]}}
    source = given(folder, chat_line("c", model=ids[0]), embed, respond)
    with FaultServer({"x": ids[0], "y": ids[1]}) as server:
        server.on("POST", EMBEDDINGS, json_answer({"data": [{"index": 0, "embedding": [1.5]}], "model": "y"}))
        server.on("POST", RESPONSES, streamed())
        code, _, stderr = run("batch", source, "-o", "out", "--url", server.url, "--ordered")
    found = {line["custom_id"]: line["response"]["body"] for line in lines("out")}

    assert code == 0
    assert f"{ids[0]} (2), {ids[1]} (1)" in stderr
    assert list(found) == ["c", "e", "r"]
    assert found["e"]["data"][0]["embedding"] == [1.5]
    assert found["r"]["object"] == "response"


# ---------------------------------------------------------------- how it is run


def test_errors_and_order(batch, folder):
    """``--errors`` splits as upstream does, ``--ordered`` keeps the order of the input."""
    source = given(folder, chat_line("a"), chat_line("b", "bad"), chat_line("c"), chat_line("d", "broken"))
    code, _, _ = batch(source, "-o", "out", "--errors", "err", "--ordered")

    assert code == 6
    assert list(results("out")) == ["a", "c"]
    assert results("err") == {"b": 400, "d": 500}


@pytest.mark.parametrize(
    ("option", "sent"),
    [([], []), (["--retry-failed=transient"], ["broken"]), (["--retry-failed"], ["bad", "broken"])],
)
def test_retry_failed(batch, folder, server, option, sent):
    """A rerun sends failures again when asked: all of them, or what may succeed later."""
    source = given(folder, chat_line("a", "bad"), chat_line("b"), chat_line("c", "broken"))
    batch(source, "-o", "out")
    server.on("POST", CHAT, answer("mended"))
    before = len(asked(server))
    code, _, stderr = batch(source, "-o", "out", *option)
    prompts = [body["messages"][-1]["content"] for body in asked(server)[before:]]

    assert sorted(prompts) == sent
    assert code == (0 if len(sent) == 2 else 6)
    assert "3 done before" in stderr or sent


def test_rerun_of_a_changed_line(batch, folder, server):
    """Exactly the changed line is sent again, and that is said."""
    batch(given(folder, chat_line("a"), chat_line("b")), "-o", "out")
    code, _, stderr = batch(given(folder, chat_line("a"), chat_line("b", "new")), "-o", "out")

    assert code == 0
    assert len(asked(server)) == 3
    assert "Requests that were changed since they were answered, and are sent again: 1." in stderr
    assert results("out") == {"a": "a", "b": "new"}


@pytest.mark.parametrize(("sync", "is_synced"), [("every", True), ("second", True), ("none", False)])
def test_sync(batch, folder, monkeypatch, sync, is_synced):
    """Each way of syncing gives the same output; ``none`` leaves the results to the system."""
    synced, real = [], Files.sync
    monkeypatch.setattr(Files, "sync", lambda files, descriptor: synced.append(1) or real(files, descriptor))

    assert batch(given(folder, *map(chat_line, "abc")), "-o", "out", "--sync", sync)[0] == 0
    assert results("out") == {name: name for name in "abc"}
    assert (len(synced) > 2) is is_synced  # a new journal and the output are synced always


def test_deadline_and_timeout(batch, folder, server):
    """``--deadline`` and ``--timeout`` bound a call; the request that met it has its line."""
    server.on("POST", CHAT, stall())
    source = given(folder, chat_line("a"))
    for option in ("--deadline", "--timeout"):
        code, _, _ = batch(source, "-o", f"out{option}", option, "0.3")  # its service is found within it
        assert code == 6
        assert results(f"out{option}") == {"a": "request_timeout"}


def test_stop_after(batch, folder, server):
    """``--stop-after`` bounds the job; ``--grace`` is what calls under way then have."""
    server.on("POST", CHAT, stall())
    source = given(folder, chat_line("a"), chat_line("b"))
    before = clock.monotonic()
    code, _, stderr = batch(source, "-o", "out", "--stop-after", "1.5", "--grace", "0.02")

    assert code == 7
    assert clock.monotonic() - before < 8  # without the option it has 10 s
    assert "Stopping (out of time)" in stderr
    assert results("out") == {"a": "batch_expired", "b": "batch_expired"}


def test_concurrency(batch, folder, server):
    """``--concurrency`` is the number of calls at a time, also above the client's usual bound."""
    gate = threading.Event()
    server.on("POST", CHAT, lambda request: hold(gate, 20) + repeat(request))

    def release():
        limit = clock.monotonic() + 15  # so many connections take seconds under Wine
        while len(asked(server)) < 66 and clock.monotonic() < limit:
            clock.sleep(0.01)
        if len(asked(server)) >= 66:
            gate.set()

    thread = threading.Thread(target=release)
    thread.start()
    source = given(folder, *(chat_line(str(number)) for number in range(66)))
    code, _, _ = batch(source, "-o", "out", "--concurrency", "66")
    thread.join(20)

    assert code == 0
    assert gate.is_set()


def test_concurrency_that_is_found_out(batch, folder):
    """``--concurrency auto`` answers everything, and the summary has the number that was reached."""
    source = given(folder, *(chat_line(str(number)) for number in range(60)))
    code, stdout, _ = batch(source, "-o", "out", "--concurrency", "auto", "--json")

    assert code == 0
    assert 1 <= json.loads(stdout)["concurrency"] <= 64
    assert len(results("out")) == 60


@pytest.mark.parametrize("value", ["many", "", "1.5", "Auto", "4,5"])
def test_concurrency_that_is_no_number(value):
    """Another word than ``auto`` is refused as an argument."""
    with pytest.raises(UsageError, match="--concurrency"):
        build_parser().parse_args(["batch", "in", "--concurrency", value])


def test_host_slots(batch, folder, server):
    """``--host-slots`` bounds the calls together with those of others: who finds none waits for one."""
    others, asked_before = HostSlots(2), []
    held = [others.acquire(), others.acquire()]

    def give_back():
        asked_before.append(len(asked(server)))
        held.pop().release()

    timer = threading.Timer(0.2, give_back)
    timer.start()
    code, _, stderr = batch(given(folder, "a", "b", "c", name="in.txt"), "-o", "out", "--host-slots", "2")
    timer.join()

    assert (code, len(lines("out")), asked_before) == (0, 3, [0]), stderr


def test_host_slots_that_cannot_be_kept(batch, folder, server):
    """Code 2 and a sentence that says what is needed; nothing is sent."""
    default_directory().parent.mkdir(parents=True)
    default_directory().write_text("")
    code, _, stderr = batch(given(folder, "a", name="in.txt"), "-o", "out", "--host-slots", "2")

    assert code == 2
    assert "the slots of the machine cannot be kept" in stderr
    assert "They need a folder of this user's own, where files can be made and locked." in stderr
    assert asked(server) == []


@pytest.mark.parametrize(
    ("option", "values"), [("--format", FORMATS), ("--sync", SYNCS), ("--retry-failed", RETRIES[1:])]
)
def test_choices(option, values):
    """The parser, which imports nothing else, has the very values that the package has."""
    with pytest.raises(UsageError, match="invalid choice") as refused:
        build_parser().parse_args(["batch", "in", option, "none of them"])
    named = re.findall(r"[a-z]+", refused.value.message.partition("choose from")[2])

    assert named == list(values)


def test_defaults():
    """So are the numbers that it says."""
    arguments = build_parser().parse_args(["batch", "in"])

    assert (arguments.max_downtime, arguments.grace) == (DOWNTIME, GRACE)
    assert (arguments.sync, arguments.retry_failed) == (Settings().sync, Settings().retry_failed)
    assert Settings().concurrency == 4  # as --help says


def test_json_summary(batch, folder):
    """With ``--json`` stdout has one object of the figures, without what only a plot needs."""
    code, stdout, stderr = batch(given(folder, chat_line("a"), chat_line("b", "bad")), "-o", "out", "--json")
    facts = json.loads(stdout)

    assert code == 6
    assert (facts["total"], facts["succeeded"], facts["failed"], facts["unsent"]) == (2, 1, 1, 0)
    assert facts["errors"] == {"400 BadRequest": 1}
    assert facts["output"] == {"path": "out", "succeeded": 1, "failed": 1, "unsent": 0}
    assert "progress" not in facts
    assert "latency_histogram" not in facts
    assert stderr == ""


def test_json_failure(batch, folder):
    """With ``--json`` a failure is one object on stderr, and stdout is empty."""
    code, stdout, stderr = batch(given(folder, "{no}"), "-o", "out", "--json")
    error = json.loads(stderr.splitlines()[-1])["error"]

    assert (code, stdout) == (2, "")
    assert error["exit_code"] == 2
    assert "1 findings in 1 rows" in error["message"]


def test_report(batch, folder):
    """``--report`` writes a page with the figures and without the prompts; an older one is replaced."""
    (folder / "report.html").write_text("of yesterday")
    source = given(folder, chat_line("a", "a-very-secret-prompt"))
    code, _, _ = batch(source, "-o", "out", "--report", "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")

    assert code == 0
    assert "<html" in page
    assert "Batch in.jsonl" in page
    assert "a-very-secret-prompt" not in page


def test_start(batch, folder):
    """``--start`` is the option of every command that needs a service."""
    assert batch(given(folder, chat_line("a")), "-o", "out", "--start")[0] == 0


# ---------------------------------------------------------------- signals


def interrupting(server, *signals):
    """Send signals to this process from the n-th request on, and answer none of them before."""

    def reply(request):
        number = len(asked(server)) - 1
        if number < len(signals) and signals[number]:
            os.kill(os.getpid(), signals[number])
        return repeat(request)

    return reply


@posix
def test_ctrl_c_once(batch, folder, server):
    """Ctrl-C once finishes what is under way: code 7, the way on is said, and the rerun ends the rest."""
    server.on("POST", CHAT, interrupting(server, 0, signal.SIGINT))
    source = given(folder, *(chat_line(f"id-{number}") for number in range(20)))
    before = signal.getsignal(signal.SIGINT)
    code, _, stderr = batch(source, "-o", "out", "--concurrency", "1")

    assert code == 7
    assert "Stopping (interrupted): the calls under way are finished; Ctrl-C ends them now." in stderr
    assert "Traceback" not in stderr
    assert signal.getsignal(signal.SIGINT) is before
    answered = {name for name, found in results("out").items() if found == name}
    assert {"id-0", "id-1"} <= answered
    assert len(answered) < 20
    assert batch(source, "-o", "out")[0] == 0
    assert len(asked(server)) == 20


@posix
def test_ctrl_c_twice(batch, folder, server, monkeypatch):
    """Ctrl-C twice ends the calls under way: code 130, and what was answered is in the journal."""
    source = given(folder, *(chat_line(f"id-{number}") for number in range(9)))
    noticed, ask = threading.Event(), Stop.ask

    def note(stop, *arguments):
        ask(stop, *arguments)
        noticed.set()

    def press_again():
        # Two signals of one kind that nobody has noticed are one.
        noticed.wait(5)
        os.kill(os.getpid(), signal.SIGINT)

    def reply(request):
        if len(asked(server)) < 3:
            return repeat(request)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=press_again).start()
        return stall()

    monkeypatch.setattr(Stop, "ask", note)
    server.on("POST", CHAT, reply)
    before = clock.monotonic()
    code, stdout, _ = batch(source, "-o", "out", "--concurrency", "1")

    assert (code, stdout) == (130, "")
    assert clock.monotonic() - before < 5
    assert "out" not in names(folder)
    server.on("POST", CHAT, repeat)
    count = len(asked(server))
    assert batch(source, "-o", "out")[0] == 0
    assert len(asked(server)) - count == 7


@posix
def test_sigterm(batch, folder, server):
    """SIGTERM finishes what is under way within the grace, and then ends it: code 7."""

    def reply(request):
        if len(asked(server)) < 3:
            return repeat(request)
        os.kill(os.getpid(), signal.SIGTERM)
        return stall()

    server.on("POST", CHAT, reply)
    source = given(folder, *(chat_line(f"id-{number}") for number in range(9)))
    before = signal.getsignal(signal.SIGTERM)
    code, _, stderr = batch(source, "-o", "out", "--concurrency", "1", "--grace", "0.03")

    assert code == 7
    assert "Stopping (terminated)" in stderr
    assert signal.getsignal(signal.SIGTERM) is before
    assert list(results("out").values()).count("batch_cancelled") == 7


@posix
def test_sigterm_to_a_process(folder, server):
    """A process that is asked to end by SIGTERM ends by itself, with its output written."""
    server.on("POST", CHAT, server.healthy, stall())
    source = given(folder, *(chat_line(f"id-{number}") for number in range(5)))
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "foundry_rest", "batch", source, "-o", "out"),
            *("--concurrency", "1", "--grace", "0.1"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert server.wait_requests(4, timeout=20)
            until(lambda: len(asked(server)) == 2)
            process.terminate()
            stdout, stderr = process.communicate(timeout=20)
        finally:
            process.kill()

    assert (process.returncode, stdout) == (7, "")
    assert "Stopping (terminated)" in stderr
    assert list(results("out").values()).count("batch_cancelled") == 4
