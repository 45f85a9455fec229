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
from itertools import islice
from typing import NamedTuple

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
        return len(self._free)

    def acquire(self, until: float = float("inf"), cancels: Iterable[CancelToken] = ()) -> Slot:
        """Return a slot; wait for it if necessary, for 600 s at most.

        Args:
            until: Monotonic instant at which the call is over.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: No slot became free in time; ``limit`` is ``"slot"``.
            Cancelled: A token was cancelled.
        """
        slot = Slot()
        turn = None
        try:
            with self._lock:
                if self._free:
                    _move(self._free, slot.held)
                else:
                    turn = _Turn(slot.held)
                    self._queue.append(turn)
            if turn is not None:
                self._wait(turn, until, tuple(cancels))
        except BaseException:  # Ctrl-C too: a slot given to nobody would be lost
            if turn is not None:
                self._leave(turn)
            slot.release()
            raise
        return slot

    def give_back(self, held: list[Token]) -> None:
        """Give a slot to the call that has waited longest; ignore one from before a fork."""
        with self._lock:
            if not held or held[0].free is not self._free:
                return
            if self._queue:
                turn = self._queue[0]
                _move(held, turn.held)
                self._leave(turn)
                turn.came.set()
            else:
                _move(held, self._free)

    def _wait(self, turn: _Turn, until: float, cancels: tuple[CancelToken, ...]) -> None:
        last = clock.monotonic() + SLOT_TIMEOUT
        wait_watched(turn.came, min(until, last) - clock.monotonic(), cancels)
        self._leave(turn)
        if any(token.cancelled for token in cancels):
            raise Cancelled("the call was ended from elsewhere while it waited for a free slot")
        if not turn.held:
            raise _none_free(until <= last)

    def _leave(self, turn: _Turn) -> None:
        with self._lock, suppress(ValueError):
            self._queue.remove(turn)

    def renew(self) -> None:
        """Free all slots in a forked child: the parent's calls hold none there."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then releases its slot.
        self._lock = threading.RLock()
        self._queue: deque[_Turn] = deque()
        self._free: list[Token] = []
        self._free += [Token(self, self._free) for _ in range(self._size)]


class Token(NamedTuple):
    """What stands for one slot, in one place at a time.

    Attributes:
        slots: The semaphore that it belongs to.
        free: The list of its free tokens, another one after a fork.
    """

    slots: Slots
    free: list[Token]


class _Turn:
    """The place of one call in the queue.

    Attributes:
        held: Where its token is put.
        came: Set when it is there.
    """

    def __init__(self, held: list[Token]) -> None:
        self.held, self.came = held, threading.Event()


class Slot:
    """One slot of a client, or none yet; of several calls of ``release`` the first one counts.

    A slot that is dropped is released, too: a signal that raises may strike before anybody else knows of it.

    Attributes:
        held: Its token.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: list[Token] = []

    def release(self) -> None:
        """Release the slot; the first call counts."""
        with suppress(IndexError):  # of two threads that release at once, one finds the token
            self.held[0].slots.give_back(self.held)

    def __del__(self) -> None:
        if self.held:
            self.release()


def _move(source: list[Token], target: list[Token]) -> None:
    """Move a token in one step of the interpreter: a signal that raises finds it in one of the lists."""
    target.extend(islice(iter(source.pop, None), 1))


def _none_free(deadline_passed: bool) -> DeadlineExceeded:  # noqa: FBT001 (the only argument)
    """Return the error for a wait that ended without a slot, by the call's deadline or by its own bound."""
    if deadline_passed:
        what, advice = "the deadline passed while waiting", Advice(_LARGER_DEADLINE, _MORE_SLOTS)
    else:
        what, advice = f"none came within {SLOT_TIMEOUT:g} s of waiting", _MORE_SLOTS
    return DeadlineExceeded(f"{what} for a free slot", limit="slot", advice=advice)
