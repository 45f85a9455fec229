"""docs/explanation/route.md names the files that a call passes, in the order in which it enters them."""

from __future__ import annotations

import re

import pytest
from support.project import ROOT, load_module

pytestmark = pytest.mark.unwatched

PAGE = (ROOT / "docs" / "explanation" / "route.md").read_text("utf-8")
STEPS = PAGE.partition("## How long")[0]


route = load_module(ROOT / "tools" / "route.py", "tools_route_documented")


def entered(name: str) -> list[str]:
    """Return the files of a scenario's route, each once, as they were entered."""
    return list(dict.fromkeys(frame.file for frame in route.play(route.SCENARIOS[name]).frames))


def test_the_files_of_the_page_are_those_of_the_route():
    """Each file that the call enters is named once, in this order, and no other one is."""
    cells = re.findall(r"^\| \d+ \| .* \| (.*) \|$", STEPS, re.MULTILINE)
    named = re.findall(r"`([\w/]+\.py)`", " ".join(cells))

    assert named == entered("complete-2x")
    assert f"names {len(named)} files" in PAGE


def test_every_other_route_is_described():
    """The page says how each other scenario differs; what it says of the widths and of the error is so."""
    told = dict(re.findall(r"^\| `python tools/route.py ([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE))

    assert {*told, "complete-2x"} == {*route.SCENARIOS}
    assert f"{len(entered('complete'))} files" in told["complete"]
    assert set(re.findall(r"`([\w/]+\.py)`", told["error"])) <= set(entered("error"))
    assert {"dialects/detect.py", "models/names.py"} <= set(entered("first"))
