"""Flights: of equal calls under way at once one asks the service, and the others wait for its answer.

An error belongs to the call that got it: when the asking call fails, is cancelled or is given up, one of
those that wait asks next. So that waiting never costs much, a call waits for three that fail at most, and
not for a stream whose reader takes its time. No lock is held anywhere here: each step on a list or a dict
is atomic, and the garbage collector may end a dropped stream in the middle of another step.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.transport.cancellation import CancelToken, wait_watched
from foundry_rest.transport.fork import renew_after_fork

if TYPE_CHECKING:
    from foundry_rest.cache.recording import Answer
    from foundry_rest.transport.call import Options

#: Calls that a waiting one sees fail before it asks by itself.
MOST_LEADERS = 3
#: Seconds that the reader of a stream may take in all for itself while others wait for the stream.
READER_PATIENCE = 0.25


class End(enum.Enum):
    """The end of a flight without an answer for the others."""

    #: The call failed.
    FAILED = enum.auto()
    #: Its caller gave it up.
    GIVEN_UP = enum.auto()
    #: The answer cannot be shared, or is not worth waiting for: each asks by itself.
    ALONE = enum.auto()


class Flight:
    """One call that asks the service, and the calls that wait for its answer.

    Args:
        leave: Takes it off the list, so that an equal call asks again.
    """

    def __init__(self, leave: Callable[[Flight], object] = lambda flight: None) -> None:
        self._leave = leave
        self._end: Answer | End | None = None
        self._claim = [None]
        self._waiting: list[threading.Event] = []
        self._paused, self._since = 0.0, float("inf")

    def pause(self) -> None:
        """Note that the reader has what came so far, and does not wait for the service."""
        self._since = clock.monotonic()

    def resume(self) -> None:
        """Note that the reader waits for the service."""
        since, self._since = self._since, float("inf")
        self._paused += max(0.0, clock.monotonic() - since)

    @property
    def paused(self) -> float:
        """Return the seconds so far in which the reader did not wait for the service."""
        return self._paused + max(0.0, clock.monotonic() - self._since)

    def land(self, end: Answer | End) -> bool:
        """Give the end to all who wait; return whether it is the first one.

        After an answer the flight stays on the list until ``leave``: who comes before it is kept gets it,
        too.
        """
        try:
            self._claim.pop()
        except IndexError:
            return False
        self._end = end
        if isinstance(end, End):
            self._leave(self)
        while self._waiting:
            self._waiting.pop().set()
        return True

    def leave(self) -> None:
        """Take the flight off the list, now that its answer is kept."""
        self._leave(self)

    def drop_waiting(self) -> None:
        """Forget who waits: after a fork they are threads of the parent."""
        self._waiting.clear()

    def wait(self, options: Options, closing: CancelToken) -> Answer | End:
        """Return the end; ``FAILED`` for a slow reader, ``ALONE`` when the waiting call itself is over."""
        tokens, before = options.tokens(closing), self.paused
        woken = threading.Event()
        self._waiting.append(woken)
        while self._end is None:
            patience = READER_PATIENCE - (self.paused - before)
            left = options.until - clock.monotonic()
            if left <= 0 or any(token.cancelled for token in tokens):
                return End.ALONE  # the call is sent, and gets the error that is due
            if patience <= 0:
                self._leave(self)
                return End.FAILED
            wait_watched(woken, min(patience, left), tokens)
        return self._end


class Lead:
    """The part of the call that asks: its flight ends with it, whatever ends it.

    Args:
        flight: The flight; one without a list for a call that asks for itself alone.

    Attributes:
        flight: The flight.
    """

    __slots__ = ("flight",)

    def __init__(self, flight: Flight | None = None) -> None:
        self.flight = flight or Flight()

    def __del__(self) -> None:
        self.flight.land(End.GIVEN_UP)


class Flights:
    """The calls under way, by key."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def enter(self, key: bytes) -> Flight | Lead:
        """Return the flight of an equal call to wait for, or the lead of a new one."""
        mine = Flight(lambda flight: self._under_way.get(key) is flight and self._under_way.pop(key, None))
        flight = self._under_way.setdefault(key, mine)
        return Lead(mine) if flight is mine else flight

    def renew(self) -> None:
        """Forget the parent's calls in a forked child, where its threads never finish them."""
        for flight in getattr(self, "_under_way", {}).values():
            flight.drop_waiting()
        self._under_way: dict[bytes, Flight] = {}
