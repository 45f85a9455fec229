"""A batch that is run again: what has a result is kept, what was changed is repeated, and nothing else."""

from __future__ import annotations

import copy
import json
import os
import random

import pytest
from support.batch_processes import Batch, line, lines, outcomes, results, text_of, write
from support.platforms import posix
from support.servers import CHAT, bodies

from foundry_rest.cli.main import main
from foundry_rest.testing import FaultServer, hold

#: Two names of one model, and another one.
MODEL, EXACT, OTHER = "demo-generic-cpu", "demo-generic-cpu:1", "other-generic-cpu"
ITEMS = 12
#: Bytes between two cuts of a journal; FOUNDRY_TEST_KILLS tries all.
STEP = 1 if os.environ.get("FOUNDRY_TEST_KILLS") else 9
REPEATED = "changed since they were answered, and are sent again: 1."
UNREADABLE = "cannot be read, as a crash leaves them: 1."


@pytest.fixture
def server():
    """Return a service with two models, which answers with the prompt."""
    with FaultServer({"demo": EXACT, "other": f"{OTHER}:1"}) as made:
        yield made


@pytest.fixture
def batch(command, server, tmp_path):
    """Return a batch of some requests."""
    made = Batch(command, tmp_path, server.url)
    write(made.input, lines(ITEMS, model=MODEL, temperature=0))
    return made


@pytest.fixture
def run(batch, capsys):
    """Return a function that runs the batch in this process, and gives its exit code and what was said."""

    def call():
        code = main(batch.arguments())
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return code, said

    return call


def answered(count=ITEMS):
    """Return what an output says when every request has its answer."""
    return {f"r{number}": 200 for number in range(count)}


# ---------------------------------------------------------------- changes


def change_prompt(row):
    """Ask something else."""
    row["body"]["messages"][0]["content"] = "Something else"


def change_temperature(row):
    """Ask with another temperature."""
    row["body"]["temperature"] = 0.5


def add_parameter(row):
    """Ask with one parameter more."""
    row["body"]["max_tokens"] = 5


def change_model(row):
    """Ask another model."""
    row["body"]["model"] = OTHER


@pytest.mark.parametrize("change", [change_prompt, change_temperature, add_parameter, change_model])
def test_what_was_changed_is_repeated(batch, run, server, change):
    """A request with another prompt, temperature, parameter or model is sent again, alone: it is said."""
    rows = lines(ITEMS, model=MODEL, temperature=0)
    assert run()[0] == 0
    before = results(batch.output)
    change(rows[5])
    write(batch.input, rows)
    code, said = run()

    assert code == 0, said
    *_, sent = bodies(server)
    assert len(bodies(server)) == ITEMS + 1
    asked = rows[5]["body"]
    assert sent["messages"] == asked["messages"]
    assert sent["temperature"] == asked["temperature"]
    assert sent["model"] == (f"{OTHER}:1" if asked["model"] == OTHER else EXACT)
    assert REPEATED in said
    after = results(batch.output)
    assert [name for name in before if before[name]["id"] != after[name]["id"]] == ["r5"]

    # It is changed back: the old answer is in the journal, and holds.
    write(batch.input, lines(ITEMS, model=MODEL, temperature=0))
    assert run()[0] == 0
    assert len(bodies(server)) == ITEMS + 1
    assert results(batch.output) == before


def spell_model(row):
    """Give the same model its exact id."""
    row["body"]["model"] = EXACT


def spell_url(row):
    """Give the route as Azure spells it."""
    row["url"] = "/chat/completions"


def turn_members(row):
    """Give the members in another order."""
    row["body"] = dict(reversed(row["body"].items()))


def say_default(row):
    """Leave out what is the default."""
    del row["method"]


@pytest.mark.parametrize("change", [spell_model, spell_url, turn_members, say_default])
def test_another_spelling_repeats_nothing(batch, run, server, change):
    """The same request in another spelling keeps its answer, and nothing is said of a change."""
    rows = lines(ITEMS, model=MODEL, temperature=0)
    assert run()[0] == 0
    before = batch.output.read_bytes()
    for row in rows[3:]:
        change(row)
    write(batch.input, rows)
    code, said = run()

    assert code == 0, said
    assert len(bodies(server)) == ITEMS
    assert "changed" not in said
    assert batch.output.read_bytes() == before


def test_rows_come_and_go(batch, run, server):
    """A new request is sent, one that is gone is left out, and the order of the input is no change."""
    assert run()[0] == 0
    rows = [*lines(ITEMS, model=MODEL, temperature=0)[2:], line("new", "New", model=MODEL)]
    write(batch.input, random.Random(12).sample(rows, len(rows)))
    code, said = run()

    assert code == 0, said
    assert [body["messages"][0]["content"] for body in bodies(server)[ITEMS:]] == ["New"]
    assert outcomes(batch.output) == {row["custom_id"]: 200 for row in rows}
    assert "not in the input any more: 2." in said


def test_another_model_for_prompts(batch, server, tmp_path):
    """`--model` of rows that are prompts is a part of the request: another one repeats all, an alias none."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("One\nTwo\nThree\n", "utf-8")
    assert batch.run("--model", MODEL, source=prompts).returncode == 0
    assert batch.run("--model", EXACT, source=prompts).returncode == 0
    assert len(bodies(server)) == 3
    done = batch.run("--model", OTHER, source=prompts)

    assert done.returncode == 0, done.stderr
    assert [body["model"] for body in bodies(server)] == [EXACT] * 3 + [f"{OTHER}:1"] * 3
    assert "sent again: 3." in done.stderr


# ---------------------------------------------------------------- shards


@posix
def test_shards_are_killed_and_merged(command, server, gate, tmp_path):
    """Five shards, two of which are killed and run again, merge to the whole; no two make the same call."""
    items, window = 100, 2
    rows = lines(items, model=MODEL)
    free = 8  # calls that are answered; the next ones are held back, so that a shard is there to be killed

    def answer(request):
        return (hold(gate) if len(bodies(server)) > free else ()) + server.healthy(request)

    server.on("POST", CHAT, answer)
    shards = [Batch(command, tmp_path, server.url, f"part{number}.jsonl") for number in range(1, 6)]
    write(shards[0].input, rows)
    parts = [str(shard.output) for shard in shards]

    def options(number):
        return "--shard", f"{number}/5", "--concurrency", window

    for number in (2, 4):
        run = shards[number - 1].start(*options(number))
        run.wait_for(lambda run=run: run.answered() >= 5)
        assert run.kill()
        free = len(bodies(server)) + 8
    gate.set()
    for number in (1, 3, 5):
        assert shards[number - 1].run(*options(number)).returncode == 0
    merge = command("batch", "--merge", str(tmp_path / "all.jsonl"), *parts)
    assert merge.returncode == 2
    assert "part2.jsonl" in merge.stderr
    assert not (tmp_path / "all.jsonl").exists()
    for number in (2, 4):
        done = shards[number - 1].run(*options(number))
        assert done.returncode == 0
        assert "done before" in done.stderr
    merge = command("batch", "--merge", str(tmp_path / "all.jsonl"), *parts)

    assert merge.returncode == 0, merge.stderr
    assert f"{items} answers, 0 failed, 0 without a result" in merge.stderr
    assert outcomes(tmp_path / "all.jsonl") == answered(items)
    asked = [body["messages"][0]["content"] for body in bodies(server)]
    assert set(asked) == {row["body"]["messages"][0]["content"] for row in rows}
    assert items < len(asked) <= items + 2 * window


# ---------------------------------------------------------------- journals


@pytest.fixture
def small(batch, run, server):
    """Return a function that runs a batch of four requests in this process on a journal.

    It returns the number of calls that it took, and what was said; every answer is in the output then.
    """
    rows = lines(4, model=MODEL)
    write(batch.input, rows)
    server.on("POST", CHAT, server.healthy)

    def call(journal=None):
        if journal is not None:
            batch.journal.write_bytes(journal)
            batch.journal.chmod(0o600)
        calls = len(server.asked(CHAT))
        code, said = run()
        assert code == 0, said
        assert outcomes(batch.output) == answered(4)
        return len(server.asked(CHAT)) - calls, said

    return call


def test_journal_is_cut_within_its_last_record(small, batch):
    """Whatever a crash left of the last record: its request alone is sent again, once, and then never."""
    small()
    whole = batch.journal.read_bytes()
    start, size = whole.rindex(b"\n"), len(whole)
    assert size - start > 300

    for end in (*range(start, start + 3), *range(start + 3, size - 3, STEP), *range(size - 3, size)):
        calls, said = small(whole[:end])
        assert calls == 1, end
        assert (UNREADABLE in said) == (end > start + 1), end
    assert small()[0] == 0
    assert small(whole)[0] == 0


def test_journal_with_every_part_of_a_record(small, batch):
    """No part of a record is taken for a whole one, wherever it was cut."""
    small()
    whole = batch.journal.read_bytes()
    rest, _, last = whole.rpartition(b"\n")
    parts = [last[:end] for end in range(1, len(last))]
    calls, said = small(b"\n".join([rest, *parts]))

    assert calls == 1
    assert f"as a crash leaves them: {len(parts)}." in said


def test_journal_is_cut_within_its_head(small, batch):
    """A crash within the first line leaves a journal without a result: everything is sent."""
    small()
    whole = batch.journal.read_bytes()
    for end in (*range(0, whole.index(b"\n"), 5), whole.index(b"\n")):
        assert small(whole[:end])[0] == 4, end
        assert small()[0] == 0


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_journal_is_cut_in_the_middle(small, batch, number, share):
    """A journal that ends within an earlier record: that request and those after it are sent again."""
    small()
    records = batch.journal.read_bytes().split(b"\n")
    kept = [*records[:number], records[number][: int(share * len(records[number]))]]

    assert small(b"\n".join(kept))[0] == 5 - number
    assert small()[0] == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: b"garbage",
        lambda record: bytes(len(record)),
        lambda record: b"\xff\xfe" + record,
        lambda record: record[:-1],
        lambda record: record[1:],
        lambda record: record[: len(record) // 2] + record,
        lambda record: b"{}",
        lambda record: b"null",
        lambda record: b"[" * 100_000,
        lambda record: record.replace(b'"key":"', b'"key":"0'),
        lambda record: b"",
        lambda record: record.replace(b'"custom_id":"r', b'"custom_id":"x'),
    ],
)
def test_journal_is_damaged_in_the_middle(small, batch, damage):
    """A line that is no result, as a power cut leaves it, costs its own request alone."""
    small()
    head, first, second, *others = batch.journal.read_bytes().split(b"\n")

    assert small(b"\n".join([head, first, damage(second), *others]))[0] == 1
    assert small()[0] == 0


def test_newest_result_counts(small, batch):
    """Of two results of one request, as a damaged record that came back leaves them, the newer one counts."""
    small()
    whole = batch.journal.read_bytes()
    record = json.loads(whole.split(b"\n")[2])
    newer = copy.deepcopy(record)
    newer["line"]["response"]["body"]["choices"][0]["message"]["content"] = "newer"

    assert small(whole + b"\n" + json.dumps(newer).encode())[0] == 0
    assert text_of(results(batch.output)[record["custom_id"]]) == "newer"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"format":"foundry_rest batch journal","version":2}\n{"new": 1}', "version 2"),
        (b"My notes\nof many years", "no journal of a batch"),
        (b'{"format":"something else","version":1}\n{}', "no journal of a batch"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no journal of a batch"),
        (b"[]", "no journal of a batch"),
    ],
)
def test_foreign_journal(batch, run, server, content, said):
    """A file of something else or of a newer version is refused, and not a byte of it is changed."""
    batch.journal.write_bytes(content)
    batch.journal.chmod(0o600)
    code, told = run()

    assert code == 2, told
    assert said in told
    assert str(batch.journal) in told
    assert batch.journal.read_bytes() == content
    assert not batch.output.exists()
    assert not server.asked(CHAT)


def test_output_without_a_journal(batch, server):
    """An output that no journal knows of is never overwritten."""
    batch.output.write_text("the only copy\n", "utf-8")
    done = batch.run()

    assert done.returncode == 2
    assert "no journal is beside" in done.stderr
    assert batch.output.read_text("utf-8") == "the only copy\n"
    assert not server.asked(CHAT)


@posix
def test_two_runs_at_once(batch, server, gate):
    """The second run on an output is refused, and the first one does not notice."""
    server.on("POST", CHAT, *[server.healthy] * 4, lambda request: hold(gate) + server.healthy(request))
    run = batch.start("--concurrency", 2)
    run.wait_for(lambda: len(server.asked(CHAT)) == 6 and run.answered() == 4)
    journal = batch.journal.read_bytes()
    for _ in range(3):
        second = batch.run()
        assert second.returncode == 2
        assert f"another run has {batch.journal} open" in second.stderr
    assert batch.journal.read_bytes() == journal
    assert len(server.asked(CHAT)) == 6
    gate.set()

    assert run.end() == 0
    assert len(server.asked(CHAT)) == ITEMS
    assert outcomes(batch.output) == answered()
