"""``log_bodies=True``: prompts and answers in the log, and never a key."""

from __future__ import annotations

import logging

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, FoundryError, ServerError
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_stream, json_error

pytestmark = pytest.mark.logs_bodies

KEY = "sk-canary-0123456789"


@pytest.fixture
def connect(server):
    """Make clients of the server with one attempt, that log bodies."""
    made = []

    def connect(**options):
        options = {"retries": 0, "log_bodies": True, "api_key": KEY, "dialect": "openai", **options}
        made.append(FoundryAPIClient(server.url, model=DEMO_MODEL, **options))
        return made[-1]

    yield connect
    for client in made:
        client.close()


def bodies(caplog):
    """Return the kinds and texts of the records of bodies."""
    return [
        (each.body, each.getMessage()) for each in caplog.records if getattr(each, "body", None) is not None
    ]


def test_a_whole_answer(server, connect, caplog):
    """The request and the answer are a record each, of the call and attempt that they belong to."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, chat_completion("the reply"))
    connect().complete("the prompt")
    (_, sent), (_, answered) = bodies(caplog)
    assert "the prompt" in sent
    assert "the reply" in answered
    records = [each for each in caplog.records if hasattr(each, "body")]
    assert {(each.label, each.attempt, each.address) for each in records} == {
        ("chat.complete", 1, server.url)
    }
    assert len({each.call_id for each in caplog.records if hasattr(each, "call_id")}) == 1


def test_each_event_of_a_stream(server, connect, caplog):
    """A stream's events are logged as they come."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, chat_stream("one two three"))
    assert "".join(chunk.content for chunk in connect().stream_complete("the prompt")) == "one two three"
    kinds = [kind for kind, _ in bodies(caplog)]
    assert kinds[0] == "request"
    assert len(kinds) > 3
    assert set(kinds[1:]) == {"event"}


def test_the_body_of_an_error(server, connect, caplog):
    """What the service said of its failure is logged, without the key that it repeats."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, json_error(500, f"broken for {KEY}"))
    with pytest.raises(ServerError):
        connect().complete("the prompt")
    kind, text = bodies(caplog)[-1]
    assert kind == "error"
    assert "broken for ***" in text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"api_key": KEY},
        {"api_key": None, "auth": ("me", KEY)},
        {"api_key": None, "headers": {"X-Token": KEY}},
    ],
)
def test_a_key_is_never_logged(server, connect, caplog, given, stream):
    """An answer that repeats the key, however it was given, has stars in its place."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, chat_stream(KEY) if stream else chat_completion(KEY))
    client = connect(**given)
    pieces = client.stream_complete("x") if stream else [client.complete("x")]
    assert "".join(piece.content for piece in pieces) == KEY
    assert "***" in caplog.text
    assert KEY not in caplog.text


def test_off_by_default(server, connect, caplog):
    """Without the option neither prompt nor answer is in any record."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    server.on("POST", CHAT, chat_completion("the reply"))
    connect(log_bodies=False).complete("the prompt")
    assert caplog.records
    assert "the prompt" not in caplog.text
    assert "the reply" not in caplog.text


def test_a_wrong_value():
    """What is no flag is refused."""
    with pytest.raises(ConfigError, match="log_bodies"):
        FoundryAPIClient(log_bodies="yes")


def test_a_lost_service(connect, server, caplog):
    """A failure without an answer logs the request alone, and raises as ever."""
    caplog.set_level(logging.DEBUG, "foundry_rest")
    client = connect(breaker=None)
    server.close()
    with pytest.raises(FoundryError):
        client.complete("the prompt")
    assert {kind for kind, _ in bodies(caplog)} <= {"request"}
