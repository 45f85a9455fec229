"""Every value: one short line as its repr, plain JSON as its dict, and its response as it came."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from importlib import import_module

import msgspec
import pytest
from support.servers import CHAT

import foundry_rest
from foundry_rest import FoundryAPIClient, errors
from foundry_rest.errors import ServerError
from foundry_rest.raw_json import decode_raw
from foundry_rest.schema import ChatReply, Usage
from foundry_rest.schema.audio import Transcription
from foundry_rest.schema.stats import CallStats, Stats
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_stream, event, sse
from foundry_rest.values import Value

for _name in ("schema.audio", "schema.responses", "schema.embeddings", "schema.tools", "events"):
    import_module(f"foundry_rest.{_name}")


def kinds(base=Value):
    """Return every class of values."""
    found = {kind for each in base.__subclasses__() for kind in {each, *kinds(each)}}
    return sorted(found, key=lambda kind: kind.__qualname__)


TEXTS = ["x" * 20_000, "line\nline\r\n" * 999, "世界\u2028" * 500, '"\\' * 700, ""]


def sample(hint, text, inside=()):
    """Return a large value of a type; one that holds others of its own class holds none of these."""
    parts = typing.get_args(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return sample(parts[0], text, inside)
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        within, fields = (*inside, origin), msgspec.structs.fields(origin)
        return origin(**{each.name: sample(each.type, text, within) for each in fields})
    if isinstance(origin, type) and issubclass(origin, errors.FoundryError):
        return ServerError("no", status=500)
    if origin in (list, tuple):
        return origin([sample(parts[0], text, inside)] * 7 if parts[0] not in inside else [])
    if origin in (dict, Mapping):
        return {f"{text[:300]}{number}": sample(parts[1], text, inside) for number in range(9)}
    plain = {str: text, int: 10**30, float: float("nan"), bytes: text.encode(), bool: True}
    return plain.get(origin, {"any": [text] * 9})


def large(kind, text):
    """Return a large value of a class."""
    return sample(kind, text)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:3]))
@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_repr(kind, text):
    """Whatever a value holds, its repr is one line of at most 250 characters that begins with its class."""
    shown = repr(large(kind, text))

    assert shown.startswith(f"{kind.__name__}(")
    assert len(shown) <= 250
    assert len(shown.splitlines()) == 1


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:3]))
@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_dict_and_json(kind, text):
    """`to_dict` holds plain JSON values by field, without what came; `to_json` is the same as text."""
    value = large(kind, text)
    found = value.to_dict()

    assert json.loads(value.to_json()) == found
    assert set(found) == set(kind.__struct_fields__) - kind.AS_IT_CAME
    assert "NaN" not in value.to_json()


def test_every_public_value_is_one():
    """A struct that calls return is a value; settings, which callers make, are none."""
    settings = {"BreakerPolicy", "Config", "RetryPolicy", "ServiceSpec", "Timeouts", "Tool"}
    public = [getattr(foundry_rest, name) for name in foundry_rest.__all__]
    structs = {each for each in public if isinstance(each, type) and issubclass(each, msgspec.Struct)}

    assert {each.__name__ for each in structs if not issubclass(each, Value)} <= settings


def test_repr_leaves_defaults_out():
    """What is as it is by default is not shown."""
    assert repr(Usage(total_tokens=3)) == "Usage(total_tokens=3)"
    assert repr(Stats()) == "Stats()"


def test_results_of_the_callers_own_types():
    """A result of a tool that JSON cannot say is shown as its repr."""
    made = foundry_rest.schema.tools.CallMade(foundry_rest.schema.ToolCall("a"), object())

    assert made.to_dict()["result"].startswith("<object object")


def test_table_of_figures():
    """Printed figures are a table in milliseconds; a call without a stream has no first token."""
    lines = str(Stats(by_call={"request": CallStats(calls=2, errors=1, p50=0.0123)})).splitlines()

    assert lines[0].split()[:3] == ["CALL", "CALLS", "ERRORS"]
    assert lines[1].split() == ["request", "2", "1", "12.3", "-", "0", "0"]
    assert len(str(Stats()).splitlines()) == 1


# ---------------------------------------------------------------- the response as it came


def chunk(index=0, finish=None, **delta):
    """Return one event with a delta and a member that nobody knows."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, "odd": index}
    return json.dumps({"id": "c1", "object": "chat.completion.chunk", "new": [1], "choices": [choice]})


CALL = {"id": "a", "type": "function"}
#: Events of a stream -> the message that a plain response would hold.
STREAMS = {
    "text": ([{"role": "assistant"}, {"content": "one"}, {"content": " two"}], {"content": "one two"}),
    "role everywhere": ([{"role": "assistant", "content": each} for each in "ab"], {"content": "ab"}),
    "null pieces": ([{"content": None}, {"content": "a"}, {"content": None}], {"content": "a"}),
    "reasoning": ([{"reasoning_content": "h"}, {"reasoning_content": "m", "content": "a"}], {"content": "a"}),
    "unknown text": ([{"content": "a", "mood": "go"}, {"mood": "od"}], {"content": "a", "mood": "good"}),
    "unknown object": ([{"content": "a", "audio": {"id": 1}}, {}], {"content": "a", "audio": {"id": 1}}),
    "one call": (
        [{"tool_calls": [{"index": 0, **CALL, "function": {"name": "f", "arguments": "{}"}}]}],
        {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{}"}}]},
    ),
    "a call in pieces": (
        [
            {"tool_calls": [{"index": 0, **CALL, "function": {"name": "f", "arguments": ""}}]},
            *({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"x"', ": 1}")),
        ],
        {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": '{"x": 1}'}}]},
    ),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("dialect", ["2.x", "openai"])
def test_raw_of_a_streamed_answer(server, dialect, name):
    """`raw` has a plain response's shape, unknown members included; what came is in `stream_events`."""
    deltas, message = STREAMS[name]
    events = [*(chunk(**delta) for delta in deltas), chunk(finish="stop")]
    server.on("POST", CHAT, sse([event(each) for each in events]))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect=dialect) as client:
        reply = client.chat.stream("Hello").gather()

    (choice,) = reply.raw["choices"]
    assert choice["message"].items() >= message.items()
    assert (choice["finish_reason"], choice["odd"]) == ("stop", 0)
    assert (reply.raw["object"], reply.raw["id"], reply.raw["new"]) == ("chat.completion", "c1", [1])
    assert reply.stream_events == [json.loads(each) for each in events]


def test_raw_with_alternatives(server, native):
    """Other alternatives are in `raw` whole, each with its index; the reply's own comes first."""
    parts = [(1, "b"), (0, "a"), (1, "d"), (0, "c")]
    events = [*(chunk(index, content=text) for index, text in parts), chunk(1, "stop"), chunk(0, "stop")]
    server.on("POST", CHAT, sse([event(each) for each in events]))
    reply = native.complete("Hello", extra={"n": 2})

    assert reply.content == "bd"
    assert [(each["index"], each["message"]["content"]) for each in reply.raw["choices"]] == [
        (1, "bd"),
        (0, "ac"),
    ]


def test_raw_of_a_plain_answer(server, client):
    """`raw` of a plain response is that response, streamed or not of one shape, and there are no events."""
    server.on("POST", CHAT, chat_stream("one two"), chat_completion("one two"))
    streamed = client.complete("Hello").raw
    with FoundryAPIClient(server.url, model=DEMO_MODEL, dialect="1.x") as core:
        plain = core.complete("Hello")
    shape = streamed["choices"][0]["message"]["content"], plain.raw["choices"][0]["message"]["content"]

    assert shape == ("one two", "one two")
    assert plain.stream_events == []
    assert ChatReply(content="made by hand").raw is Transcription(text="by hand").raw is None


@pytest.mark.parametrize(
    "member", ["1e400", "-1e999", "9" * 5000, '"\udcff"', '{"a": [1e400, "\udcfe"]}', "[" * 9]
)
def test_raw_with_members_that_strict_json_refuses(member):
    """`raw` raises nothing for a number that is too large or bytes that are no text, in other members."""
    body = f'{{"content": "a", "odd": {member}}}'.encode("utf-8", "surrogateescape")
    found = decode_raw(body)
    raws = [
        ChatReply(content="a", bodies=(body,)).raw,
        ChatReply(content="a", bodies=(body,), first_token=0.1).stream_events[0],
        Transcription(text="a", bodies=(body,)).raw,
        foundry_rest.ChatChunk(event=body).raw,
    ]

    assert raws == [found] * 4
    assert isinstance(found, str) or found["content"] == "a"


# ---------------------------------------------------------------- the client


def test_client_says_what_it_knows(server):
    """`url`, `model` and `generation` are what is known; before the first call nobody is asked."""
    with FoundryAPIClient(model="m") as nowhere, FoundryAPIClient(server.url, model=DEMO_MODEL) as client:
        assert (nowhere.url, nowhere.model, nowhere.generation) == (None, "m", None)
        assert (client.url, client.model, client.generation) == (server.url, DEMO_MODEL, None)
        assert server.requests == []
        client.complete("Hello")
        assert (client.url, client.generation) == (server.url, "2.x")
        assert client.with_options(model="other").model == "other"


def test_repr_of_a_client(server):
    """A client's repr is its address and model, without a key; a closed one says so, its views too."""
    client = FoundryAPIClient(server.url, model="m", api_key="secret")
    view = client.with_options(timeout=3)

    assert repr(client) == f"FoundryAPIClient(base_url={server.url!r}, model='m')"
    view.close()
    assert "closed" not in repr(client)
    client.close()
    assert repr(client) == f"<closed FoundryAPIClient(base_url={server.url!r}, model='m')>"
    assert repr(view).startswith("<closed ")
