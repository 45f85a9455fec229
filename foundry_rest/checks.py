"""Checks of plain values that users pass in: numbers, flags and instances."""

from __future__ import annotations

import math
import sys
from typing import TypeVar

from foundry_rest.errors import ConfigError

T = TypeVar("T")

#: Largest float: a larger whole number cannot be used as seconds.
_LARGEST = sys.float_info.max


def positive_seconds(name: str, value: object) -> float:
    """Return ``value`` as seconds, above 0.

    Raises:
        ConfigError: It is not a finite number above 0.
    """
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not (0 < number <= _LARGEST):
        raise ConfigError(f"{name} must be a number of seconds above 0, not {value!r}")
    return float(number)


def whole_number(name: str, value: object, least: int) -> int:
    """Return ``value``, checked to be a whole number.

    Raises:
        ConfigError: It is not a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number, {least} or more, not {value!r}")
    return value


def seconds_from_zero(name: str, value: object) -> float:
    """Return ``value`` as seconds, 0 or more.

    Raises:
        ConfigError: It is not a finite number of at least 0.
    """
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= _LARGEST:
        raise ConfigError(f"{name} must be seconds, 0 or more, not {value!r}")
    return float(number)


def flag(name: str, value: object) -> bool:
    """Return ``value``, checked to be a bool.

    Raises:
        ConfigError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False, not {value!r}")
    return value


def instance_of(name: str, value: T, kind: type[T]) -> T:
    """Return ``value``, checked to be an instance of ``kind``.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be {kind.__name__}, not {value!r}")
    return value
