"""The page on trouble: each error with the message that the product has, each exit code, each symptom."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from support.predicaments import PREDICAMENTS, in_predicament
from support.servers import CHAT
from support.troubles import TROUBLES, error_of, steady

from foundry_rest import FoundryAPIClient, FoundryError, errors
from foundry_rest.cli.exit_codes import BATCH_EXIT_CODES, EXIT_CODES, exit_code_of
from foundry_rest.cli.main import main
from foundry_rest.ops.doctor.system import installed
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
ENTRIES = dict(re.findall(r"^### (.+)\n\n((?:(?!^##).*\n?)*)", PAGE, re.MULTILINE))
CLASSES = {
    name: cls
    for name, cls in inspect.getmembers(errors)
    if isinstance(cls, type) and issubclass(cls, FoundryError) and not name.startswith("_")
}
#: Never raised as themselves; what is below them is.
BASES = {"FoundryError", "TransportError", "ServiceError"}
#: Symptom -> the state of a service in which doctor tells it.
SYMPTOMS = {
    "A proxy is in the way": "proxy in the way",
    "The model is not in memory": "model not loaded",
    "https on http": "https on http",
}


def shown(entry: str) -> str:
    """Return the message that an entry of the page shows."""
    return re.search(r"```text\n(.*?)\n```", entry, re.DOTALL)[1]


def test_every_class_has_an_entry():
    """Each public class has its entry, which says what it means and what to do; all but bases are raised."""
    assert {*CLASSES} <= {*ENTRIES}
    assert {*TROUBLES} == {*CLASSES} - BASES
    for name in CLASSES:
        assert "**Means**: " in ENTRIES[name], name
        assert "**Do**: " in ENTRIES[name], name


@pytest.mark.parametrize("name", TROUBLES)
def test_the_message_is_the_products(name):
    """The page has the very words of the error that the product raises."""
    error = error_of(TROUBLES[name])

    assert type(error) is CLASSES[name], repr(error)
    assert steady(shown(ENTRIES[name])) == steady(str(error))


@pytest.mark.parametrize("name", sorted(BASES))
def test_bases_are_no_messages(name):
    """A base that is only caught shows no message, and others are below it."""
    assert "```" not in ENTRIES[name]
    assert any(CLASSES[name] in cls.__mro__[1:] for cls in CLASSES.values())


def test_every_exit_code_leads_to_an_entry():
    """The table has each code with its meaning; an error that it links to ends in that code."""
    rows = re.findall(r"^\| (\d+) \| (.*?) \| ?(.*?) ?\|$", PAGE, re.MULTILINE)

    assert [(int(code), meaning) for code, meaning, _ in rows] == [
        (row.code, row.meaning) for row in EXIT_CODES
    ]
    linked = [(name, int(code)) for code, _, links in rows for name in re.findall(r"\[(\w+)\]\(#", links)]
    assert len(linked) >= 9
    for name, code in linked:
        table = BATCH_EXIT_CODES if code == 75 else EXIT_CODES
        assert exit_code_of(CLASSES[name]("x"), table) == code


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_doctor_tells_the_symptom(symptom, monkeypatch, capsys):
    """What the page shows of `doctor` is what it prints in that state, all but ports and line breaks."""
    each = PREDICAMENTS[SYMPTOMS[symptom]]
    with in_predicament(each, monkeypatch) as url:
        main(["doctor", "--url", url, *(["--model", each.model] if each.model else [])])
    said = " ".join(capsys.readouterr().out.split())

    assert steady(" ".join(shown(ENTRIES[symptom]).split())) in steady(said)


def test_a_cut_answer_is_told_by_its_reason():
    """An answer that reached max_tokens raises nothing; its finish_reason is "length"."""
    with FaultServer() as server, FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        server.on("POST", CHAT, chat_stream("one two", finish="length"))
        assert client.complete("Say OK", max_tokens=2).finish_reason == "length"
    assert '`reply.finish_reason` is `"length"`' in ENTRIES["The answer is cut"]


def test_doctor_tells_of_several_copies():
    """Two copies that could be imported are what `doctor` warns of, in the words of the page."""
    (found,) = installed(["/opt/jobs/old", "/opt/jobs/.venv/lib/python3.12/site-packages"], ["0.1.0"])

    assert shown(ENTRIES["Several installations"]) == f"{found.text}\n-> {found.advice}"


def test_links_within_the_page():
    """Each link to a part of the page has a heading."""
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= anchors
