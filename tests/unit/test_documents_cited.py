"""What the project's files cite is in the repository: documents, and the numbered sections of them."""

from __future__ import annotations

import functools
import re
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
#: Everything that is written by hand; what lies beside it is built, or somebody else's.
FOLDERS = ("foundry_rest", "tests", "docs", "tools", "benchmarks", "examples", ".ci")
SUFFIXES = (".py", ".md", ".toml", ".cfg", ".in", ".txt", "")
#: Not looked at: this file and another have bad samples, recorded bodies are the service's.
LEFT_OUT = (
    "tests/unit/test_documents_cited.py",
    "tests/unit/test_check_site.py",
    "tests/samples",
    "tests/models",
    "foundry_rest/demo_model",
    "docs/_build",
)

#: Notes that the project was begun with and that no reader has.
_NOTES = re.compile(r"foundry-local-rest|native-runtime-measured|\bDESIGN\b|\btraps \d|\breference \d")
_URL = re.compile(r"https?://\S+")
_DOCUMENT = re.compile(r"(?<![\w*/.{}$-])[\w.-]+(?:/[\w.-]+)*\.md\b")
_NUMBERS = r"sections? \d+(?:\.\d+)*(?:(?:, | and | to )\d+(?:\.\d+)*)*"
_SECTION = re.compile(rf"(?:(docs/(?:[\w-]+/)*[\w-]+\.md|RFC \d+),?[\s#:]+)?\b({_NUMBERS})")
_HEADING = re.compile(r"^#+ (\d+(?:\.\d+)*) ", re.MULTILINE)


def is_below(path: str, folders: tuple[str, ...]) -> bool:
    """Tell whether a path is one of these, or lies below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def texts() -> dict[str, str]:
    """Return every text file of the project: path -> text."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*"))]
    paths += sorted(ROOT.glob("*.*"))
    names = {path.relative_to(ROOT).as_posix(): path for path in paths if path.is_file()}
    return {
        name: path.read_text(encoding="utf-8")
        for name, path in names.items()
        if path.suffix in SUFFIXES and not is_below(name, LEFT_OUT) and "__pycache__" not in name
    }


@functools.cache
def headings(document: str) -> frozenset[str]:
    """Return the numbers of a document's headings; none when it is not there."""
    path = ROOT / document
    return frozenset(_HEADING.findall(path.read_text("utf-8") if path.is_file() else ""))


def is_there(document: str, cited_by: str) -> bool:
    """Tell whether a document lies in the root, in docs, in the package, or beside its citer."""
    docs = ROOT / "docs"
    folders = (ROOT, docs, *docs.glob("*/"), ROOT / "foundry_rest", ROOT / PurePosixPath(cited_by).parent)
    return any((folder / document).is_file() for folder in folders)


def notes(path: str, text: str) -> list[str]:
    """Return what a file cites of notes that nobody has."""
    return [f"{path}: {found}" for found in _NOTES.findall(text)]


def documents(path: str, text: str) -> list[str]:
    """Return the documents that a file names and that are not there."""
    named = _DOCUMENT.findall(_URL.sub("", text))
    return [f"{path}: {document}" for document in named if not is_there(document, path)]


def sections(path: str, text: str) -> list[str]:
    """Return the sections that a file names and that no heading has; a document may mean its own."""
    missing = []
    for document, words in _SECTION.findall(text):
        if document.startswith("RFC"):
            continue
        known = headings(document or (path if path.startswith("docs/") else ""))
        unknown = set(re.findall(r"\d+(?:\.\d+)*", words)) - known
        missing += [f"{path}: {document}, section {number}" for number in sorted(unknown)]
    return missing


@pytest.mark.parametrize("check", [notes, documents, sections], ids=lambda check: check.__name__)
def test_everything_that_is_cited_is_here(check):
    """No file cites a document, or a section of one, that is not in the repository."""
    files = texts()
    faults = [fault for path, text in files.items() for fault in check(path, text)]

    assert {
        "README.md",
        "pyproject.toml",
        "docs/reference/service.md",
        "foundry_rest/clock.py",
        ".ci/run",
    } <= {*files}
    assert faults == []


@pytest.mark.parametrize(
    ("check", "path", "text", "faults"),
    [
        (notes, "a.py", "Facts: foundry-local-rest.md section 1.", ["a.py: foundry-local-rest"]),
        (notes, "a.py", "(traps 3.1), (reference 3.4)", ["a.py: traps 3", "a.py: reference 3"]),
        (notes, "a.py", "by DESIGN", ["a.py: DESIGN"]),
        (notes, "a.py", "a design that traps nobody; see the reference", []),
        (documents, "a.py", "(style.md no. 25)", ["a.py: style.md"]),
        (documents, "docs/explanation/a.md", "[quirks.md](quirks.md), docs/reference/faults.md", []),
        (documents, "a.py", "see docs/oddities.md", ["a.py: docs/oddities.md"]),
        (documents, "a.py", "https://example.org/main/no.md", []),
        (sections, "a.py", "docs/reference/service.md, section 8", []),
        (sections, "a.py", "(docs/reference/service.md,\n#: section 8)", []),
        (
            sections,
            "a.py",
            "docs/reference/service.md, section 99",
            ["a.py: docs/reference/service.md, section 99"],
        ),
        (
            sections,
            "a.py",
            "docs/reference/service.md, sections 8.2 and 99",
            ["a.py: docs/reference/service.md, section 99"],
        ),
        (sections, "a.py", "docs/no.md, section 1", ["a.py: docs/no.md, section 1"]),
        (sections, "a.py", "measured, section 8", ["a.py: , section 8"]),
        (sections, "a.py", "RFC 9110 section 5.6.2", []),
        (sections, "docs/reference/service.md", "(section 8)", []),
        (
            sections,
            "docs/reference/service.md",
            "(sections 8 to 99)",
            ["docs/reference/service.md: , section 99"],
        ),
    ],
)
def test_each_check_complains(check, path, text, faults):
    """Each check finds what is not there, and nothing else."""
    assert check(path, text) == faults
