"""Templates of prompts: names of columns in braces, and nothing else."""

from __future__ import annotations

import pytest

from foundry_rest.batch.template import Template
from foundry_rest.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "row", "filled"),
    [
        ("{a}", {"a": "x"}, "x"),
        ("Say {a} and {b}, {a}!", {"a": "x", "b": "y", "c": "z"}, "Say x and y, x!"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ("{{}} {a}", {"a": "{b}"}, "{} {b}"),
        ("{first name}", {"first name": "Ann"}, "Ann"),
        ("{a.b} {c[0]}", {"a.b": "1", "c[0]": "2"}, "1 2"),
        ("{0}", {"0": "x"}, "x"),
        ("{a}", {"a": ""}, ""),
        ("{a}", {"a": 5}, "5"),
        ("{a}", {"a": None}, "null"),
        ("{a}", {"a": True}, "true"),
        ("{a}", {"a": {"ü": [1, "x"]}}, '{"ü": [1, "x"]}'),
        ("{a}", {"a": 10**30}, "1" + "0" * 30),
    ],
)
def test_filled(text, row, filled):
    """A text stands as it is, any other value as JSON; doubled braces are the braces themselves."""
    assert Template(text).fill(row) == filled


@pytest.mark.parametrize(
    "text", ["", "no column", "{{a}}", "{}", "{a", "a}", "{a:>5}", "{a!r}", "{a} {", "{a} {b:{c}}"]
)
def test_refused(text):
    """A template without a column, with an open brace or with a format is refused."""
    with pytest.raises(ConfigError, match="the template of the prompt cannot be read"):
        Template(text)


def test_no_attribute_is_reached():
    """A field is the name of a column as a whole: nothing of Python is reached by it."""
    with pytest.raises(ConfigError, match="there is no column"):
        Template("{a.__class__}").fill({"a": "x"})


def test_missing_columns():
    """A name that is none of the columns is told with those that there are."""
    template = Template("{a} {b}")
    template.check(["b", "a", "c"])

    assert template.fields == ("a", "b")
    with pytest.raises(ConfigError, match="there is no column 'b'; there are: a, c"):
        template.check(["a", "c"])
    with pytest.raises(ConfigError, match="'b'"):
        template.fill({"a": "x"})
