"""A client with a cache: what it looks up, what it keeps, and what it says of it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import msgspec
import pytest
from support.caches import SURE, asked, at_once, cache_in, cached_client, numbered
from support.servers import CHAT

from foundry_rest import CancelToken, FoundryAPIClient, ResponseCache, clock
from foundry_rest.cache import flights
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded, InvalidReply
from foundry_rest.events import CallFinished
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    LegacyService,
    chat_completion,
    chat_stream,
    event,
    json_answer,
    sse,
)

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": DEMO_MODEL,
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
}


@pytest.fixture
def events():
    """Every event of the client."""
    return []


@pytest.fixture
def client(server, tmp_path, events):
    """A client with a cache of a service that answers each chat with another number."""
    with cached_client(numbered(server), tmp_path, observers=[events.append]) as made:
        yield made


# ---------------------------------------------------------------- which calls


@pytest.mark.parametrize("sure", [{"temperature": 0}, {"temperature": 0.0}, {"seed": 7}, {"seed": 0}])
def test_a_deterministic_call_is_asked_once(client, server, sure):
    """Temperature 0 or a seed, and the second call gets the first one's answer."""
    first, second = client.complete("Hi", **sure), client.complete("Hi", **sure)

    assert (first.content, first.cached) == ("answer 1", False)
    assert (second.content, second.cached, second.stale_for) == ("answer 1", True, 0.0)
    assert asked(server) == 1


@pytest.mark.parametrize("chance", [{}, {"temperature": 0.7}, {"temperature": 1e-9}])
def test_a_call_of_chance_is_asked_each_time(client, server, chance):
    """Without a mark, an answer that may differ is neither looked up nor kept."""
    assert [client.complete("Hi", **chance).content for _ in range(2)] == ["answer 1", "answer 2"]
    assert not client.complete("Hi", **chance).cached


def test_marks(client, server):
    """``cache=True`` takes any call, ``False`` none, also not one that is kept."""
    assert client.complete("Hi", cache=True).content == "answer 1"
    assert client.complete("Hi", cache=True).content == "answer 1"
    assert client.complete("Hi").content == "answer 2"
    assert client.complete("Hi", cache=False, **SURE).content == "answer 3"
    assert client.complete("Hi", **SURE).content == "answer 4"
    assert client.complete("Hi", cache=False, **SURE).content == "answer 5"


def test_seconds_as_a_mark(client, server, monkeypatch):
    """A number is the greatest age that this call accepts, and for which its answer is kept."""
    now = [1e9]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    assert client.complete("Hi", cache=10).content == "answer 1"
    now[0] += 9
    assert client.complete("Hi", cache=10).content == "answer 1"
    assert client.complete("Hi", cache=5).content == "answer 2"
    now[0] += 6
    assert client.complete("Hi", cache=True).content == "answer 3"


@pytest.mark.parametrize("mark", ["yes", -1, 0, float("nan"), float("inf"), [], 10**400])
def test_a_mark_that_is_none(client, server, mark):
    """Anything else is refused before anything is sent."""
    with pytest.raises(ConfigError, match="cache must be True, False or a number of seconds"):
        client.complete("Hi", cache=mark)
    assert not server.requests


@pytest.mark.parametrize("mark", [True, 60])
def test_a_mark_without_a_cache(server, mark):
    """A client without a cache says how to give one; ``False`` is fine."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="2.x") as plain:
        with pytest.raises(ConfigError, match=r'FoundryAPIClient\(cache="answers.sqlite"\)'):
            plain.complete("Hi", cache=mark)
        assert not server.requests
        assert plain.complete("Hi", cache=False).content


def test_only_answers_of_a_model_are_kept(client, server):
    """Status, lists, loads and requests of one's own go to the service each time."""
    for _ in range(2):
        client.health.check(cache=True)
        client.models.list(cache=True)
        client.models.load("demo", cache=True)
        client.request("POST", CHAT, json={"model": DEMO_MODEL, "temperature": 0}, cache=True)
    paths = [request.path for request in server.requests]

    assert paths.count("/v1/models") >= 2
    assert paths.count(CHAT) == 2
    assert paths.count("/models/load/demo") == 2


def test_embeddings(client, server):
    """Vectors are the same each time, so they are kept without a mark."""
    vectors = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "model": DEMO_MODEL}
    server.on("POST", "/v1/embeddings", json_answer(vectors))
    first, second = client.embeddings.create("a"), client.embeddings.create("a")

    assert (first.cached, second.cached) == (False, True)
    assert second.vectors == first.vectors == [[1.0, 2.0]]
    assert asked(server, "/v1/embeddings") == 1


def test_responses(client, server):
    """A response that is neither stored nor continued is kept, and given as itself."""
    done = event(json.dumps({"type": "response.completed", "response": RESPONSE}))
    server.on("POST", "/v1/responses", sse([done]))
    first, second = (client.responses.create("Hi", **SURE) for _ in range(2))

    assert (first.cached, second.cached) == (False, True)
    assert second.output_text == first.output_text == "Hi"
    client.responses.create("Hi", store=True, **SURE)
    assert not client.responses.create("Hi", store=True, **SURE).cached


# ---------------------------------------------------------------- as what it is given


def test_a_hit_as_a_stream(client, server):
    """A stream from the cache has the same events; whole and streamed calls of one request share."""
    server.on("POST", CHAT, chat_stream(["a", "", " b", "c"]))
    with client.chat.stream("Hi", **SURE) as first:
        before = [chunk.event for chunk in first]
    with client.chat.stream("Hi", **SURE) as second:
        after = [chunk.event for chunk in second]
    whole = client.complete("Hi", **SURE)

    assert len(before) > 4
    assert after == before
    assert (first.cached, second.cached, whole.cached) == (False, True, True)
    assert (second.text, second.usage, second.finish_reason) == (first.text, first.usage, first.finish_reason)
    assert whole.bodies == tuple(before)
    assert asked(server) == 1


def test_a_hit_as_a_plain_reply(server, tmp_path):
    """Where a completion is one body, so is the hit, with its headers in any case."""
    with cached_client(numbered(server), tmp_path, dialect="openai") as client:
        first, second = (client.complete("Hi", **SURE) for _ in range(2))

        assert (second.content, second.cached) == (first.content, True)
        assert second.headers["CONTENT-TYPE"] == first.headers["content-type"]
        assert second.raw == first.raw


def test_the_callers_own_parse(client, server):
    """``parse=`` gets the recorded reply; it is called once for each call, and judges nothing."""
    seen = []
    server.on("POST", CHAT, chat_completion("plain"))
    for _ in range(2):
        assert client.chat.complete("Hi", parse=lambda reply: seen.append(reply) or 5, **SURE) == 5

    assert [reply.cached for reply in seen] == [False, True]
    assert seen[0].body == seen[1].body


def test_a_type_of_ones_own(client, server):
    """``response_model=`` reads hits; what does not fit is not kept, though it is whole."""
    answer = msgspec.defstruct("Answer", [("number", int)])
    texts = ['{"number": "x"}', '{"number": 1}', '{"number": 2}', '{"number": 3}']
    server.on("POST", CHAT, *(chat_stream([text]) for text in texts))

    def ask():
        return client.chat.complete("Hi", response_model=answer, max_reasks=0, cache=True)

    with pytest.raises(InvalidReply):
        ask()
    assert [ask().number for _ in range(3)] == [1, 1, 1]
    assert asked(server) == 2


def test_a_hit_that_does_not_fit(client, server):
    """An answer that a less choosy call has kept is asked for anew where it does not fit."""
    answer = msgspec.defstruct("Answer", [("number", int)])
    texts = ['{"number": "x"}', '{"number": 1}']
    server.on("POST", CHAT, *(chat_stream([text]) for text in texts))
    with pytest.raises(InvalidReply):
        client.chat.complete("Hi", response_model=answer, max_reasks=0, **SURE)
    body = server.asked(CHAT)[-1].json()
    server.on("POST", CHAT, *(chat_stream([text]) for text in texts))
    plain = client.complete("Hi", response_format=body["response_format"], **SURE)
    assert server.asked(CHAT)[-1].json() == server.asked(CHAT)[-2].json()

    assert plain.content == texts[0]
    assert client.chat.complete("Hi", response_model=answer, **SURE).number == 1
    assert client.chat.complete("Hi", response_model=answer, **SURE).number == 1
    assert asked(server) == 3


def test_a_tool_loop(client, server):
    """Each turn is a call of its own."""
    turn = [{"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}]
    calls = sse(
        [
            event(json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": turn}}]})),
            event(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})),
        ]
    )
    server.on("POST", CHAT, calls, chat_stream("noon"))

    def now() -> str:
        """Return the time."""
        return "12:00"

    runs = [client.chat.run_tools("Hi", functions=[now], **SURE) for _ in range(2)]

    assert [run.reply.content for run in runs] == ["noon", "noon"]
    assert [run.reply.cached for run in runs] == [False, True]
    assert asked(server) == 2


# ---------------------------------------------------------------- what is told


def test_events_of_a_hit(client, server, events):
    """A hit is told once, as cached, with no attempt; the figures of the service do not count it."""
    client.complete("Hi", **SURE)
    before = client.stats().by_call["chat.complete"]
    del events[:]
    client.complete("Hi", **SURE)
    with client.chat.stream("Hi", **SURE) as stream:
        next(stream)
    told = [each for each in events if isinstance(each, CallFinished)]
    after = client.stats().by_call["chat.complete"]

    assert [(each.outcome, each.attempt, each.call) for each in told] == [
        ("cached", 0, "chat.complete"),
        ("cached", 0, "chat.stream"),
    ]
    assert len({each.call_id for each in told}) == 2
    assert all(each.call_id for each in told)
    assert (after.calls, after.cached, after.completion_tokens) == (before.calls, 1, before.completion_tokens)


def test_a_hit_of_a_plain_reply_is_told(server, tmp_path, events):
    """So is one that was no stream."""
    with cached_client(numbered(server), tmp_path, dialect="openai", observers=[events.append]) as client:
        for _ in range(2):
            client.complete("Hi", **SURE)
    told = [(each.outcome, each.attempt) for each in events if isinstance(each, CallFinished)]

    assert told == [("ok", 1), ("cached", 0)]


def test_a_hit_takes_its_own_time(client, server):
    """Durations are those of the hit."""
    server.on("POST", CHAT, chat_stream("a b c"))
    client.complete("Hi", **SURE)
    hit = client.complete("Hi", **SURE)

    assert 0 <= hit.first_token <= hit.elapsed < 0.5


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_over_gets_no_hit(client, server, stream):
    """A cancelled token, a deadline that is past and a closed client end a call that could be a hit."""
    client.complete("Hi", **SURE)
    ask = client.chat.stream if stream else client.complete
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        ask("Hi", cancel=token, **SURE)
    with pytest.raises(DeadlineExceeded):
        ask("Hi", deadline=1e-9, **SURE)
    client.close()
    with pytest.raises(Cancelled):
        ask("Hi", **SURE)


def test_a_hit_is_cancelled_in_the_middle(client, server):
    """A token ends the reading of recorded events, too, and the stream never looks complete."""
    client.complete("Hi", **SURE)
    token = CancelToken()
    with client.chat.stream("Hi", cancel=token, **SURE) as stream:
        next(stream)
        token.cancel()
        with pytest.raises(Cancelled):
            list(stream)


# ---------------------------------------------------------------- the client's argument


class OfBytes:
    """A path of bytes."""

    def __fspath__(self):
        return b"x"


@pytest.mark.parametrize("bad", ["\0", "a\0b", OfBytes()])
def test_a_path_that_no_file_can_have(bad, tmp_path, monkeypatch):
    """A path that the system cannot take is the caller's mistake, too."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        FoundryAPIClient("http://127.0.0.1:9", cache=bad)


@pytest.mark.parametrize("bad", ["", 5, b"x", object(), True])
def test_a_cache_that_is_none(bad):
    """Anything but a path or a cache is the caller's mistake."""
    with pytest.raises(ConfigError, match="cache must be a path or a ResponseCache"):
        FoundryAPIClient("http://127.0.0.1:9", cache=bad)


def test_views_and_pickles_keep_it(client, server):
    """A view, and a client that was pickled, use the same file."""
    client.complete("Hi", **SURE)
    view = client.with_options(retries=1)
    with pickle.loads(pickle.dumps(client)) as twin:
        assert view.complete("Hi", **SURE).cached
        assert twin.complete("Hi", **SURE).cached
    assert asked(server) == 1


def test_it_is_a_settings_value(tmp_path):
    """A cache pickles as its settings."""
    cache = cache_in(tmp_path, max_bytes=2**20, max_age=5, serve_stale=7, namespace="n")
    twin = pickle.loads(pickle.dumps(cache))

    assert (twin.path, twin.max_bytes, twin.max_age, twin.serve_stale, twin.namespace) == (
        (tmp_path / "answers.sqlite"),
        2**20,
        5,
        7,
        "n",
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [("max_bytes", 0), ("max_bytes", "1"), ("max_age", 0), ("serve_stale", -1), ("namespace", "")],
)
def test_settings_are_checked(tmp_path, setting, value):
    """A setting that cannot be used is named."""
    with pytest.raises(ConfigError, match=setting):
        cache_in(tmp_path, **{setting: value})


def test_without_a_cache_nothing_of_it_is_imported():
    """A client without a cache imports neither sqlite nor a module of the cache."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"  # what measures the coverage imports sqlite itself
        "from foundry_rest import FoundryAPIClient\n"
        "from foundry_rest.testing import FaultServer\n"
        "with FaultServer() as server, FoundryAPIClient(server.url, model='demo') as client:\n"
        "    client.complete('Hi', temperature=0)\n"
        "new = sys.modules.keys() - before\n"
        "print([name for name in new if name == 'sqlite3' or name.startswith('foundry_rest.cache')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_calls_that_miss_the_cache_by_their_kind_send_nothing_more(tmp_path):
    """Nobody looks up who answers and what a name means for a call of chance, or one that is left out."""
    counts = []
    for arguments in ({}, {"cache": tmp_path / "a.sqlite"}):
        service = LegacyService(cached=["Phi-4-mini-instruct-generic-cpu:5"], loaded=["phi-4-mini"])
        with FaultServer(service=service) as server:
            with FoundryAPIClient(server.url, model="phi-4-mini", retries=0, **arguments) as client:
                client.complete("Hi")
                client.complete("Hi", cache=False, **SURE)
            counts.append([request.path for request in server.requests])

    assert counts[0] == counts[1]


@pytest.mark.parametrize("dialect", ["2.x", "openai"])
def test_a_hundred_streams_at_once(server, tmp_path, dialect, monkeypatch):
    """Equal streams share as equal whole calls do, each with all of the pieces."""
    monkeypatch.setattr(flights, "READER_PATIENCE", 30.0)  # a hundred threads make each reader slow
    server.on("POST", CHAT, chat_stream("one two three"))
    with cached_client(server, tmp_path, dialect=dialect) as client:

        def ask(number):
            with client.chat.stream("Hi", **SURE) as stream:
                return [chunk.event for chunk in stream]

        found = at_once(100, ask)

    assert asked(server) == 1
    assert all(events == found[0] and len(events) > 3 for events in found)


def test_a_batch(client, server):
    """Equal requests of a batch are equal calls."""
    results = list(client.batch(["Hi"] * 20 + ["Ho"], cache=True))

    assert all(each.error is None for each in results)
    assert asked(server) == 2


def test_an_older_generation(tmp_path):
    """0.x answers an alias: its version is looked up, and becomes a part of the key."""
    service = LegacyService(cached=["Phi-4-mini-instruct-generic-cpu:5"])
    with (
        FaultServer(service=service) as server,
        FoundryAPIClient(server.url, model="phi-4-mini", cache=tmp_path / "a.sqlite", retries=0) as client,
    ):
        first, second = (client.complete("Hi", **SURE) for _ in range(2))

        assert (first.cached, second.cached) == (False, True)
        assert len([each for each in server.requests if each.path.endswith("chat/completions")]) <= 2
    assert ResponseCache(tmp_path / "a.sqlite").stats().entries == 1
