"""Bounds on what a client does at once: concurrency slots, and the retry budget.

No generation of the service ever answers 429 or 503: it takes every request, and all of them advance at
the speed of one core (32 parallel calls take 32 times as long, native-runtime-measured.md section 2).
The client has to bound itself. Waiting for a slot ends with the call's deadline or its cancellation; the
time-outs of an attempt begin when it has its slot.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded
from foundry_rest.transport.call import CancelToken

#: Retries that a client may spend at once, and how it earns them back. A script's few calls never
#: notice; in a storm of failures the load grows by a quarter, not by the number of attempts.
BUDGET = 32.0
EARNED_BY_CALL = 0.25
EARNED_BY_SECOND = 1.0


class Slots:
    """Let at most ``size`` holders in, in the order in which they came.

    Args:
        size: Holders at a time.

    Raises:
        ConfigError: ``size`` is no whole number above 0.
    """

    def __init__(self, size: int) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"max_concurrency must be a whole number, 1 or more, not {size!r}")
        self._size = size
        self._renew()

    @property
    def waiting(self) -> int:
        """Return how many wait for a slot."""
        return len(self._queue)

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return self._free

    def acquire(self, until: float = float("inf"), cancels: Iterable[CancelToken] = ()) -> Slot:
        """Return a slot, waiting for it if need be.

        Args:
            until: Monotonic instant at which waiting ends.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: No slot became free in time; ``limit`` is ``"slot"``.
            Cancelled: A token was cancelled.
        """
        if self._pid != os.getpid():
            self._renew()
        turn = None
        with self._lock:
            if self._free > 0:
                self._free -= 1
            else:
                turn = threading.Event()
                self._queue.append(turn)
        if turn is not None:
            self._wait(turn, until, tuple(cancels))
        return Slot(self)

    def give_back(self) -> None:
        """Hand one slot on: to the one who waits longest."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._free += 1

    def _wait(self, turn: threading.Event, until: float, cancels: tuple[CancelToken, ...]) -> None:
        try:
            with ExitStack() as watching:
                for token in cancels:
                    watching.enter_context(token.watched(turn.set))
                clock.wait(turn, max(0.0, until - clock.monotonic()))
        except BaseException:  # Ctrl-C: nobody is there any more to take the slot
            if self._leave(turn):
                self.give_back()
            raise
        given = self._leave(turn)
        cancelled = any(token.cancelled for token in cancels)
        if given and not cancelled:
            return
        if given:
            self.give_back()
        if cancelled:
            raise Cancelled("the call was ended from elsewhere while it waited for a free slot")
        raise DeadlineExceeded(
            "the deadline passed while waiting for a free slot",
            limit="slot",
            advice="Give a larger deadline=, or a larger max_concurrency= if the service can bear it.",
        )

    def _leave(self, turn: threading.Event) -> bool:
        """Leave the queue; tell whether the slot had been given already."""
        with self._lock:
            if turn not in self._queue:
                return True
            self._queue.remove(turn)
            return False

    def _renew(self) -> None:
        """Begin anew in a forked child: the parent's holders are not ours, its lock may be held."""
        self._pid = os.getpid()
        # Reentrant: a stream that is dropped unread gives its slot back from within the garbage collector.
        self._lock = threading.RLock()
        self._free = self._size
        self._queue: deque[threading.Event] = deque()


class Slot:
    """Hold one slot; ``release`` gives it back, once, whoever calls it how often."""

    __slots__ = ("_held", "_pid")

    def __init__(self, slots: Slots) -> None:
        self._held = [slots]  # a list: of two threads that release at once, one pops it
        self._pid = os.getpid()

    def release(self) -> None:
        """Give the slot back; the first call counts, and in a forked child none."""
        with suppress(IndexError):
            slots = self._held.pop()
            if self._pid == os.getpid():
                slots.give_back()


class RetryBudget:
    """Bound what retries add to the load: a bucket that calls and time fill and retries empty.

    Args:
        most: Tokens in a full bucket; it begins full.
        by_call: Tokens that each first attempt brings.
        by_second: Tokens that each second brings.
    """

    def __init__(
        self, most: float = BUDGET, by_call: float = EARNED_BY_CALL, by_second: float = EARNED_BY_SECOND
    ) -> None:
        self._most, self._by_call, self._by_second = most, by_call, by_second
        self._tokens = most
        self._at = clock.monotonic()
        self._pid, self._lock = os.getpid(), threading.Lock()

    def earn(self) -> None:
        """Count one call; a full bucket, the usual case, costs no lock."""
        if self._tokens < self._most:
            with self._guard():
                self._tokens = min(self._most, self._tokens + self._by_call)

    def spend(self) -> bool:
        """Take a token for one retry; False when there is none."""
        with self._guard():
            now = clock.monotonic()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._by_second)
            self._at = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True

    def _guard(self) -> threading.Lock:
        """Return the lock; in a forked child another one, for the parent's may have been held."""
        if self._pid != os.getpid():
            self._pid, self._lock = os.getpid(), threading.Lock()
        return self._lock
