"""Hysteresis: the state of a service from one observation after the other, without flapping."""

from __future__ import annotations

#: The states from good to bad, as ``health`` has them: it answers, it answers badly, it does not answer.
STATES = UP, DEGRADED, DOWN = "up", "degraded", "down"


class Hysteresis:
    """A state that changes only after several observations in a row on one side of it.

    It changes to the nearest of these: after up, the observations down, degraded, down make it degraded.

    Args:
        rise: Better observations in a row that it takes.
        fall: Worse observations in a row that it takes.

    Attributes:
        state: The state; ``""`` before the first observation, which counts at once.
    """

    def __init__(self, rise: int = 2, fall: int = 3) -> None:
        self._rise, self._fall = rise, fall
        self.state = ""
        self._row: list[int] = []

    def step(self, observed: str) -> bool:
        """Take in an observation; return whether the state has changed."""
        if not self.state:
            self.state = observed
            return True
        side = STATES.index(observed) - STATES.index(self.state)
        if not side:
            self._row = []
            return False
        if self._row and (self._row[0] > 0) is not (side > 0):
            self._row = []
        self._row.append(side)
        if len(self._row) < (self._fall if side > 0 else self._rise):
            return False
        nearest = min(self._row, key=abs)
        self.state, self._row = STATES[STATES.index(self.state) + nearest], []
        return True
