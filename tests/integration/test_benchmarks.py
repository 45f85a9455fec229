"""The comparison runs, leaves out what is not there, and reports; how fast anything is, is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMPARE = ROOT / "benchmarks" / "compare.py"


def compare(*arguments: str) -> str:
    """Run the short form; return its report."""
    done = subprocess.run(
        [sys.executable, str(COMPARE), "--short", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return a function that imports one of the comparison's modules."""
    monkeypatch.syspath_prepend(str(COMPARE.parent))
    return lambda name: __import__(f"comparison.{name}", fromlist=["*"])


def test_it_reports_and_compares(tmp_path: Path) -> None:
    """A run gives figures of ours and of the floor, targets, JSON, and the change against an earlier run."""
    kept, cases = tmp_path / "kept.json", ("--only", "start", "call")
    first = compare(*cases, "--json", str(kept))
    result = json.loads(kept.read_text("utf-8"))

    assert "## Medians" in first
    assert "## Ratios" in first
    assert "## Targets" in first
    assert result["short"] is True
    assert all(note.startswith("import of") for note in result["notes"])  # a peer that is not installed
    assert "FoundryAPIClient" in result["rows"]["import: CPU"]["subjects"]
    assert {"http.client", "urllib3", "requests", "ours bare", "ours", "ours 2.x"} <= set(
        result["rows"]["call: CPU"]["subjects"]
    )
    assert all(
        each["spread"][0] <= each["median"] <= each["spread"][1]
        for row in result["rows"].values()
        for each in row["subjects"].values()
    )
    assert {each["verdict"] for each in result["targets"]} >= {"not measured"}
    again = compare("--only", "call", "--against", str(kept))
    assert "## Change against the saved run" in again
    assert "| call: CPU | ours |" in again


def test_a_batch_needs_constant_memory() -> None:
    """Six times the lines need at most 30 MB more, also with the first one stuck and the output in order."""
    command = [sys.executable, str(ROOT / "benchmarks" / "batch.py"), "memory", "ordered", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" MiB at 12,000") == 2


@pytest.mark.parametrize("case", ["first", "stream", "delay", "threads", "streams", "memory", "growth"])
def test_every_case_runs(case: str, tmp_path: Path) -> None:
    """No subject fails in any case of the stub, and this package takes part in each of its rows."""
    kept = tmp_path / "kept.json"
    compare("--only", case, "--json", str(kept))
    result = json.loads(kept.read_text("utf-8"))

    assert result["notes"] == []
    assert all("ours" in row["subjects"] for row in result["rows"].values())


@pytest.mark.runtime
def test_the_real_runtime_takes_part(tmp_path: Path) -> None:
    """The demo model answers every subject on Microsoft's own runtime."""
    kept = tmp_path / "kept.json"
    compare("--only", "runtime", "--json", str(kept))
    result = json.loads(kept.read_text("utf-8"))

    assert result["notes"] == []
    assert len(result["rows"]) == 3
    assert all("ours" in row["subjects"] for row in result["rows"].values())


def test_a_subject_that_is_missing_is_told(
    part: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that is not installed is named, and is no error."""
    subjects, cases = part("subjects"), part("cases")
    absent = type("Absent", (subjects.Subject,), {"package": "no_such_package"})
    monkeypatch.setitem(subjects.SUBJECTS, "absent", absent)

    assert cases.missing(short=False)["absent"] == "not installed"
    assert "litellm" in cases.missing(short=True)


def test_a_subject_that_fails_is_left_out(part: Callable[[str], ModuleType]) -> None:
    """A subject that raises is told in a note; the others are still measured."""
    cases, crew_module = part("cases"), part("crew")
    notes: list[str] = []
    crew = crew_module.Crew(notes.append)
    case = cases.Case("call", {"cpu": ("call", "us")}, ("http.client",), None, {"seconds": 0.01})
    rows = dict(cases.run_case(case, "http://127.0.0.1:9", crew, short=True))
    crew.close()

    assert rows["call"].median("http.client") is None
    assert "ConnectionRefusedError" in notes[0]


@pytest.mark.parametrize(
    ("own", "peer", "more", "verdict"),
    [
        (1.0, 2.0, False, "met"),
        (3.0, 2.0, False, "missed by 50%"),
        (3.0, 2.0, True, "met"),
        (1.0, 2.0, True, "missed by 50%"),
        (1.0, None, False, "not measured"),
    ],
)
def test_targets_are_ratios_of_medians(
    part: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    own: float,
    peer: float | None,
    more: bool,
    verdict: str,
) -> None:
    """A target divides two medians of one row; what was not measured is neither met nor missed."""
    report, targets, cases = part("report"), part("targets"), part("cases")
    monkeypatch.setattr(report, "TARGETS", (targets.Target("row", "ours", 1.0, "peer"),))
    values = {"ours": [own, own, 99.0], "peer": [] if peer is None else [peer]}

    told = list(report.verdicts({"row": cases.Row("us", values, more_is_better=more)}))

    assert told[0][3] == verdict


def test_the_stub_frames_as_it_is_told(part: Callable[[str], ModuleType]) -> None:
    """Every framing carries the same events; a path says all of a behaviour."""
    behaviour, stub = part("behaviour").Behaviour, part("stub")
    told = behaviour(40, "coalesced", 50, 2, 100)

    assert behaviour.at(told.path[1:]) == told
    closed = stub.whole_stream(behaviour(40, "close"), ollama=False)
    events = closed.partition(b"\r\n\r\n")[2]
    for framing, chunks in (("events", 42), ("coalesced", 3), ("tiny", -(-len(events) // 16))):
        body = stub.whole_stream(behaviour(40, framing), ollama=False).partition(b"\r\n\r\n")[2]
        pieces = list(_pieces(body))
        assert b"".join(pieces) == events
        assert len(pieces) == chunks


def _pieces(body: bytes) -> list[bytes]:
    """Take a chunked body apart."""
    pieces = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return pieces
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]


def test_a_plot_is_drawn(part: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """The plot holds the main rows that were measured."""
    pytest.importorskip("matplotlib")
    report, cases = part("report"), part("cases")
    row = cases.Row("us", {"ours": [1.0], "openai": [2.0]})
    result = report.to_result({"call: CPU": row}, missing={}, notes=[], short=True)
    report.plot(result, tmp_path / "plot.svg")

    assert (tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")


def test_one_shot_programs_run() -> None:
    """Each program of the one-shot benchmark asks the stub and ends, and each bound has its ratio."""
    here = ["--python", sys.executable, "--openai", sys.executable]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "one_shot.py"), "--rounds", "1", *here],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.count(" ms of CPU") == 5
    assert done.stdout.count("   bound ") == 3
