"""Slots: the bound on the calls of a client that are under way at once.

No generation of the service ever answers 429 or 503: it accepts every request, and all of them advance at
the speed of one core (32 parallel calls take 30 times as long; docs/service.md, section 10).
So the client has to bound itself. Waiting for a slot ends with the call's deadline or its cancellation; the
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
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.transport.cancellation import CancelToken, wait_watched
from foundry_rest.transport.fork import renew_after_fork

_MORE_SLOTS = Advice("Give a larger max_concurrency= if the service can bear it.")
_LARGER_DEADLINE = Words("Give a larger deadline=.", "Give a larger FOUNDRY_DEADLINE.")


class Slots:
    """A fair semaphore: at most ``size`` holders, in the order in which they asked.

    Args:
        size: Holders at a time.

    Raises:
        ConfigError: ``size`` is not a whole number above 0.
    """

    def __init__(self, size: int) -> None:
        self._size = whole_number("max_concurrency", size, 1)
        self.renew()
        renew_after_fork(self)

    @property
    def waiting(self) -> int:
        """Return how many calls wait for a slot."""
        return len(self._queue)

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self._free

    def acquire(self, until: float = float("inf"), cancels: Iterable[CancelToken] = ()) -> Slot:
        """Return a slot; wait for it if necessary, for 600 s at most.

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
        """Give one slot to the call that has waited longest; ignore a slot from before a fork."""
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
        except BaseException:  # Ctrl-C: the slot would be lost
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
        """Leave the queue; return whether the slot had been given already."""
        with self._lock:
            if turn not in self._queue:
                return True
            self._queue.remove(turn)
            return False

    def renew(self) -> None:
        """Free all slots in a forked child: the parent's calls hold none there."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then releases its slot.
        self._lock = threading.RLock()
        self._free = self._size
        self._queue: deque[threading.Event] = deque()


class Slot:
    """One slot of a client; of several calls of ``release`` the first one counts."""

    __slots__ = ("_held",)

    def __init__(self, slots: Slots, queue: object) -> None:
        self._held = [(slots, queue)]  # a list: of two threads that release at once, one gets the item

    def release(self) -> None:
        """Release the slot; the first call counts."""
        with suppress(IndexError):
            slots, queue = self._held.pop()
            slots.give_back(queue)


def _none_free(deadline_passed: bool) -> DeadlineExceeded:  # noqa: FBT001 (the only argument)
    """Return the error for a wait that ended without a slot, by the call's deadline or by its own bound."""
    if deadline_passed:
        what, advice = "the deadline passed while waiting", Advice(_LARGER_DEADLINE, _MORE_SLOTS)
    else:
        what, advice = f"none came within {SLOT_TIMEOUT:g} s of waiting", _MORE_SLOTS
    return DeadlineExceeded(f"{what} for a free slot", limit="slot", advice=advice)
