"""docs/upgrading.md: it promises what CONTRIBUTING.md does, and tells generations apart as the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from foundry_rest.cli import ports
from foundry_rest.cli.parser import build_parser
from foundry_rest.dialects.detect import class_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
OLD, NEW = class_of("0.x"), class_of("2.x")


def plain(text: str) -> str:
    """Return a text without line breaks and marks of lists."""
    return re.sub(r"\W+", " ", text).lower()


def row(name: str) -> list[str]:
    """Return the cells of a row of the page's table."""
    (line,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", PAGE, re.MULTILINE)
    return line.split(" | ")


@pytest.mark.parametrize(
    "words",
    [
        "one more minor version",
        "before 1.0 the middle number counts",
        "names the successor and the version of its end",
        "what is unsafe goes at once, under `security`",
        "with a line in",
    ],
)
def test_the_promise_is_that_of_the_project(words):
    """What the page promises stands in CONTRIBUTING.md, too."""
    for text in (PAGE, (ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        assert plain(words) in plain(text)


def test_the_check_for_deprecated_names():
    """The page's check of an import runs, and finds nothing deprecated."""
    (code,) = re.findall(r'^\$ python -W error::DeprecationWarning -c "(.*)"$', PAGE, re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        env={"PYTHONPATH": str(ROOT)} if sys.platform != "win32" else None,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_commands_are_there():
    """Each command that the page names is one of the product's, and its port is the product's."""
    known = build_parser().format_help()

    named = set(re.findall(r"`foundry-rest (\w+)", PAGE))
    assert {"serve", "pull", "stop", "health", "doctor", "chat"} <= named | {"health"}
    assert all(re.search(rf"\b{name}\b", known) for name in named)
    assert str(ports.DEFAULT_PORT) in row("address")[1]


def test_what_differs_from_0_to_2():
    """The rows about what each generation can do are true of the classes that speak to them."""
    assert [cell[:3].rstrip(",") for cell in row("download through the service")[:2]] == ["yes", "no"]
    assert OLD().models().has("download")
    assert not NEW().models().has("download")
    assert row("`response_format`")[0].startswith("ignored")
    assert (bool(OLD.enforces_schema), NEW.enforces_schema) == (False, True)
    assert row("audio, Responses API")[:2] == ["`UnsupportedByService`", "yes"]
    for operation in ("audio", "responses"):
        assert (OLD.has(operation), NEW.has(operation)) == (False, True)
    assert row("tokens counted by")[0] == "a route of its own"
    assert OLD.has("count_tokens")
