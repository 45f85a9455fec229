"""JSON: refused before any I/O if it cannot be sent, precise if it cannot be read."""

from __future__ import annotations

import types

import msgspec
import pytest
from support.values import nested

from foundry_rest.errors import ConfigError, InvalidReply
from foundry_rest.transport.call import Reply
from foundry_rest.transport.json_codec import encode_json


class Item(msgspec.Struct):
    """Hold what the tests decode."""

    names: list[str]


class Word(str):
    """A text of another class."""

    __slots__ = ()


class Number(int):
    """A number of another class, as numpy has them."""


class Share(float):
    """A fraction of another class."""


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": "ü🟢"}, '{"a":"ü🟢"}'.encode()),
        (types.MappingProxyType({"a": (1, None, True)}), b'{"a":[1,null,true]}'),
        ({"n": 2**70}, b'{"n":1180591620717411303424}'),
        (Item(["x"]), b'{"names":["x"]}'),
        ([Word("a"), Number(5), Share(0.5)], b'["a",5,0.5]'),
    ],
)
def test_json_is_written_compact_in_utf8(value, body):
    """Any mapping, tuple or Struct will do; text stays text."""
    assert encode_json(value) == body


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": "lone \ud800"}, "a lone surrogate"),
        ({"a": object()}, "TypeError"),
        (nested(100_000), "RecursionError"),
    ],
)
def test_what_is_no_json_is_a_config_error(value, words):
    """The message says why and never quotes the value: it may be a prompt."""
    with pytest.raises(ConfigError, match=words) as caught:
        encode_json(value)

    assert caught.value.__cause__ is None
    assert "lone \\ud800" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        (b"<html>secret</html>", "$", "the body is not JSON"),
        (b'{"names": ["secret"', "$", "the body is not JSON"),
        (b'{"names": ["\xff"]}', "$", "the body is not JSON"),
        (b"", "$", "the body is not JSON"),
        (b'["secret"]', "$", "Expected `object`, got `array`"),
        (b'{"secret": 1}', "$", "missing required field `names`"),
        (b'{"names": ["secret", 5]}', "$.names[1]", "Expected `str`, got `int`"),
        (b'{"names": "secret"}', "$.names", "Expected `array`, got `str`"),
    ],
)
def test_an_unreadable_answer_names_its_place_and_quotes_nothing(body, where, words):
    """``where`` is the path in the body, ``body`` holds the bytes; the message holds neither text nor key."""
    with pytest.raises(InvalidReply, match="unreadable answer") as caught:
        Reply(200, {}, body, "http://127.0.0.1:5273").decode(Item)

    assert (caught.value.where, caught.value.body) == (where, body)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.url == "http://127.0.0.1:5273"


def test_a_long_unreadable_body_is_kept_in_part():
    """2,048 bytes are enough to recognise what came."""
    with pytest.raises(InvalidReply) as caught:
        Reply(200, {}, b"x" * 5000).decode(Item)

    assert len(caught.value.body) == 2048
