"""What users give is checked before anything is sent, and never quoted."""

from __future__ import annotations

import collections
import enum
import json
import math
import time
from types import MappingProxyType

import pytest
from support.values import nested

from foundry_rest.errors import ConfigError
from foundry_rest.schema import build_chat_request
from foundry_rest.schema.chat_params import ChatParams
from foundry_rest.schema.request import CHAT_NAMES, check_json, check_model_name
from foundry_rest.transport.call_options import CallOptions
from foundry_rest.transport.json_codec import encode_json

SECRET = "SENTINEL-PROMPT"


def build(messages="Hello", *, model="m", max_tokens=2048, **more):
    """Return a request with the parameters that are not the point given."""
    return build_chat_request(messages, model=model, max_tokens=max_tokens, **more)


def ask(text: str = SECRET) -> dict[str, object]:
    """Return a user's message."""
    return {"role": "user", "content": text}


def test_a_prompt_is_one_message():
    """A text becomes the user's message; the limit is always sent."""
    request = build("Hi", max_tokens=7)

    assert request.messages == [{"role": "user", "content": "Hi"}]
    assert (request.model, request.id, request.params) == ("m", "m", {"max_tokens": 7})


def test_the_id_is_what_is_asked_for():
    """The name stays as given for errors; the id goes on the wire."""
    assert build(model="alias", model_id="id:1").id == "id:1"


def test_the_system_text_comes_first():
    """``system`` is put before the conversation, and left out when empty."""
    given = [ask("a"), {"role": "assistant", "content": "b"}]

    assert build(given, system="S").messages == [{"role": "system", "content": "S"}, *given]
    assert build(given, system="").messages == given


TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}


@pytest.mark.parametrize(
    "messages",
    [
        (ask(), ask()),
        (message for message in [ask()]),
        collections.deque([ask()]),
        [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        [ask(), {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}],
        [ask(), {"role": "tool", "content": "12:00", "tool_call_id": "c1"}],
        [MappingProxyType(ask())],
        [{"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_conversations(messages):
    """Any iterable of mappings is a conversation: tuples, generators, tool messages, parts."""
    request = build(messages)

    assert isinstance(request.messages, list)
    assert encode_json(request.messages).startswith(b'[{"role":')


def test_ten_megabytes_pass():
    """Size alone is no fault, and takes no time: the service has no limit."""
    started = time.perf_counter()
    request = build("é" * 5_000_000)

    assert len(encode_json(request.messages)) > 10_000_000
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("", "the prompt is empty"),
        ([], "the prompt is empty"),
        ([{"role": "user", "content": ""}], "the prompt is empty"),
        ([{"role": "user", "content": None}, {"role": "user"}], "the prompt is empty"),
        ([{"role": "user", "content": []}], "the prompt is empty"),
        (SECRET.encode(), "not bytes"),
        (bytearray(b"x"), "not bytearray"),
        (ask(), "not dict"),
        (None, "not NoneType"),
        (7, "not int"),
        ([SECRET], "a message must be a mapping with role and content, not str"),
        ([{"content": SECRET}], "a message needs a role"),
        ([{"role": 7, "content": SECRET}], "a message needs a role"),
        ([{"role": "user", "content": 7}], "content must be text or parts, not int"),
        ([{"role": "user", "content": ask()}], "content must be text or parts, not dict"),
        ([{"role": "user", "content": SECRET.encode()}], "content must be text or parts, not bytes"),
        (SECRET + "\0", "NUL character"),
        (SECRET + "\udc80", f"lone surrogate at position {len(SECRET)}"),
        ([ask(), {"role": "user", "content": [{"text": f"{SECRET}\0"}]}], "NUL"),
        ([{"role": "user", "content": "x", f"{SECRET}\0": 1}], "a name is no member"),
        ([{"role": "user", "content": "x", 7: 1}], "a name is no member"),
        ([{"role": "user", "content": [SECRET.encode()]}], "messages holds bytes, which is not JSON"),
        ([{"role": "user", "content": [{SECRET}]}], "messages holds set"),
        ([{"role": "user", "content": [math.nan]}], "messages holds nan"),
    ],
)
def test_a_bad_conversation(messages, words):
    """What the service would misread or choke on is refused, and the prompt is not quoted."""
    with pytest.raises(ConfigError) as caught:
        build(messages)

    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", [list, dict])
def test_endless_nesting_is_refused_without_recursion(kind):
    """60,000 levels kill 2.x; they are refused here, in milliseconds and not by RecursionError."""
    deep = [{"role": "user", "content": [nested(60_000, kind)]}]
    with pytest.raises(ConfigError, match="messages is nested deeper than 64 levels"):
        build(deep)


def test_the_deepest_that_is_sent():
    """64 levels pass, 65 do not."""
    check_json(nested(64), "x")
    with pytest.raises(ConfigError, match="deeper than 64"):
        check_json(nested(65), "x")


def test_a_ring_is_refused():
    """A value that holds itself ends, too."""
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(ConfigError, match="nested deeper"):
        check_json(ring, "x")


GOOD = {
    "max_tokens": [1, 10**6],
    "max_completion_tokens": [1],
    "temperature": [0, 0.7, 2, 2.1, 5],
    "top_p": [0, 1],
    "presence_penalty": [-2, 2],
    "frequency_penalty": [0.5],
    "stop": ["x", ["a", "b"], ("a",), []],
    "seed": [0, -1, 10**30],
    "tools": [[{"type": "function"}], ()],
    "response_format": [{"type": "json_object"}],
    "metadata": [{"a": "b"}],
    "user": ["me"],
    "tool_choice": ["auto", {"type": "function"}],
    "top_k": [5],
}
BAD = {
    "max_tokens": [0, -1, 1.5, "5", True, [1]],
    "max_completion_tokens": [0, "5"],
    "temperature": [-0.1, math.nan, math.inf, "hot", True],
    "top_p": [-0.1, 1.1, math.nan, "1"],
    "presence_penalty": [-2.1, "0"],
    "frequency_penalty": [2.1, False],
    "stop": ["", ["a"] * 5, [""], [7], 7, {"a"}],
    "seed": ["7", 1.5, True],
    "tools": [{"type": "function"}, ["f"], "f"],
    "response_format": ["json", ["json"]],
    "metadata": ["x", [("a", "b")]],
    "stream": [True, False],
    "stream_options": [{"include_usage": True}],
    "messages": [[]],
    "top_k": [math.nan, b"5", {1, 2}],
    "logit_bias": [{1: 2}],
}


@pytest.mark.parametrize(("name", "values"), GOOD.items())
def test_good_parameters(name, values):
    """What is allowed is sent as it was given."""
    assert [build(params={name: value}).params[name] for value in values] == values


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_bad_parameters(name, value):
    """The service ignores wrong types in silence, so they stop here; also inside ``extra``."""
    for params in ({name: value}, {"extra": {name: value}}):
        with pytest.raises(ConfigError) as caught:
            build(SECRET, params=params)

        assert name in str(caught.value) or "params" in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("deep", [math.nan, -math.inf, b"x", "\0", "\udc80", object(), nested(100)])
@pytest.mark.parametrize("name", ["tools", "extra"])
def test_bad_values_deep_inside(deep, name):
    """Nested values are checked as far down as they go."""
    params = {"tools": [{"function": {"parameters": {"a": [deep]}}}], "extra": {"x": {"y": [deep]}}}
    with pytest.raises(ConfigError, match="params"):
        build(params={name: params[name]})


def test_none_is_not_sent():
    """A parameter that is None is left out; a limit given as None falls back to the default."""
    params = {"temperature": None, "max_tokens": None, "extra": None}

    assert build(params=params).params == {"max_tokens": 2048}


def test_extra_is_merged_and_wins():
    """``extra`` gives any further field of the body."""
    params = {"seed": 1, "extra": {"top_k": 5, "seed": 2}}

    assert build(params=params).params == {"seed": 2, "top_k": 5, "max_tokens": 2048}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_default_limit_gives_way(name):
    """Exactly one limit is sent: the caller's, under either name."""
    assert build(params={name: 9}).params == {name: 9}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"system": b"x"}, "system must be text, not bytes"),
        ({"params": {"extra": [1]}}, "extra must be a mapping, not list"),
        ({"params": {"extra": {7: 1}}}, "keys are not all text"),
        ({"params": {"extra": {"model": "other"}}}, "model cannot be given as a parameter"),
        ({"params": {"stream": True}}, "complete.. gives the whole answer, stream.. the chunks"),
    ],
)
def test_other_mistakes(more, words):
    """What is decided elsewhere, or of the wrong kind, says so."""
    with pytest.raises(ConfigError, match=words):
        build(**more)


@pytest.mark.parametrize("name", ["phi-4-mini", "phi-4-mini-instruct-generic-cpu:5", "org/model", "a" * 200])
def test_good_model_names(name):
    """Aliases and ids pass; a slash is for the service to judge."""
    assert check_model_name(name) == name


@pytest.mark.parametrize("name", ["", None, 7, b"m", "a b", "a\n", "modèle", "模型", "a\0", "a" * 201])
def test_bad_model_names(name):
    """Empty, too long, spaces, other alphabets: no service has such a model."""
    with pytest.raises(ConfigError, match=r"^model ") as caught:
        build(model=name)

    assert len(str(caught.value)) < 300


class Role(str, enum.Enum):
    """A role as an enumeration, as some programs have it."""

    USER = "user"


class Text(str):
    """A text of another class, as template engines make."""

    __slots__ = ()


class Number(float):
    """A number of another class, as numpy's."""

    __slots__ = ()


def test_subclasses_of_json_types_are_sent():
    """Texts and numbers of a subclass (numpy.float64, markup) are what they are."""
    request = build([{"role": Role.USER, "content": Text("Hi")}], params={"temperature": Number(0.5)})

    assert json.loads(encode_json(request.messages)) == [{"role": "user", "content": "Hi"}]
    assert json.loads(encode_json(request.params))["temperature"] == 0.5


def test_the_names_of_the_parameters():
    """What is taken for a parameter of a chat is what ``ChatParams`` declares, and no option of a call."""
    assert set(ChatParams.__annotations__) == CHAT_NAMES
    assert not CHAT_NAMES & set(CallOptions.__annotations__)
