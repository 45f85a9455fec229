"""The reference is complete, and the front page leads to every job."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from foundry_rest import events
from foundry_rest.cli.help import FILES, OTHERS, SETTINGS
from foundry_rest.client.arguments import ClientArguments
from foundry_rest.config import VARIABLES
from foundry_rest.endpoints.audio import TranscriptionArguments
from foundry_rest.schema.chat_params import ChatParams
from foundry_rest.schema.responses import ResponseParams
from foundry_rest.transport.call_options import CallOptions, OtherCallOptions

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
#: The modules whose ``__all__`` is for users.
PUBLIC = (
    "foundry_rest",
    "foundry_rest.adapter",
    "foundry_rest.aio",
    "foundry_rest.errors",
    "foundry_rest.observe.opentelemetry",
    "foundry_rest.ops.bench",
    "foundry_rest.ops.doctor",
    "foundry_rest.runtime",
    "foundry_rest.schema",
    "foundry_rest.testing",
)
#: Names of the above that are no objects with a docstring of their own: a table of arguments has one, the
#: other is a type of plain values.
ELSEWHERE = {"foundry_rest.schema.ChatParams", "foundry_rest.schema.Message"}
TABLES = (ClientArguments, CallOptions, OtherCallOptions, ChatParams, ResponseParams, TranscriptionArguments)
_DIRECTIVE = re.compile(r"^\.\. auto(?:class|exception|function|data):: ([\w.]+)", re.MULTILINE)
_IMPORT = re.compile(r"^from (foundry_rest[\w.]*) import ([\w, ]+|\([^)]*\))", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def page_texts(folder: Path = DOCS) -> dict[str, str]:
    """Return the text of each page below a folder of docs, by its path."""
    pages = [path for path in sorted(folder.rglob("*.md")) if "_build" not in path.parts]
    return {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in pages}


def value_of(name: str) -> object:
    """Return the object of a dotted name."""
    module, _, own = name.rpartition(".")
    return getattr(import_module(module), own)


def explained() -> list[str]:
    """Return the names that the pages of the reference explain."""
    return [name for text in page_texts(REFERENCE).values() for name in _DIRECTIVE.findall(text)]


def public() -> set[str]:
    """Return the names that are for users."""
    listed = {f"{module}.{name}" for module in PUBLIC for name in import_module(module).__all__}
    kinds = {
        name
        for name, kind in vars(events).items()
        if inspect.isclass(kind) and issubclass(kind, events.Event)
    }
    return (listed | {f"foundry_rest.events.{name}" for name in kinds}) - ELSEWHERE


def imported() -> set[str]:
    """Return what programs of the pages and the examples import of this package."""
    texts = [
        *page_texts().values(),
        (DOCS.parent / "README.md").read_text(encoding="utf-8"),
        *(path.read_text(encoding="utf-8") for path in (DOCS.parent / "examples").glob("*.py")),
    ]
    found = [found for text in texts for found in _IMPORT.findall(text)]
    return {f"{module}.{name}" for module, names in found for name in re.findall(r"\w+", names)}


def identities(names: set[str] | list[str]) -> dict[int, str]:
    """Return the names by the identity of what they mean: one thing may be imported from two places."""
    return {id(value_of(name)): name for name in names}


@pytest.mark.parametrize("names", [public, imported])
def test_everything_public_is_explained(names):
    """Each public name, and each that a program of the documents imports, is on a page of the reference."""
    wanted, there = identities(names()), identities(explained())
    modules = {each for each in wanted if inspect.ismodule(value_of(wanted[each]))}

    assert len(wanted) > 30
    assert sorted(wanted[each] for each in wanted.keys() - there.keys() - modules) == []


def test_nothing_is_explained_twice():
    """What a page explains exists, and one page does."""
    names = explained()
    once = identities(names)

    assert sorted(name for name in names if once[id(value_of(name))] != name) == []
    assert len({*names}) == len(names)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_argument_has_its_meaning(table):
    """Each keyword argument is declared under a comment that says what it is: its row in the reference."""
    source = inspect.getsource(table)
    own = re.findall(r"^    (\w+): ", source, re.MULTILINE)
    said = re.findall(r"^    #: (?:.*\n    #: )*.*\n    (\w+): ", source, re.MULTILINE)

    assert own
    assert [name for name in own if name not in said] == []


@pytest.mark.parametrize(
    "table", [table for table in TABLES if table is not OtherCallOptions], ids=lambda table: table.__name__
)
def test_every_table_is_there(table):
    """Each set of keyword arguments has its table on the page of arguments."""
    text = (REFERENCE / "arguments.md").read_text(encoding="utf-8")

    assert f".. typed-dict:: {table.__module__}:{table.__name__}\n" in text


def test_settings_are_there():
    """The page of settings has each variable that is read, and each file of ``help files``."""
    text = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    command = (REFERENCE / "command.md").read_text(encoding="utf-8")

    assert [name for name in VARIABLES if f"| `{name}` |" not in text] == []
    assert [name for name in (*SETTINGS, *OTHERS) if name.partition(",")[0] not in command] == []
    assert [each for each in FILES if f"| {each} |" not in text] == []


# ---------------------------------------------------------------- the front page

#: A job -> the page that does it; each is linked to by the front page.
JOBS = {
    "answers as they are written": "how-to/streaming.md",
    "a call that may not take longer": "how-to/timeouts.md",
    "models": "how-to/models.md",
    "the context": "how-to/context.md",
    "a cache": "how-to/cache.md",
    "batches": "how-to/batch.md",
    "several machines, Celery": "how-to/engines.md",
    "monitoring": "how-to/monitoring.md",
    "logs, metrics, OpenTelemetry": "reference/metrics.md",
    "from requests or openai": "how-to/moving.md",
    "web pages and asyncio": "how-to/interfaces.md",
    "threads": "how-to/concurrency.md",
    "headers, keys, proxies, any route": "how-to/http.md",
    "errors": "reference/errors.md",
    "what is wrong": "troubleshooting.md",
    "what is sent": "privacy.md",
    "a newer version": "upgrading.md",
    "a first answer": "tutorial/first-answer.md",
    "the command": "reference/command.md",
    "variables, files": "reference/settings.md",
    "examples": "../examples/README.md",
}


@pytest.mark.parametrize("job", JOBS)
def test_the_front_page_leads_to_each_job(job):
    """A newcomer finds the page of each job from the front page at once."""
    assert JOBS[job] in _LINK.findall(page_texts()["index.md"])


def test_the_front_page_leads_to_each_page():
    """Each how-to page is named on the front page: none is found by chance alone."""
    linked = {*_LINK.findall(page_texts()["index.md"])}

    assert sorted({path for path in page_texts() if path.startswith("how-to/")} - linked) == []


def test_every_link_has_its_file():
    """A relative link of a page leads to a file of the source tree, on GitHub as on the site."""
    fenced = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
    broken = [
        f"{page}: {target}"
        for page, text in page_texts().items()
        for target in _LINK.findall(fenced.sub("", text))
        if not (DOCS / page).parent.joinpath(target).is_file()
    ]

    assert broken == []
