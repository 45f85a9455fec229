"""The run of a batch: what is sent, journalled and then told; what ends it early, and what a rerun does."""

from __future__ import annotations

import json
import threading

import pytest
from support.batches import MEANINGS, Bench, FakeAnswering, FaultyFiles, reply, request

from foundry_rest import CancelToken
from foundry_rest.batch import run as run_module
from foundry_rest.batch.run import Hooks, Settings
from foundry_rest.batch.stop import INTERRUPTED, OUT_OF_TIME, SERVICE_DOWN, TERMINATED, TOO_MANY_ERRORS
from foundry_rest.endpoints import window
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    ServerError,
    ServiceUnreachable,
    StreamInterrupted,
)
from foundry_rest.schema import Usage
from foundry_rest.schema.batch import EMBEDDINGS, RESPONSES, BatchRequest
from foundry_rest.schema.embeddings import EmbeddingReply

REFUSED = ServiceUnreachable("refused", sent=False)
NAMES = [f"id-{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Make silences and the gathering of results short."""
    monkeypatch.setattr(window, "TICK", 0.01)
    monkeypatch.setattr(run_module, "_GATHER", 0.001)


@pytest.fixture
def bench(tmp_path):
    """Return the runs of one batch."""
    return Bench(tmp_path)


def by_name(**outcomes):
    """Return an answer that is given, or an error that is raised, for each prompt; the rest is answered."""
    counts: dict[str, int] = {}

    def answer(prompt):
        counts[prompt] = counts.get(prompt, -1) + 1
        found = outcomes.get(prompt.replace("-", "_"), [])
        outcome = found[counts[prompt]] if counts[prompt] < len(found) else f"re: {prompt}"
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return FakeAnswering(answer)


# ---------------------------------------------------------------- a whole run


@pytest.mark.parametrize("concurrency", [1, 4])
def test_everything_is_answered(bench, concurrency):
    """Each request has one line, and the figures say so."""
    client = FakeAnswering()
    summary, counts = bench.run(client, *NAMES, concurrency=concurrency)

    assert bench.results() == {name: f"re: {name}" for name in NAMES}
    assert sorted(client.asked) == NAMES
    assert (summary.total, summary.succeeded, summary.failed, summary.unsent) == (8, 8, 0, 0)
    assert (summary.prompt_tokens, summary.completion_tokens) == (16, 24)
    assert (counts.succeeded, counts.failed, counts.unsent) == (8, 0, 0)
    assert summary.stopped == ""
    assert bench.ended == [summary]


def test_failures_stand_beside_answers(bench):
    """One bad request ends nothing: it has a line of its own."""
    client = by_name(
        id_1=[BadRequest("no", status=400)],
        id_3=[DeadlineExceeded("late")],
        id_5=[ServerError("x", status=500)],
    )
    summary, counts = bench.run(client, *NAMES)

    assert bench.results() == {
        **{name: f"re: {name}" for name in NAMES},
        "id-1": 400,
        "id-3": "request_timeout",
        "id-5": 500,
    }
    assert (summary.succeeded, summary.failed) == (counts.succeeded, counts.failed) == (5, 3)
    assert summary.errors == {"400 BadRequest": 1, "request_timeout": 1, "500 ServerError": 1}


def test_three_routes(bench):
    """Chat, embeddings and responses go to their endpoints; vectors are written as they were asked for."""
    vectors = EmbeddingReply(vectors=[[1.0]], model="e", usage=Usage(prompt_tokens=7, total_tokens=7))
    client = by_name(numbers=[vectors], packed=[vectors])
    given = [
        BatchRequest("a", EMBEDDINGS, {"model": "m", "input": "numbers"}),
        BatchRequest("b", EMBEDDINGS, {"model": "m", "input": "packed", "encoding_format": "base64"}),
        BatchRequest("c", RESPONSES, {"model": "m", "input": "text", "store": False}),
    ]
    summary, _ = bench.run(client, *given)
    bodies = {line["custom_id"]: line["response"]["body"] for line in bench.lines()}

    assert bodies["a"]["data"][0]["embedding"] == [1.0]
    assert bodies["b"]["data"][0]["embedding"] == "AACAPw=="
    assert summary.prompt_tokens == 7 + 7 + 2
    assert client.options[2]["store"] is False
    assert all("encoding_format" not in options for options in client.options)


def test_time_to_the_first_token(bench):
    """It is in the figures where an answer was streamed."""
    summary, _ = bench.run(FakeAnswering(lambda prompt: reply(prompt, first_token=0.5)), "a", "b")

    assert summary.first_token is not None
    assert sum(count for _, count in summary.first_token_histogram) == 2


def test_options_of_each_call(bench):
    """Each call has the options of the batch, its own parameters, and the token that ends it."""
    client = FakeAnswering()
    bench.run(client, request("a", temperature=0.5, some_new=1), options={"deadline": 5.0})

    assert client.options == [
        {
            "lane": "batch",
            "deadline": 5.0,
            "cancel": bench.stop.now,
            "temperature": 0.5,
            "extra": {"some_new": 1},
            "model": "m",
        }
    ]


def test_models_one_after_the_other(bench):
    """All requests of one model come before those of the next: a load takes minutes."""
    client = FakeAnswering()
    given = [request(f"{model}{number}", model=model) for number in range(3) for model in ("m", "other")]
    bench.run(client, *given)

    assert client.asked == ["m0", "m1", "m2", "other0", "other1", "other2"]


def test_an_empty_batch(bench):
    """Without a request there is an empty output and no call."""
    client = FakeAnswering()
    summary, _ = bench.run(client)

    assert (bench.results(), client.asked, summary.total) == ({}, [], 0)


def test_hooks_in_order(bench):
    """The start is told before the first request, with the figures; the end when the output is there."""
    told = []

    def started(figures):
        told.append(("started", figures.summary().total, len(client.asked)))

    client = FakeAnswering()
    hooks = Hooks(
        started=started,
        progress=lambda: told.append("progress"),
        ended=lambda summary: told.append(("ended", len(bench.results()), summary.succeeded)),
    )
    bench.run(client, *NAMES, hooks=hooks)

    assert told[0] == ("started", 8, 0)
    assert told[-1] == ("ended", 8, 8)
    assert set(told[1:-1]) == {"progress"}


# ---------------------------------------------------------------- append, sync, tell


class Recorder(FaultyFiles):
    """Files that note how many records were appended, and how many of these are synced."""

    def __init__(self) -> None:
        super().__init__()
        self.appended = self.synced = self.syncs = 0

    def write(self, descriptor, content):
        """Count a record."""
        written = super().write(descriptor, content)
        self.appended += content.startswith(b"\n")
        return written

    def sync(self, descriptor):
        """Count a sync, and what it covers."""
        before = self.appended
        super().sync(descriptor)
        self.synced, self.syncs = before, self.syncs + 1


def told_and_synced(bench, sync, count=30, **settings) -> tuple[Recorder, list[tuple[int, int]]]:
    """Run with a recorder; return it, and what was told with what was synced at each moment."""
    files, told, figures = Recorder(), [], []
    hooks = Hooks(
        started=figures.append,
        progress=lambda: told.append((figures[0].summary().succeeded, files.synced)),
    )
    names = [str(number) for number in range(count)]
    bench.run(FakeAnswering(), *names, files=files, hooks=hooks, sync=sync, **settings)
    assert files.appended == count
    return files, told


@pytest.mark.parametrize("concurrency", [1, 4])
def test_results_are_synced_before_they_are_told(bench, concurrency):
    """No result is counted before it is on the disk, and a group of results has one sync."""
    files, told = told_and_synced(bench, "every", concurrency=concurrency)

    assert told
    assert all(counted <= synced for counted, synced in told)
    assert told[-1][0] == 30
    assert files.syncs < 3 + 30


def test_sync_once_a_second(bench, time):
    """With ``second`` results wait for the sync of their second, and are told after it."""
    client = FakeAnswering(lambda prompt: time.advance(0.3) or "x")
    files, told, figures = Recorder(), [], []
    hooks = Hooks(
        started=figures.append,
        progress=lambda: told.append((figures[0].summary().succeeded, files.synced)),
    )
    summary, _ = bench.run(client, *map(str, range(20)), files=files, hooks=hooks, sync="second")

    assert all(counted <= synced for counted, synced in told)
    assert 3 <= files.syncs <= 2 + 7
    assert summary.succeeded == 20
    assert files.synced == 20


def test_sync_of_what_is_left(bench, time):
    """What came within the last second is synced at the end, and then told."""
    files, told = told_and_synced(bench, "second", count=3)

    assert files.done[:3] == ["write", "sync", "sync_directory"]
    assert files.done[3:] == ["write"] * 3 + ["sync", "write", "sync", "replace", "sync_directory"]
    assert {counted for counted, _ in told[:-1]} == {0}
    assert told[-1] == (3, 3)
    assert bench.results().keys() == {"0", "1", "2"}


def test_no_sync(bench):
    """With ``none`` the system alone decides; results are counted as they come."""
    files, told = told_and_synced(bench, "none")

    assert files.done == [
        *("write", "sync", "sync_directory"),
        *["write"] * 30,
        *("write", "sync", "replace", "sync_directory"),
    ]
    assert told[-1][0] == 30


# ---------------------------------------------------------------- a rerun


def test_a_rerun_sends_nothing(bench):
    """What is done is not sent again, and the output is the same."""
    bench.run(FakeAnswering(), *NAMES)
    before = bench.output.path.read_bytes()
    client = FakeAnswering(lambda prompt: "another")
    summary, counts = bench.run(client, *NAMES)

    assert client.asked == []
    assert bench.output.path.read_bytes() == before
    assert (summary.done_before, summary.succeeded, counts.succeeded) == (8, 0, 8)


def test_a_rerun_repeats_what_was_changed(bench):
    """A changed prompt, parameter and model are sent again, exactly these, and the new result counts."""
    bench.run(FakeAnswering(lambda prompt: "old"), *NAMES)
    changed = [request("id-1", "new"), request("id-3", temperature=0.9), request("id-5", model="other")]
    names = {each.custom_id for each in changed}
    client = FakeAnswering(lambda prompt: "new")
    bench.run(client, *(name for name in NAMES if name not in names), *changed)

    assert len(client.asked) == 3
    assert bench.results() == {name: "new" if name in names else "old" for name in NAMES}
    assert bench.notes == ["Requests that were changed since they were answered, and are sent again: 3."]


def test_a_rerun_with_another_model_behind_the_name(bench):
    """A model that was replaced under its name repeats everything."""
    bench.run(FakeAnswering(), *NAMES)
    client = FakeAnswering()
    bench.run(client, *NAMES, meanings={"m": "\nm-generic-cpu:2\n2.x"})

    assert sorted(client.asked) == NAMES
    assert MEANINGS["m"] != "\nm-generic-cpu:2\n2.x"


@pytest.mark.parametrize(
    ("retried", "asked"), [("none", []), ("transient", ["id-2"]), ("all", ["id-1", "id-2"])]
)
def test_failures_are_sent_again_when_asked_for(bench, retried, asked):
    """A failure is a result unless it is asked for; one that fails again has one line, the latest."""
    bench.run(by_name(id_1=[BadRequest("no", status=400)], id_2=[DeadlineExceeded("late")]), *NAMES)
    client = by_name(id_1=[ServerError("still", status=503)])
    bench.run(client, *NAMES, retry_failed=retried)

    assert client.asked == asked
    found = bench.results()
    assert found["id-1"] == (503 if retried == "all" else 400)
    assert found["id-2"] == ("request_timeout" if retried == "none" else "re: id-2")


def test_a_retry_that_is_stopped_keeps_the_failure(bench):
    """A failure that was to be sent again and was not is still the result."""
    bench.run(by_name(id_1=[BadRequest("no", status=400)]), *NAMES)
    client = FakeAnswering(lambda prompt: stop_at_once(bench))
    bench.run(client, *NAMES, retry_failed="all")

    assert bench.results()["id-1"] == 400


def stop_at_once(bench):
    """Ask the run to end now, from within a call."""
    bench.stop.ask(TERMINATED, 0)
    bench.stop.now.cancel()
    raise Cancelled("ended")


# ---------------------------------------------------------------- bad hours


def test_broken_streams_are_repeated(bench):
    """An answer that breaks off is asked for again, twice: nobody has seen any of it."""
    cut = StreamInterrupted("cut")
    client = by_name(a=[cut, cut], b=[cut, cut, cut])
    summary, _ = bench.run(client, "a", "b")

    assert client.asked == ["a"] * 3 + ["b"] * 3
    assert bench.results() == {"a": "re: a", "b": "answer_cut"}
    assert summary.errors == {"answer_cut": 1}


def test_an_outage_pauses_the_batch(bench, time):
    """While nothing listens requests wait, however often; none of them has failed."""
    client = by_name(a=[REFUSED] * 5, b=[CircuitOpen("open", retry_in=7.0)])
    summary, _ = bench.run(client, "a", "b", "c", downtime=60)

    assert bench.results() == {name: f"re: {name}" for name in "abc"}
    assert summary.failed == 0
    assert bench.last.outage is None
    assert [seconds for seconds in time.slept if seconds >= 1] == [1.0] * 5 + [7.0]


def test_waiting_is_told(bench):
    """While a batch waits for a service the figures say why, and no longer afterwards."""
    waiting, figures, seen = [], [], threading.Event()

    def answer(prompt):
        if not seen.is_set():
            raise CircuitOpen("the circuit is open", retry_in=0.01)
        return "x"

    def progress():
        waiting.append(figures[0].waiting)
        if waiting[-1]:
            seen.set()

    hooks = Hooks(started=figures.append, progress=progress)
    bench.run(FakeAnswering(answer), "a", hooks=hooks, downtime=3)

    assert set(waiting) <= {"", "the circuit is open"}
    assert seen.is_set()
    assert waiting[-1] == ""


def test_a_service_that_stays_away(bench, time):
    """After the longest downtime the batch stops; everything else is sent by the next run."""
    down = by_name(b=[REFUSED] * 1000)
    summary, counts = bench.run(down, "a", "b", "c", downtime=10)

    assert (bench.stop.reason, summary.stopped) == (SERVICE_DOWN, SERVICE_DOWN)
    assert bench.last.outage is REFUSED
    assert bench.results() == {"a": "re: a", "b": "batch_cancelled", "c": "batch_cancelled"}
    assert (counts.succeeded, counts.unsent, summary.failed) == (1, 2, 0)
    client = FakeAnswering()
    bench.run(client, "a", "b", "c")
    assert client.asked == ["b", "c"]
    assert bench.results() == {name: f"re: {name}" for name in "abc"}


# ---------------------------------------------------------------- early ends


def test_max_errors(bench):
    """After so many failures nothing more is sent, and a later run goes on."""
    gate = threading.Event()

    def answer(prompt):
        if int(prompt) >= 3:
            gate.wait(5)
        raise BadRequest("no", status=400)

    names = [str(number) for number in range(200)]
    figures = []

    def progress():
        if figures[0].summary().failed >= 3:
            gate.set()

    summary, counts = bench.run(
        FakeAnswering(answer),
        *names,
        max_errors=3,
        hooks=Hooks(started=figures.append, progress=progress),
    )

    assert summary.stopped == TOO_MANY_ERRORS
    assert 3 <= counts.failed <= 4
    assert counts.failed + counts.unsent == 200
    assert set(bench.results().values()) == {400, "batch_cancelled"}


def test_max_errors_counts_this_run(bench):
    """Failures of earlier runs are results, and do not stop this one."""
    bench.run(by_name(a=[BadRequest("no", status=400)], b=[BadRequest("no", status=400)]), "a", "b")
    summary, _ = bench.run(FakeAnswering(), "a", "b", "c", max_errors=1)

    assert summary.stopped == ""
    assert bench.results()["c"] == "re: c"


def test_stop_after(bench, time):
    """When the time of the whole job is over nothing more is sent, and the rest is marked as expired."""
    client = FakeAnswering(lambda prompt: time.advance(1.0) or "x")
    summary, counts = bench.run(client, *map(str, range(300)), stop_after=5.0)

    assert summary.stopped == OUT_OF_TIME
    assert counts.succeeded >= 5
    assert counts.unsent > 0
    assert set(bench.results().values()) == {"x", "batch_expired"}


def test_stop_after_has_a_grace(bench, time):
    """What is under way at that moment has the grace, and is ended then."""
    ended = threading.Event()

    def answer(prompt):
        bench.stop.now.watch(ended.set)
        time.advance(6.0)
        assert ended.wait(5)
        raise Cancelled("ended")

    hooks = Hooks(progress=lambda: time.advance(1.0))
    summary, counts = bench.run(FakeAnswering(answer), "a", "b", stop_after=5.0, grace=10.0, hooks=hooks)

    assert summary.stopped == OUT_OF_TIME
    assert counts.unsent == 2
    assert time.monotonic() - 1000 >= 15


@pytest.mark.parametrize("grace", [None, 0.0])
def test_a_stop_from_outside(bench, grace):
    """Whoever asks for the end gets what is under way, or ends that, too; nothing is lost either way."""
    gate = threading.Event()

    def answer(prompt):
        if prompt == "id-2":
            if grace is None:
                bench.stop.ask(INTERRUPTED)
            else:
                bench.stop.ask(INTERRUPTED, grace)
                bench.stop.now.watch(gate.set)
                assert gate.wait(5)
                raise Cancelled("ended")
        return f"re: {prompt}"

    summary, counts = bench.run(FakeAnswering(answer), *NAMES)
    done = 3 if grace is None else 2

    assert summary.stopped == INTERRUPTED
    assert (counts.succeeded, counts.unsent) == (done, 8 - done)
    assert list(bench.results().values())[done:] == ["batch_cancelled"] * (8 - done)
    client = FakeAnswering()
    bench.run(client, *NAMES)
    assert client.asked == NAMES[done:]


def test_a_fault_ends_the_run_with_its_threads(bench):
    """An error that is none of ours comes out; the calls under way are ended, and the journal is whole."""
    begun = threading.Event()

    def answer(prompt):
        if prompt == "id-0":
            assert begun.wait(5)
            raise TypeError("a fault")
        begun.set()
        assert ended.wait(5)
        raise Cancelled("ended")

    ended = threading.Event()
    hooks = Hooks(started=lambda figures: bench.stop.now.watch(ended.set))
    with pytest.raises(TypeError, match="a fault"):
        bench.run(FakeAnswering(answer), *NAMES, concurrency=2, hooks=hooks)

    assert not [thread for thread in threading.enumerate() if thread.name == "foundry_rest-window"]
    assert not bench.output.path.exists()
    bench.run(FakeAnswering(), *NAMES)
    assert bench.results() == {name: f"re: {name}" for name in NAMES}


def test_a_hook_that_fails(bench):
    """An interrupt in a hook ends the run, and what was answered before is in the journal."""
    figures = []

    def progress():
        if figures[0].summary().succeeded:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(FakeAnswering(), *NAMES, hooks=Hooks(started=figures.append, progress=progress))
    client = FakeAnswering()
    bench.run(client, *NAMES)

    assert len(client.asked) < 8
    assert bench.results() == {name: f"re: {name}" for name in NAMES}


def test_the_journal_says_what_may_succeed_later(bench):
    """A record says whether it is an answer, and whether another try is worth it."""
    bench.run(by_name(a=[BadRequest("no", status=400)], b=[DeadlineExceeded("late")]), "a", "b", "c")
    records = [json.loads(line) for line in bench.output.journal.read_bytes().splitlines()[1:]]

    assert [(each["custom_id"], each.get("ok", True), each.get("transient", False)) for each in records] == [
        ("a", False, False),
        ("b", False, True),
        ("c", True, False),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": "4"}, "concurrency"),
        ({"sync": "always"}, "value of sync"),
        ({"retry_failed": True}, "value of retry_failed"),
        ({"max_errors": 0}, "max_errors"),
        ({"stop_after": 0}, "stop_after"),
        ({"downtime": -1}, "downtime"),
        ({"grace": "10"}, "grace"),
        ({"options": {"deadlines": 5}}, "option"),
        ({"options": {"cancel": CancelToken()}}, "cancel"),
    ],
)
def test_settings_that_cannot_be_used(given, said):
    """They are refused where they are made: a batch without threads would wait for ever."""
    with pytest.raises(ConfigError, match=said):
        Settings(**given)
