"""The Streamlit example, run by Streamlit's own test runner."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.engines import needs
from support.servers import CHAT
from support.waits import until

from foundry_rest import FoundryAPIClient, LoadFailed, LocalRuntime
from foundry_rest.runtime import demo_model_dir
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, error_stream, json_error

APP = Path(__file__).parents[2] / "examples" / "streamlit_app.py"

pytestmark = needs("streamlit")


@pytest.fixture
def page(monkeypatch):
    """Return a function that opens the page; its client ends with the test."""
    monkeypatch.setenv("STREAMLIT_BROWSER_GATHER_USAGE_STATS", "false")
    import streamlit
    from streamlit.testing.v1 import AppTest

    yield lambda: AppTest.from_file(str(APP), default_timeout=60).run()
    streamlit.cache_resource.clear()


@pytest.fixture
def service(monkeypatch):
    """Give a service that fails as told; nothing is tried again."""
    with FaultServer() as server:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
        monkeypatch.setenv("FOUNDRY_MODEL", DEMO_MODEL)
        monkeypatch.setenv("FOUNDRY_RETRIES", "0")
        yield server


def ask(page, prompt):
    """Type a prompt and press return; nothing on the page may be a traceback."""
    page.chat_input[0].set_value(prompt).run()
    assert not page.exception


def shown(page):
    """Return who said what on the page."""
    return [(message.name, message.markdown[0].value) for message in page.chat_message if message.markdown]


def unloads(client):
    """Return whether the service lets go of its model; it is used for milliseconds after an answer's end."""
    try:
        client.models.unload("demo-chat")
    except LoadFailed:
        return False
    return True


def test_a_conversation(page, in_environment):
    """Questions and answers stand in their order, and stay there."""
    opened = page()
    assert not shown(opened)
    ask(opened, "Say OK")
    ask(opened, "Say yes")

    assert [name for name, _ in shown(opened)] == ["user", "assistant"] * 2
    assert shown(opened)[:3] == [("user", "Say OK"), ("assistant", "OK"), ("user", "Say yes")]
    assert shown(opened)[3][1]


def test_a_service_that_ends(page, monkeypatch):
    """It is told, with what starts one; a model that was unloaded is loaded again, unseen."""
    with LocalRuntime(demo_model_dir()) as runtime, FoundryAPIClient(runtime.url) as client:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", runtime.url)
        monkeypatch.setenv("FOUNDRY_MODEL", "demo-chat")
        monkeypatch.setenv("FOUNDRY_RETRIES", "0")
        opened = page()
        ask(opened, "Say OK")
        until(lambda: unloads(client))
        ask(opened, "Say yes")
        assert len(shown(opened)) == 4
        os.kill(runtime.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        ask(opened, "Hello")

    assert opened.error[0].value
    assert "foundry-rest serve" in opened.info[0].value


def test_what_the_model_is_given(page, service):
    """It is the conversation so far; two browsers have two of them."""
    opened, other = page(), page()
    for each, prompt in ((opened, "one"), (opened, "two"), (other, "three")):
        ask(each, prompt)
    given = [[message["content"] for message in asked.json()["messages"]] for asked in service.asked(CHAT)]

    assert [contents[::2] for contents in given] == [["one"], ["one", "two"], ["three"]]


@pytest.mark.parametrize(
    ("failure", "said"), [(json_error(404, "no such thing"), ""), (error_stream(after="a b"), "a b")]
)
def test_a_failure(page, service, failure, said):
    """It is told with what to do, what came stays on the page, and the next question is answered."""
    opened = page()
    service.on("POST", CHAT, failure)
    ask(opened, "one")

    assert opened.error[0].value
    assert opened.info[0].value
    assert said in "".join(text for _, text in shown(opened)[1:])
    service.on("POST", CHAT, chat_stream("all well"))
    ask(opened, "two")
    assert not opened.error
    assert shown(opened) == [("user", "two"), ("assistant", "all well")]
    assert [message["content"] for message in service.asked(CHAT)[-1].json()["messages"]] == ["two"]
