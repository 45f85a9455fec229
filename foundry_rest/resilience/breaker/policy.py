"""The outcomes of attempts, and the policy when a circuit opens and is tried again: no clock, no I/O."""

from __future__ import annotations

import enum
import math

import msgspec

from foundry_rest.errors import ConfigError

#: The wait stops growing after so many openings in a row: it has reached its bound long before.
_MOST_GROWTHS = 64
#: Larger factors would overflow a float within 64 openings.
_LARGEST_GROWTH = 100.0


class Outcome(enum.Enum):
    """The effect of an attempt on the circuit."""

    SUCCESS = "success"
    FAILURE = "failure"
    #: None: the caller's mistake, a cancelled call, an error that a recovery removes.
    NEUTRAL = "neutral"


class BreakerPolicy(msgspec.Struct, frozen=True):
    """The rules when a circuit opens and when it is tried again.

    Attributes:
        failures: Failures in a row that open it.
        reset_after: Seconds until the first probe.
        successes: Successful probes in a row that close it.
        growth: Factor by which the wait grows with each probe that fails, 1 to 100.
        reset_max: Longest wait in seconds.

    Raises:
        ConfigError: A value is out of its range.
    """

    failures: int = 5
    reset_after: float = 30.0
    successes: int = 1
    growth: float = 2.0
    reset_max: float = 300.0

    def __post_init__(self) -> None:
        for name in ("failures", "successes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"BreakerPolicy.{name} must be a whole number, 1 or more, not {value!r}")
        _number("reset_after", self.reset_after, 0.0)
        _number("growth", self.growth, 1.0, _LARGEST_GROWTH)
        _number("reset_max", self.reset_max, 0.0)
        if self.reset_max < self.reset_after:
            raise ConfigError(
                f"BreakerPolicy.reset_max ({self.reset_max:g} s) must not be below "
                f"reset_after ({self.reset_after:g} s): give both"
            )

    def wait(self, trips: int) -> float:
        """Return the seconds until the next probe after so many openings in a row.

        >>> [BreakerPolicy().wait(trips) for trips in (1, 2, 3, 4, 5)]
        [30.0, 60.0, 120.0, 240.0, 300.0]
        """
        growths = max(0, min(trips - 1, _MOST_GROWTHS))
        return min(self.reset_after * self.growth**growths, self.reset_max)


def _number(name: str, value: object, least: float, most: float = math.inf) -> None:
    """Raise ConfigError for a value that is not a finite number within bounds."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
    if not fits or value == math.inf:
        bounds = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
        raise ConfigError(f"BreakerPolicy.{name} must be a number, {bounds}, not {value!r}")
