"""The outcomes of attempts, and the policy when a circuit opens and is tried again: no clock, no I/O."""

from __future__ import annotations

import enum

import msgspec

from foundry_rest.checks import number, seconds_from_zero, whole_number
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
            whole_number(f"BreakerPolicy.{name}", getattr(self, name), 1)
        for name in ("reset_after", "reset_max"):
            seconds_from_zero(f"BreakerPolicy.{name}", getattr(self, name))
        number("BreakerPolicy.growth", self.growth, 1, _LARGEST_GROWTH)
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
