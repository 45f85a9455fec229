"""``docs/reference/generations.md`` says what the dialect classes do, and is written from them.

``FOUNDRY_WRITE_DOCS=1 pytest tests/unit/test_generations_table.py`` writes it anew.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

from foundry_rest.dialects.detect import DIALECTS, class_of
from foundry_rest.dialects.model_routes import ModelRoutes
from foundry_rest.dialects.operation import Dialect

CLASSES = {name: class_of(name) for name in DIALECTS}
FILE = Path(__file__).parents[2] / "docs" / "reference" / "generations.md"
WRITES = os.environ.get("FOUNDRY_WRITE_DOCS") == "1"

#: What a user calls -> the operation of the dialect that it needs.
FEATURES = {
    "`client.health.check()`": "status",
    "`client.chat.complete()`": "chat",
    "`client.chat.stream()`": "chat_stream",
    "`client.chat.count_tokens()`": "count_tokens",
    "`client.models.catalog()`, `.resolve()`": "models.listed",
    "`client.models.loaded()`": "models.loaded",
    "a route that lists what is on the disk": "models.cached",
    "`client.models.load()`, `.ensure_loaded()`": "models.load",
    "`client.models.unload()`, `.unload_all()`": "models.unload",
    "all models unloaded in one request": "models.unload_all",
    "`client.models.download()` over REST": "models.download",
    "details of models from the catalog file on this machine": "models.read_snapshot",
    "`client.embeddings.create()`": "embed",
    "`client.audio.transcribe()`": "audio",
    "`client.audio.transcribe_stream()`": "audio",
    "`client.responses.create()`": "responses",
    "`client.responses.stream()`": "responses",
    "`client.responses.get()`": "responses",
    "`client.responses.delete()`": "responses",
    "`client.responses.list()`": "responses",
    "`client.responses.input_items()`": "responses",
}
#: How the generations differ where they can do the same: the class attribute -> (true, false, unknown).
MANNERS = {
    "loads_by_alias": ("loading takes the alias, the service picks the variant", "loading takes the id"),
    "enforces_schema": (
        "`response_format` steers what the model writes",
        "`response_format` is ignored: the schema is put into the prompt, the answer is checked",
        "`response_format` is sent and the schema put into the prompt; what is refused is not sent again",
    ),
    "completes_by_stream": (
        "`complete()` runs over a stream, because only that stops the work when it is given up",
        "`complete()` is one plain request",
    ),
    "guards_unload": (
        "unloading a model that answers is refused",
        "unloading waits for this client's requests: it would end their answers",
    ),
    "checks_tasks": (
        "a model of another kind is refused by the service",
        "a model of another kind would kill the service: its kind is looked up first",
    ),
    "reads_media": (
        "pictures in a chat are sent as given",
        "pictures, sound and files in a chat are refused: the service would drop them in silence",
    ),
    "keeps_conversations": (
        "an unknown `previous_response_id` is refused by the service",
        "an unknown `previous_response_id` would be ignored: it is looked up first",
        "an unknown `previous_response_id` would be ignored by 2.0: it is looked up first",
    ),
}
HEADINGS = {
    "2.x": "2.x",
    "1.x": "1.x",
    "0.x": "0.x",
    "openai": "openai (another service)",
}
TEXT = """\
# What each generation of Foundry Local can do

"Foundry Local" names three services that do not understand each other's clients: 0.x, 1.x and 2.x. Which one
answers is found out by what its status says; `client.health_check().generation` tells, with "openai" for any
other service that has OpenAI's routes. Asking for what a generation lacks raises `UnsupportedByService`
before anything is sent.

Written from the classes in `foundry_rest/dialects/` by `FOUNDRY_WRITE_DOCS=1 pytest
tests/unit/test_generations_table.py`; a test compares. What each of them does in its own way is listed, with
the test that holds it, in [quirks.md](../explanation/quirks.md); how that was measured is in
[service.md](service.md).
"""


def operations() -> set[str]:
    """Return every operation that a dialect may have."""
    helpers = {"models", "unsupported", "unsupported_download", "build_get", "build_call"}
    own = {name for name, _ in inspect.getmembers(Dialect, inspect.isfunction)}
    routes = {name for name, _ in inspect.getmembers(ModelRoutes, inspect.isfunction)}
    found = own - helpers | {f"models.{name}" for name in routes - helpers}
    return {name for name in found if not name.rpartition(".")[2].startswith("_")}


def has(cls: type[Dialect], operation: str) -> bool:
    """Return whether a generation has an operation, of its own or of its routes for models."""
    owner, _, name = operation.rpartition(".")
    return cls().models().has(name) if owner else cls.has(name)


def table() -> str:
    """Return the page."""
    lines = [
        TEXT,
        f"| | {' | '.join(HEADINGS[name] for name in DIALECTS)} |",
        "|---" * (len(DIALECTS) + 1) + "|",
    ]
    for feature, operation in FEATURES.items():
        cells = ("yes" if has(cls, operation) else "-" for cls in CLASSES.values())
        lines.append(f"| {feature} | {' | '.join(cells)} |")
    lines.append("\n## The same, done differently\n")
    for name, cls in CLASSES.items():
        facts = [(getattr(cls, fact), words) for fact, words in MANNERS.items() if _matters(cls, fact)]
        manners = [words[(True, False, None).index(value)] for value, words in facts]
        lines += [f"**{HEADINGS[name]}**\n", *(f"- {manner}" for manner in manners), ""]
    return "\n".join(lines)


def _matters(cls: type[Dialect], fact: str) -> bool:
    needed = {"keeps_conversations": "responses", "checks_tasks": "embed"}
    needed |= dict.fromkeys(("loads_by_alias", "guards_unload"), "models.load")
    return has(cls, needed.get(fact, "chat"))


def test_the_page_is_what_the_classes_say():
    """Whoever changes a dialect writes the page anew."""
    if WRITES:
        FILE.write_text(table(), encoding="utf-8")

    assert FILE.read_text("utf-8") == table()


def test_every_operation_is_on_the_page():
    """A new operation gets its line."""
    assert set(FEATURES.values()) == operations()
    assert set(HEADINGS) == set(DIALECTS)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_operation_that_is_told_is_there(name):
    """``has`` says yes for an own method only; what the base class has is no operation."""
    cls = CLASSES[name]

    def is_own(operation: str) -> bool:
        owner, _, method = operation.rpartition(".")
        base, own = (ModelRoutes, type(cls().models())) if owner else (Dialect, cls)
        return getattr(own, method) is not getattr(base, method)

    assert {operation for operation in operations() if has(cls, operation)} == set(
        filter(is_own, operations())
    )
    assert not Dialect.has("chat")
    assert not ModelRoutes.has("load")
