"""The format of monitoring plugins: ranges, figures, and the one line."""

from __future__ import annotations

import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.ops.plugin_format import Measure, Range, State, line_of, worst


@pytest.mark.parametrize(
    ("text", "well", "bad"),
    [
        ("10", (0, 5, 10), (-0.1, 10.1)),
        ("10:", (10, 1e9), (9.9, -1)),
        (":10", (0, 10), (-1, 11)),
        ("~:10", (-1e9, 10), (10.5,)),
        ("10:20", (10, 15, 20), (9, 21)),
        ("@10:20", (9, 21), (10, 15, 20)),
        ("@10", (-1, 11), (0, 5, 10)),
        ("0.5", (0.5,), (0.51,)),
        ("-5:-2", (-5, -2), (-1, -6)),
        (" 100 ", (100,), (101,)),
    ],
)
def test_ranges(text, well, bad):
    """A range alerts outside of its ends, and with @ from one to the other."""
    found = Range.parse(text)
    assert [found.alerts(value) for value in well] == [False] * len(well)
    assert [found.alerts(value) for value in bad] == [True] * len(bad)


@pytest.mark.parametrize(
    "text", ["", "@", ":", "@:", "x", "1:2:3", "20:10", "10;20", "1,5", "~", "nan", "--1", "1e3", "+5"]
)
def test_no_range(text):
    """What is none is refused, with an example of what is one."""
    with pytest.raises(ConfigError, match="range"):
        Range.parse(text)


@pytest.mark.parametrize(
    ("value", "state"), [(1, State.OK), (6, State.WARNING), (11, State.CRITICAL), (None, State.UNKNOWN)]
)
def test_the_state_of_a_figure(value, state):
    """The critical range wins over the one that warns; what is not known is not well."""
    measure = Measure("latency", value, "s", Range.parse("5"), Range.parse("10"))
    assert measure.state is state


def test_an_unknown_figure_without_ranges_is_well():
    """Nobody asked for it."""
    assert Measure("memory", None, "MB").state is State.OK


def test_the_worst_state():
    """Critical is worse than a warning, a warning than what is not known."""
    assert worst([]) is State.OK
    assert worst([State.OK, State.UNKNOWN]) is State.UNKNOWN
    assert worst([State.UNKNOWN, State.WARNING]) is State.WARNING
    assert worst([State.CRITICAL, State.UNKNOWN, State.WARNING]) is State.CRITICAL


def test_the_line():
    """State, text and the figures that are known stand in one line, whatever is in the text."""
    figures = [
        Measure("latency", 0.0125, "s", Range.parse("1"), Range.parse("@~:0")),
        Measure("memory", None),
    ]
    assert line_of("FOUNDRY", State.OK, "all | well\nreally", figures) == (
        r"FOUNDRY OK: all / well\nreally | 'latency'=0.0125s;1;@~:0;0;"
    )
    assert line_of("FOUNDRY", State.CRITICAL, "gone") == "FOUNDRY CRITICAL: gone"
    assert len(line_of("FOUNDRY", State.CRITICAL, "x" * 9000)) < 1100
