"""Slots: how many calls of a client are under way at once.

No generation of the service ever answers 429 or 503: it takes every request, and all of them advance at
the speed of one core (32 parallel calls take 30 times as long; docs/service.md, section 10).
The client has to bound itself. Waiting for a slot ends with the call's deadline or its cancellation; the
time-outs of an attempt begin when it has its slot.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.config import SLOT_TIMEOUT
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.transport.cancellation import CancelToken, wait_watched
from foundry_rest.transport.fork import renew_after_fork

_MORE_SLOTS = "a larger max_concurrency= if the service can bear it"


class Slots:
    """A fair bound: at most ``size`` holders, in the order in which they came.

    Args:
        size: Holders at a time.

    Raises:
        ConfigError: ``size`` is no whole number above 0.
    """

    def __init__(self, size: int) -> None:
        self._size = whole_number("max_concurrency", size, 1)
        self.renew()
        renew_after_fork(self)

    @property
    def waiting(self) -> int:
        """Return how many wait for a slot."""
        return len(self._queue)

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self._free

    def acquire(self, until: float = float("inf"), cancels: Iterable[CancelToken] = ()) -> Slot:
        """Return a slot, waiting for it if need be, 600 s at most.

        Args:
            until: Monotonic instant at which the call is over.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: No slot became free in time; ``limit`` is ``"slot"``.
            Cancelled: A token was cancelled.
        """
        turn = None
        with self._lock:
            if self._free > 0:
                self._free -= 1
            else:
                turn = threading.Event()
                self._queue.append(turn)
        if turn is not None:
            self._wait(turn, until, tuple(cancels))
        return Slot(self, self._queue)

    def give_back(self, queue: object) -> None:
        """Hand one slot on, to the one who waits longest; one of before a fork is nobody's."""
        with self._lock:
            if queue is not self._queue:
                return
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1

    def _wait(self, turn: threading.Event, until: float, cancels: tuple[CancelToken, ...]) -> None:
        last = clock.monotonic() + SLOT_TIMEOUT
        try:
            wait_watched(turn, min(until, last) - clock.monotonic(), cancels)
        except BaseException:  # Ctrl-C: nobody is there any more to take the slot
            if self._leave(turn):
                self.give_back(self._queue)
            raise
        given = self._leave(turn)
        cancelled = any(token.cancelled for token in cancels)
        if given and not cancelled:
            return
        if given:
            self.give_back(self._queue)
        if cancelled:
            raise Cancelled("the call was ended from elsewhere while it waited for a free slot")
        raise _none_free(until <= last)

    def _leave(self, turn: threading.Event) -> bool:
        """Leave the queue; tell whether the slot had been given already."""
        with self._lock:
            if turn not in self._queue:
                return True
            self._queue.remove(turn)
            return False

    def renew(self) -> None:
        """Begin anew in a forked child: the parent's holders are not ours."""
        # Reentrant: a stream that is dropped unread gives its slot back from within the garbage collector.
        self._lock = threading.RLock()
        self._free = self._size
        self._queue: deque[threading.Event] = deque()


class Slot:
    """One slot of a client; ``release`` gives it back, once, whoever calls it how often."""

    __slots__ = ("_held",)

    def __init__(self, slots: Slots, queue: object) -> None:
        self._held = [(slots, queue)]  # a list: of two threads that release at once, one pops it

    def release(self) -> None:
        """Give the slot back; the first call counts."""
        with suppress(IndexError):
            slots, queue = self._held.pop()
            slots.give_back(queue)


def _none_free(deadline_passed: bool) -> DeadlineExceeded:  # noqa: FBT001 (the one question)
    """Return the error for a wait without a slot: it ended with the call's deadline, or with its own."""
    if deadline_passed:
        what, advice = "the deadline passed while waiting", f"Give a larger deadline=, or {_MORE_SLOTS}."
    else:
        what, advice = f"none came within {SLOT_TIMEOUT:g} s of waiting", f"Give {_MORE_SLOTS}."
    return DeadlineExceeded(f"{what} for a free slot", limit="slot", advice=advice)
