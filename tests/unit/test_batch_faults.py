"""Each write, sync and replace of a batch fails once, in turn: after every one of them a rerun ends right."""

from __future__ import annotations

from itertools import count

import pytest
from support.batches import Bench, FakeAnswering, FaultyFiles, request

from foundry_rest.batch import run as run_module
from foundry_rest.batch.run import Hooks
from foundry_rest.endpoints import window
from foundry_rest.errors import BadRequest

NAMES = [f"id-{number}" for number in range(6)]
#: The one request that the service refuses.
BAD = "id-4"
#: Most operations on files in one run; a clean one has 25.
MOST = 60


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Make silences and the gathering of results short."""
    monkeypatch.setattr(window, "TICK", 0.01)
    monkeypatch.setattr(run_module, "_GATHER", 0.0005)


def answering(run: int) -> FakeAnswering:
    """Return a client whose answers tell the run."""

    def answer(prompt):
        if prompt == BAD:
            raise BadRequest("no", status=400)
        return f"run {run}"

    return FakeAnswering(answer)


def told(bench, client, files, **settings) -> tuple[int, bool]:
    """Run once; return how many results were told, and whether the run ended well."""
    figures: list = []
    try:
        bench.run(client, *NAMES, files=files, hooks=Hooks(started=figures.append), **settings)
    except OSError:
        return sum(done(figure.summary()) for figure in figures), False
    return len(NAMES), True


def done(summary) -> int:
    """Return how many requests have a result."""
    return summary.succeeded + summary.failed


def results(bench) -> dict[str, object]:
    """Return what each request came to, of all files; fail where one is there twice."""
    found = bench.results()
    if bench.output.errors is not None:
        more = bench.results(bench.output.errors)
        assert not found.keys() & more.keys()
        found |= more
    return found


VARIANTS = [
    {"concurrency": 1},
    {"concurrency": 3},
    {"concurrency": 1, "half": True},
    {"concurrency": 1, "stays": True, "half": True},
    {"concurrency": 1, "split": True},
    {"concurrency": 1, "sync": "none"},
]


OPERATIONS = ("write", "sync", "replace", "sync_directory")


def each_fault(tmp_path, attempt) -> None:
    """Let each operation fail in turn, each in a folder of its own, until a run has no further one.

    Args:
        tmp_path: Where the folders are made.
        attempt: Called with a folder and the faulty operation; returns whether a run ended well.
    """
    for name in OPERATIONS:
        for at in count(1):
            assert at < MOST
            folder = tmp_path / f"{name}-{at}"
            folder.mkdir()
            if attempt(folder, {"of": name, "at": at}):
                break
        assert at > 1, f"no {name} failed"


@pytest.mark.parametrize("variant", VARIANTS, ids="-".join)
def test_each_operation_fails_once(tmp_path, variant):
    """Exactly one result for each request, nothing that was told is lost or asked for again."""
    settings = dict(variant)
    half, stays, split = (settings.pop(name, False) for name in ("half", "stays", "split"))

    def attempt(folder, fault) -> bool:
        bench = Bench(folder, errors=folder / "errors.jsonl" if split else None)
        kept, is_well = told(bench, answering(1), FaultyFiles(**fault, half=half, stays=stays), **settings)
        if is_well:
            return True
        second = answering(2)
        assert told(bench, second, None, **settings) == (len(NAMES), True)

        found = results(bench)
        assert found.keys() == set(NAMES)
        assert found.pop(BAD) == 400
        assert set(found.values()) <= {"run 1", "run 2"}
        assert len(second.asked) <= len(NAMES) - kept
        assert list(found.values()).count("run 2") == len(set(second.asked) - {BAD})
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            ["out.jsonl", "out.jsonl.journal", *(["errors.jsonl"] if split else [])]
        )
        third = answering(3)
        assert told(bench, third, None, **settings) == (len(NAMES), True)
        assert third.asked == []
        assert results(bench) == {**found, BAD: 400}
        return False

    each_fault(tmp_path, attempt)


@pytest.mark.parametrize("half", [False, True])
def test_each_operation_of_a_rerun_fails_once(tmp_path, half):
    """A rerun that repeats a changed request and fails in turn leaves the old results and the new ones."""
    changed = [*NAMES[:2], request(NAMES[2], "changed"), *NAMES[3:]]

    def attempt(folder, fault) -> bool:
        bench = Bench(folder)
        bench.run(answering(1), *NAMES)
        before = bench.output.path.read_bytes()
        files = FaultyFiles(**fault, half=half)
        try:
            bench.run(answering(2), *changed, files=files)
        except OSError:
            is_replaced = "replace" in files.done and fault["of"] != "replace"
            assert (bench.output.path.read_bytes() == before) is not is_replaced
        else:
            return True
        bench.run(answering(3), *changed)

        found = results(bench)
        assert found.pop(NAMES[2]) in ("run 2", "run 3")
        assert found.pop(BAD) == 400
        assert set(found.values()) == {"run 1"}
        return False

    each_fault(tmp_path, attempt)


def test_failures_one_after_another(tmp_path):
    """A disk that fails at another place in each run loses nothing: in the end all results are there."""
    bench = Bench(tmp_path)
    kept = 0
    for run in range(1, 40):
        files = FaultyFiles(3 + run, half=bool(run % 2))
        more, is_well = told(bench, answering(run), files)
        kept += more if not is_well else 0
        if is_well:
            break
    else:
        pytest.fail("the batch never ended")

    found = results(bench)
    assert found.keys() == set(NAMES)
    assert found[BAD] == 400
    assert run > 2
