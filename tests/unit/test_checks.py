"""Checks of plain values: what is allowed passes as it is, anything else names itself."""

from __future__ import annotations

import math

import pytest

from foundry_rest.checks import flag, instance_of, number, positive_seconds, seconds_from_zero, whole_number
from foundry_rest.errors import ConfigError

NO_NUMBERS = (True, "1", None, math.nan, math.inf, pytest.param(10**400, id="huge"))


@pytest.mark.parametrize("value", [0.001, 1, 1e300])
def test_seconds(value):
    """A finite number above 0 becomes a float."""
    assert positive_seconds("x", value) == seconds_from_zero("x", value) == float(value)


def test_no_seconds_at_all():
    """Zero is a duration, but no bound."""
    assert seconds_from_zero("x", 0) == 0.0
    with pytest.raises(ConfigError, match="x must be a number of seconds above 0, not 0"):
        positive_seconds("x", 0)


@pytest.mark.parametrize("value", [*NO_NUMBERS, -1])
@pytest.mark.parametrize("check", [positive_seconds, seconds_from_zero])
def test_no_seconds(check, value):
    """What is no finite number is refused, True among them."""
    with pytest.raises(ConfigError, match="x must be"):
        check("x", value)


@pytest.mark.parametrize("value", [True, "3", None, 3.0, 1])
def test_no_whole_number(value):
    """It must be an int of at least the bound."""
    with pytest.raises(ConfigError, match="x must be a whole number, 2 or more"):
        whole_number("x", value, 2)


@pytest.mark.parametrize("check", [number, whole_number])
def test_bounds(check):
    """Both bounds are allowed themselves, and the error names them."""
    assert [check("x", value, 1, 4) for value in (1, 4)] == [1, 4]
    for value in (0, 5):
        with pytest.raises(ConfigError, match=f"number from 1 to 4, not {value}"):
            check("x", value, 1, 4)
    with pytest.raises(ConfigError, match="number, 1 or more, not 0"):
        check("x", 0, 1)


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_number(value):
    """What is no finite number is refused, True among them."""
    with pytest.raises(ConfigError, match="x must be a number, 0 or more"):
        number("x", value, 0)


def test_what_passes():
    """The value itself is returned."""
    assert (whole_number("x", 2, 2), flag("x", False), instance_of("x", "a", str)) == (2, False, "a")


@pytest.mark.parametrize("value", [0, 1, "no", None])
def test_no_flag(value):
    """Only True and False are flags: "no" would be true."""
    with pytest.raises(ConfigError, match="x must be True or False"):
        flag("x", value)


def test_another_class():
    """The class that is wanted is named."""
    with pytest.raises(ConfigError, match="x must be str, not 5"):
        instance_of("x", 5, str)
