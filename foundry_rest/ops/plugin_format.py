"""The format of monitoring plugins, as Nagios, Icinga, Naemon and Sensu read it: states, ranges, one line.

https://www.monitoring-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from foundry_rest.control_characters import visible
from foundry_rest.errors import ConfigError

_NUMBER = r"-?(?:\d+(?:\.\d+)?|\.\d+)"
_RANGE = re.compile(rf"(@)?(?:(~|{_NUMBER})?:)?({_NUMBER})?")
#: Characters that end the text, or begin a comment in the monitor's own files.
_NOT_IN_TEXT = str.maketrans({"|": "/"})
#: Most characters of the line; some monitors cut at 4,096.
_LONGEST = 1000


class State(IntEnum):
    """The state of what is checked, which is the exit code, too."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


#: How bad each is, the worst last.
_BADNESS = (State.OK, State.UNKNOWN, State.WARNING, State.CRITICAL)


def worst(states: Iterable[State]) -> State:
    """Return the worst state; ``OK`` for none."""
    return max(states, key=_BADNESS.index, default=State.OK)


class Range(NamedTuple):
    """The values that are well, or with ``is_inverted`` those that are not.

    Attributes:
        low: The smallest.
        high: The largest.
        is_inverted: The values in the range, its ends included, are those that alert.
        text: The range as it was given.
    """

    low: float
    high: float
    is_inverted: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> Range:
        """Return a range in the plugins' notation, ``[@][start:][end]``.

        >>> Range.parse("10").alerts(-1), Range.parse("10:").alerts(9), Range.parse("@~:5").alerts(5)
        (True, True, True)

        Raises:
            ConfigError: It is none.
        """
        found = _RANGE.fullmatch(text.strip())
        if found is None or not text.strip("@ ") or text.strip("@ ") == ":":
            raise ConfigError(f"{text!r} is no range", advice="Write 0.5, 10:, ~:10, 10:20 or @10:20.")
        start, end = found[2], found[3]
        low = -math.inf if start == "~" else float(start or 0)
        high = math.inf if end is None else float(end)
        if low > high:
            raise ConfigError(f"the range {text!r} starts above its end", advice="Write start:end.")
        return cls(low, high, found[1] is not None, text.strip())

    def alerts(self, value: float) -> bool:
        """Return whether a value alerts."""
        return (self.low <= value <= self.high) is self.is_inverted


class Measure(NamedTuple):
    """One figure of a check.

    Attributes:
        label: Its name.
        value: Its value; ``None`` where it is not known.
        unit: ``"s"``, ``"MB"``, or ``""`` for a count.
        warning: What warns.
        critical: What is critical.
    """

    label: str
    value: float | None
    unit: str = ""
    warning: Range | None = None
    critical: Range | None = None

    @property
    def state(self) -> State:
        """Return the state that the ranges give; ``UNKNOWN`` where a range waits for a value."""
        ranges = {State.CRITICAL: self.critical, State.WARNING: self.warning}
        given = {state: each for state, each in ranges.items() if each is not None}
        value = self.value
        if value is None:
            return State.UNKNOWN if given else State.OK
        return next((state for state, each in given.items() if each.alerts(value)), State.OK)

    def __str__(self) -> str:
        if self.value is None:  # not "U", which the format has for it: some that read it take no figure then
            return ""
        value = f"{self.value:.6f}".rstrip("0").rstrip(".")
        bounds = ";".join("" if each is None else each.text for each in (self.warning, self.critical))
        return f"'{self.label}'={value}{self.unit};{bounds};0;"


def line_of(name: str, state: State, text: str, measures: Iterable[Measure] = ()) -> str:
    """Return the one line that a plugin prints: the state, why, and the figures."""
    shown = visible(text, keep_lines=False).translate(_NOT_IN_TEXT)[:_LONGEST]
    figures = " ".join(filter(None, map(str, measures)))
    return f"{name} {state.name}: {shown}" + (f" | {figures}" if figures else "")
