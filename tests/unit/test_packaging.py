"""What is given away: source archive, page of an index, classifiers, extras, days of releases."""

from __future__ import annotations

import re
import runpy
from datetime import date

import pytest
from support.project import ROOT, read, setup_cfg

SDIST = runpy.run_path(str(ROOT / ".ci" / "check_sdist.py"))
SETUP_PY = runpy.run_path(str(ROOT / "setup.py"))
#: Extras that only those who work on the package need.
OF_DEVELOPERS = {"test", "test-engines", "bench", "dev", "docs"}


TREE = {"README.md", "docs/how-to/batch.md", ".gitignore"}


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (TREE | {"PKG-INFO", "setup.cfg", "foundry_rest.egg-info/SOURCES.txt"}, []),
        ({"README.md"}, ["not in the source archive: ['docs/how-to/batch.md']"]),
        (TREE | {"docs/how-to/batch.md~"}, ["not of the tree: ['docs/how-to/batch.md~']"]),
    ],
)
def test_source_archive_rule(names, faults):
    """A source archive holds every file of the tree but git's own, and nothing that is not of it."""
    assert SDIST["faults"](names, TREE) == faults


@pytest.mark.parametrize(
    ("html", "broken"),
    [
        ('<a href="https://example.org/">', []),
        ('<h2 id="user-content-a"><a href="#user-content-a">', []),
        ('<a href="docs/how-to/batch.md">', ["docs/how-to/batch.md"]),
        ('<img src="plot.svg"><a href="#nowhere">', ["plot.svg", "#nowhere"]),
        ('<a href="http://example.org/">', ["http://example.org/"]),
    ],
)
def test_link_rule(html, broken):
    """A link of the page for an index names a host, by https, or a place of the page itself."""
    assert SDIST["broken_links"](html) == broken


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("[docs/how-to/batch.md](docs/how-to/batch.md)", "`docs/how-to/batch.md`"),
        ("[examples/](examples/README.md)", "`examples/README.md`"),
        (
            "([what becomes of it](docs/how-to/test-doubles.md#what))",
            "(what becomes of it (`docs/how-to/test-doubles.md`))",
        ),
        ("[CHANGELOG](CHANGELOG.md)", "`CHANGELOG.md`"),
        ("[there](https://example.org/a.md)", "[there](https://example.org/a.md)"),
    ],
)
def test_page_for_an_index(text, page):
    """A link into the source tree becomes the file's name; others stay."""
    assert SETUP_PY["page_of"](text) == page + SETUP_PY["NOTE"]


def test_the_page_has_no_link_into_the_tree():
    """README, rewritten, links to hosts only, in any spelling; the names of its files are there."""
    readme = read("README.md")
    page = SETUP_PY["page_of"](readme)

    assert re.findall(r"\]\((?!https://)", page) == []
    assert re.findall(r"^\[[^\]]+\]: |<(?:a|img) ", page, re.MULTILINE) == []
    named = re.findall(r"`((?:docs/(?:[\w-]+/)?|examples/)?[\w-]+\.md)`", page)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


# ---------------------------------------------------------------- what is promised


def test_every_release_is_dated():
    """A version's heading has the day on which it was released; the newest stands first."""
    changelog = read("CHANGELOG.md")
    released = re.findall(r"^## \[?\d.*$", changelog, re.MULTILINE)
    days = re.findall(r"^## \[\d+\.\d+\.\d+\] - (\d{4}-\d{2}-\d{2})$", changelog, re.MULTILINE)

    assert released
    assert len(days) == len(released)
    assert days == sorted((date.fromisoformat(day).isoformat() for day in days), reverse=True)


def test_classifiers_name_what_is_tested():
    """The Pythons of the classifiers are those of the gate; 3.14 is said to be untested."""
    classifiers = setup_cfg()["metadata"]["classifiers"].split("\n")
    versions = [line.rpartition(" ")[2] for line in classifiers if re.search(r":: 3\.\d+$", line)]

    assert f"PYTHONS=({' '.join(versions)})" in read(".ci/run")
    assert "Python 3.14 is untested." in read("README.md")


def test_no_document_installs_from_an_index():
    """A checkout or a wheel is what is installed: on an index, the name may be somebody else's."""
    documents = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert len(documents) > 10
    pages = ["README.md", "CONTRIBUTING.md", *documents]
    by_name = re.compile(r"(?:pip|uv|pipx) (?:\w+ )*install [^`\n&;|]*\bfoundry[_-]rest\b(?!-\d)")

    assert [page for page in pages if by_name.search(read(page))] == []


def test_every_extra_for_users_is_named():
    """README's table of extras has all that are not for developers."""
    extras = set(setup_cfg()["options.extras_require"]) - OF_DEVELOPERS
    rows = read("README.md").partition("| extra |")[2].partition("\n\n")[0].splitlines()

    assert {
        name for row in rows for name in re.findall(r"`([a-z]+)`", row.split("|")[1] if row else "")
    } == extras


def test_nothing_is_invented():
    """There is no address of a repository or of a person while none is known."""
    assert not {"url", "project_urls", "author_email", "maintainer_email"} & {*setup_cfg()["metadata"]}
    assert not re.search(r"https?://|\S@\S", read("SECURITY.md"))
