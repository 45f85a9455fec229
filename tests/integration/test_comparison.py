"""The page that compares clients says what each does here, and has the figures of benchmarks.md."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from support.project import ROOT, load_module

from foundry_rest.config import Config

pytestmark = pytest.mark.unwatched

EXPLANATION = ROOT / "docs" / "explanation"
PAGE = (EXPLANATION / "comparison.md").read_text("utf-8")
#: Figure of the page -> the row of benchmarks.md, and the subjects of its columns.
FIGURES = {
    "CPU of a call, us": "call: CPU",
    "CPU of a streamed event, us": "stream: CPU per event",
    "CPU of the import and the first call, ms": "import and first call: CPU",
    "memory of the process after a call, MB": "memory: the process after a call",
    "memory of one more client, KB": "memory: one more client",
    "CPU of a call with an answer of 1 MB, us": "call with an answer of 1 MB: CPU",
}
COLUMNS = ["ours", "openai", "litellm", "ollama", "requests"]


peers = load_module(ROOT / "benchmarks" / "peers.py", "benchmarks_peers")


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def table(text: str, first: str) -> list[list[str]]:
    """Return the lines of the table whose head begins so, the head among them."""
    lines = text[text.index(f"| {first} |".replace("|  |", "| |")) :].partition("\n\n")[0].splitlines()
    return [cells(line) for line in lines if "---" not in line]


def installed(heading: str) -> bool:
    """Tell whether a peer is here in the version of the page; ours always is."""
    name, version = heading.split()
    found = importlib.metadata.version(name) if name in peers.installed() else ""
    return name == "foundry_rest" or found == version


def test_what_each_client_makes_of_a_failure():
    """Each cell is what the client does now, for those that are installed in the version of the page."""
    head, *said = table(PAGE, "the server")
    here = [
        (number, heading.split()[0]) for number, heading in enumerate(head) if number and installed(heading)
    ]

    assert "foundry_rest" in dict(map(reversed, here))
    found = {row[0]: row[1:] for row in peers.rows([name for _, name in here])}
    assert found == {row[0]: [row[number] for number, _ in here] for row in said}


def test_figures_are_those_of_the_benchmarks():
    """Each figure of the page is the one of benchmarks.md, but for what is no figure of requests there."""
    text = (EXPLANATION / "benchmarks.md").read_text("utf-8").partition("## Medians\n")[2]
    head, *measured = table(text, "what")
    rows = {row[0]: dict(zip(head, row, strict=False)) for row in measured}
    said = {row[0]: row[1:6] for row in table(PAGE.partition("## What it costs")[2], "")[1:]}

    for name, source in FIGURES.items():
        wanted = [rows[source][column] for column in COLUMNS]
        if "by a Session" in said[name][-1]:
            wanted[-1] = f"{rows[source]['requests.Session']} by a Session"
        assert said[name] == wanted, name


def test_our_default_time_out():
    """The silence that this package bears is the one that the page names."""
    assert f"foundry_rest bears {Config().timeouts.idle:g} s" in " ".join(PAGE.split())


def test_each_claim_has_its_source():
    """Every row of what they do and cost says where it is from; the page says when the runs were made."""
    tables = PAGE.partition("## What only")[2].splitlines()
    rows = [cells(line) for line in tables if line.startswith("| ")]
    assert len(rows) >= 18
    assert all(row[-1] for row in rows)
    assert re.search(r"on\s+27\s+November\s+2026", PAGE)
