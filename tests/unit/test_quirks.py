"""The pages of quirks and attacks name, for each, a test that holds it, or why there is none."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]
FILE = TESTS.parent / "docs" / "explanation" / "quirks.md"
#: Subsections of the page, and the least rows of each.
SECTIONS = {
    **{f"1.{number}": 1 for number in range(1, 9)},
    **{f"2.{number}": 1 for number in range(1, 6)},
    **{f"3.{number}": 1 for number in range(1, 8)},
    "4": 26,
    "5.1": 10,
    "5.2": 8,
}
NOT_HANDLED = "not handled: "
#: Shortest reason that can be one.
REASON = 20
_TEST = re.compile(r"`((?:unit|integration)/[\w/]+\.py)::(test_\w+)(?:\[[^\]`]*\])?`")


class Row(NamedTuple):
    """One quirk of the page."""

    section: str
    quirk: str
    client: str
    proof: str


def rows(page: str) -> list[Row]:
    """Return the rows of every table, each with the number of its heading."""
    section, found = "", []
    for line in page.splitlines():
        heading = re.match(r"#+ (\d(?:\.\d)?) ", line)
        section = heading[1] if heading else section
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and set(line) - set("|- ") and cells[0] not in ("quirk", "attack"):
            assert len(cells) == 3, f"three cells: {line}"
            found.append(Row(section, *cells))
    return found


def fault_of(row: Row) -> str:
    """Return what is wrong with a row, ``""`` for nothing."""
    named = _TEST.findall(row.proof)
    missing = [f"{file}::{name}" for file, name in named if name not in functions(file)]
    if missing:
        return f"no such test: {', '.join(missing)}"
    if row.proof.startswith(NOT_HANDLED):
        return "" if len(row.proof) >= len(NOT_HANDLED) + REASON else "no reason"
    if not named or _TEST.sub("", row.proof).strip(", "):
        return "neither tests alone nor a reason"
    return "" if row.quirk and row.client else "an empty cell"


@functools.cache
def functions(file: str) -> set[str]:
    """Return the names of the functions that a test file defines, none when it is not there."""
    path = TESTS / file
    tree = ast.parse(path.read_text("utf-8") if path.is_file() else "")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


PAGE = rows(FILE.read_text("utf-8"))


@pytest.mark.parametrize("row", PAGE, ids=lambda row: f"{row.section}: {row.quirk[:40]}")
def test_every_quirk_is_held_or_explained(row):
    """A test that exists, or a reason."""
    assert fault_of(row) == ""


def test_every_attack_is_held_or_explained():
    """The attacks of ``docs/explanation/security.md`` have the same proof."""
    attacks = rows((FILE.parent / "security.md").read_text("utf-8"))

    assert {row.section for row in attacks} == {"1", "2", "3"}
    assert [fault for fault in map(fault_of, attacks) if fault] == []


def test_every_section_is_there():
    """None of the parts about what a client sees is left out."""
    counts = {section: sum(row.section == section for row in PAGE) for section in SECTIONS}

    assert {section for section, count in counts.items() if count < SECTIONS[section]} == set()
    assert {row.section for row in PAGE} == set(SECTIONS)


def test_all_26_deviations_are_there():
    """Section 4 has a row for each number, in order."""
    numbers = [row.quirk.partition(" ")[0] for row in PAGE if row.section == "4"]

    assert list(dict.fromkeys(numbers)) == [f"4.{number}" for number in range(1, 27)]


def test_tests_of_quirks_are_on_the_page():
    """What was written for this page is named on it."""
    named = {name for row in PAGE for name in _TEST.findall(row.proof)}
    files = [f"{path.parent.name}/{path.name}" for path in sorted(TESTS.glob("*/test_quirks_*.py"))]
    made = {(file, name) for file in files for name in functions(file) if name.startswith("test_")}

    assert made - named == set()


@pytest.mark.parametrize(
    ("proof", "fault"),
    [
        ("`unit/test_quirks.py::test_every_section_is_there`", ""),
        ("`unit/test_quirks.py::test_every_section_is_there[a-b]`", ""),
        ("`unit/test_quirks.py::test_nothing`", "no such test: unit/test_quirks.py::test_nothing"),
        ("`unit/test_no.py::test_a`", "no such test: unit/test_no.py::test_a"),
        ("not handled: nobody can tell what it would be good for", ""),
        ("not handled: no", "no reason"),
        ("some day", "neither tests alone nor a reason"),
        ("", "neither tests alone nor a reason"),
        ("`unit/test_quirks.py::test_every_section_is_there` and more", "neither tests alone nor a reason"),
    ],
)
def test_a_row_that_proves_nothing_is_found(proof, fault):
    """The check itself can fail."""
    assert fault_of(Row("1.1", "a", "b", proof)) == fault
