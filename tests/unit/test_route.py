"""The route of one call: the counter counts what it says, and the package keeps its bounds."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from support.project import load_module

pytestmark = pytest.mark.unwatched

SCRIPT = Path(__file__).parents[2] / "tools" / "route.py"

#: What a call may take, on any Python.
BOUNDS = {
    "complete": {"calls": 120, "files": 24, "depth": 12},
    "complete-2x": {"calls": 230, "files": 28, "depth": 13},
    "error": {"depth": 12},
}
#: A package for the counter: file -> source.
MADE_UP = {
    "top.py": "def enter(inner):\n    inner()\n    return inner()",
    "low/leaf.py": "def leaf():\n    return 1",
    "low/rows.py": "def rows():\n    yield 1\n    yield 2",
    "testing/fake.py": "def fake(inner):\n    return inner()",
}


route = load_module(SCRIPT, "tools_route")


@pytest.fixture
def made_up(tmp_path):
    """Return the functions of the made-up package by name, and its folder."""
    names = {}
    for file, source in MADE_UP.items():
        exec(compile(source, str(tmp_path / file), "exec"), names)
    return names, tmp_path


def shown(found):
    """Return a route as its lines."""
    return [str(frame) for frame in found.frames]


def test_frames_in_order(made_up):
    """Own frames are noted in the order in which they were entered, indented by their depth."""
    names, folder = made_up
    found = route.trace(lambda: names["enter"](names["leaf"]), folder)

    assert shown(found) == ["top.py:enter", "  low/leaf.py:leaf", "  low/leaf.py:leaf"]
    assert found.totals == {"calls": 3, "files": 2, "folder_changes": 1, "depth": 2}


def test_foreign_frames(made_up):
    """Frames of other code are not noted and add no depth, nor do those of testing/."""
    names, folder = made_up
    found = route.trace(lambda: names["enter"](lambda: names["fake"](names["leaf"])), folder)

    assert shown(found) == ["top.py:enter", "  low/leaf.py:leaf", "  low/leaf.py:leaf"]


def test_generators(made_up):
    """A generator counts each time it is entered, the last time to find its end."""
    names, folder = made_up
    found = route.trace(lambda: list(names["rows"]()), folder)

    assert shown(found) == ["low/rows.py:rows"] * 3


def test_other_threads(made_up):
    """What runs in another thread meanwhile is not noted."""
    names, folder = made_up

    def in_thread():
        thread = threading.Thread(target=names["leaf"])
        thread.start()
        thread.join()

    assert route.trace(in_thread, folder).frames == ()


def test_no_frames(made_up):
    """A call that stays outside has totals of nothing."""
    _, folder = made_up

    assert set(route.trace(lambda: None, folder).totals.values()) == {0}


def test_an_error_passes(made_up):
    """An error of the call reaches the caller, and the profiler of before is back."""
    _, folder = made_up
    before = sys.getprofile()

    with pytest.raises(ZeroDivisionError):
        route.trace(lambda: 1 / 0, folder)
    assert sys.getprofile() is before


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name):
    """No route of a warm call is longer, wider or deeper than its bounds."""
    found = route.play(route.SCENARIOS[name])
    over = {key: found.totals[key] for key, most in BOUNDS[name].items() if found.totals[key] > most}

    assert found.frames
    assert not over, "\n".join([*shown(found), f"{name}: {over} is more than {BOUNDS[name]}"])


def test_the_error_route_meets_the_breaker():
    """The scenario of an error is one: it reads the answer as an error and tells the breaker."""
    lines = {str(frame).strip() for frame in route.play(route.SCENARIOS["error"]).frames}

    assert {"errors/bodies.py:service_error", "resilience/breaker/breaker.py:report"} <= lines


def test_text(capsys):
    """The command prints the frames of one scenario, then its totals."""
    assert route.main(["complete"]) == 0
    *frames, totals = capsys.readouterr().out.splitlines()

    assert frames[0] == "client/endpoints.py:complete"
    assert totals.startswith("complete ")
    assert f"{len(frames)} own calls in" in totals


def test_counts(capsys, monkeypatch):
    """With --counts each scenario is one line of totals; with --json as well, one entry without frames."""
    monkeypatch.setattr(route, "play", lambda _: route.Route((route.Frame("a/b.py", "f", 1),)))
    route.main(["--counts"])
    lines = capsys.readouterr().out.splitlines()
    route.main(["--counts", "--json"])
    entries = json.loads(capsys.readouterr().out)

    assert [line.split()[0] for line in lines] == list(route.SCENARIOS)
    assert list(entries) == list(route.SCENARIOS)
    assert entries["first"] == {"calls": 1, "files": 1, "folder_changes": 0, "depth": 1}


def test_json(capsys, monkeypatch):
    """With --json a scenario's entry holds totals and frames."""
    monkeypatch.setattr(route, "play", lambda _: route.Route((route.Frame("a/b.py", "f", 1),)))
    route.main(["error", "--json"])

    assert json.loads(capsys.readouterr().out) == {
        "error": {
            "calls": 1,
            "files": 1,
            "folder_changes": 0,
            "depth": 1,
            "frames": [{"file": "a/b.py", "function": "f", "depth": 1}],
        }
    }
