"""Slots: the bound on the calls of a client that are under way at once.

No generation of the service ever answers 429 or 503: it accepts every request, and all of them advance at
the speed of one core (32 parallel calls take 30 times as long; docs/reference/service.md, section 10).
So the client has to bound itself, and what a person waits for goes before what a batch sends. Waiting for a
slot ends with the call's deadline or its cancellation; the time-outs of an attempt begin when it has its
slot.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.config import SLOT_TIMEOUT
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.transport.call import BATCH
from foundry_rest.transport.cancellation import CancelToken, wait_watched
from foundry_rest.transport.fork import renew_after_fork

if TYPE_CHECKING:
    from foundry_rest.schema.use import SlotUse

#: Longest time in seconds for which an interactive call under way, or a row of them, holds up the batch lane.
_PATIENCE = 2.0
#: Seconds after which a batch call looks whether that time is over: nobody tells it.
_LOOK = 0.5
_MORE_SLOTS = Advice("Give a larger max_concurrency= if the service can bear it.")
_LARGER_DEADLINE = Words("Give a larger deadline=.", "Give a larger --deadline (FOUNDRY_DEADLINE).")


class Slots:
    """A fair semaphore with two lanes: at most ``limit`` holders, interactive ones first.

    Within a lane the order is that in which they asked. The batch lane takes a free slot only while no
    interactive call waits or has begun within the last two seconds and is still under way. Bounded by time,
    not by a number of calls, so that a stream that somebody leaves open holds up a batch for a moment only;
    and where interactive calls never cease, the batch lane gets a slot every two seconds all the same.

    Args:
        size: Most holders at a time.
        longest: Longest wait for a slot in the interactive lane, in seconds.

    Raises:
        ConfigError: ``size`` is not a whole number above 0.
    """

    def __init__(self, size: int, *, longest: float = SLOT_TIMEOUT) -> None:
        self._size = whole_number("max_concurrency", size, 1)
        self._longest = longest
        self._unused = 0
        self._waits, self._waited = 0, 0.0
        self.renew()
        renew_after_fork(self)

    @property
    def waiting(self) -> int:
        """Return how many calls wait for a slot."""
        return len(self._interactive) + len(self._batch)

    @property
    def use(self) -> SlotUse:
        """Return the use of the slots."""
        from foundry_rest.schema.use import SlotUse

        return SlotUse(
            limit=self.limit,
            in_use=self.in_use,
            waiting=self.waiting,
            waits=self._waits,
            waited=self._waited,
        )

    @property
    def in_use(self) -> int:
        """Return how many slots are in use."""
        return self._size - len(self._free)

    @property
    def free(self) -> int:
        """Return how many slots are free."""
        return max(0, len(self._free) - self._unused)

    @property
    def limit(self) -> int:
        """Return how many slots are in use or free."""
        return self._size - self._unused

    @limit.setter
    def limit(self, limit: int) -> None:
        """Change it, up to the size; who holds a slot keeps it."""
        with self._lock:
            self._unused = self._size - whole_number("limit", limit, 1, self._size)
            self._serve()

    def acquire(
        self, until: float = float("inf"), cancels: Iterable[CancelToken] = (), lane: str = ""
    ) -> Slot:
        """Return a slot; wait for it if necessary.

        Args:
            until: Monotonic instant at which the call is over.
            cancels: Any of these ends the wait.
            lane: ``"batch"`` waits behind all others, and with no bound but ``until``.

        Raises:
            DeadlineExceeded: No slot became free in time; ``limit`` is ``"slot"``.
            Cancelled: A token was cancelled.
        """
        slot = Slot()
        turn = None
        try:
            with self._lock:
                if lane != BATCH and len(self._free) > self._unused:
                    self._begun[id(slot.held)] = clock.monotonic()
                    _move(self._free, slot.held)
                else:
                    turn = self._join(slot.held, is_batch=lane == BATCH)
            if turn is not None and not turn.held:
                self._wait_counted(turn, until, tuple(cancels))
        except BaseException:  # Ctrl-C too: a slot given to nobody would be lost
            if turn is not None:
                self._leave(turn)
            slot.release()
            raise
        return slot

    def began(self, held: list[Token]) -> float | None:
        """Return when a slot was given; ``None`` for one that is not held."""
        return self._begun.get(id(held), self._begun_batch.get(id(held)))

    def give_back(self, held: list[Token]) -> None:
        """Give a slot to the call that has waited longest; ignore one from before a fork."""
        with self._lock:
            if not held or held[0].free is not self._free:
                return
            self._begun.pop(id(held), None)
            self._begun_batch.pop(id(held), None)
            _move(held, self._free)
            if self._interactive or self._batch:
                self._serve()

    def _join(self, held: list[Token], *, is_batch: bool) -> _Turn:
        """Return a place at the end of a lane; who can be served is served."""
        turn = _Turn(held, is_batch=is_batch)
        if not is_batch:
            self._interactive.append(turn)
        else:
            if not self._batch:
                self._batch_is_due = clock.monotonic() + _PATIENCE
            self._batch.append(turn)
            self._serve()
        return turn

    def _serve(self) -> None:
        """Give free slots to those whose turn it is. Called with the lock held."""
        # The garbage collector may end a stream in between, whose slot is then handed out within this loop.
        with suppress(IndexError):
            while len(self._free) > self._unused and (turn := self._next()) is not None:
                # Woken first: a signal that strikes in between leaves nobody asleep beside a free slot.
                turn.came.set()
                (self._begun_batch if turn.is_batch else self._begun)[id(turn.held)] = clock.monotonic()
                _move(self._free, turn.held)
                while len(turn.held) > 1:
                    _move(turn.held, self._free)
                self._leave(turn)

    def _next(self) -> _Turn | None:
        """Return whose turn it is; ``None`` for nobody's."""
        now = clock.monotonic()
        if self._batch and now >= self._batch_is_due:
            self._batch_is_due = now + _PATIENCE
            return self._batch[0]
        if self._interactive:
            return self._interactive[0]
        latest = max(self._begun.values(), default=-_PATIENCE)
        if not self._batch or now < latest + _PATIENCE:
            return None
        self._batch_is_due = now + _PATIENCE
        return self._batch[0]

    def _wait_counted(self, turn: _Turn, until: float, cancels: tuple[CancelToken, ...]) -> None:
        began = clock.monotonic()
        try:
            self._wait(turn, until, cancels)
        finally:
            with self._lock:
                self._waits += 1
                self._waited += clock.monotonic() - began

    def _wait(self, turn: _Turn, until: float, cancels: tuple[CancelToken, ...]) -> None:
        last = float("inf") if turn.is_batch else clock.monotonic() + self._longest
        while True:
            left = min(until, last) - clock.monotonic()
            wait_watched(turn.came, min(left, _LOOK) if turn.is_batch else left, cancels)
            with self._lock:
                turn.came.clear()
                self._serve()
            ended = any(token.cancelled for token in cancels)
            if ended or turn.held or clock.monotonic() >= min(until, last):
                break
        self._leave(turn)
        if ended:
            raise Cancelled("the call was ended from elsewhere while it waited for a free slot")
        if not turn.held:
            raise _none_free(until <= last)

    def _leave(self, turn: _Turn) -> None:
        with self._lock, suppress(ValueError):
            (self._batch if turn.is_batch else self._interactive).remove(turn)

    def renew(self) -> None:
        """Free all slots in a forked child: the parent's calls hold none there."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then releases its slot.
        self._lock = threading.RLock()
        self._interactive: deque[_Turn] = deque()
        self._batch: deque[_Turn] = deque()
        self._batch_is_due = 0.0
        # When each holder of a slot got it. No counts: whatever a signal leaves here is past in a moment.
        self._begun: dict[int, float] = {}
        self._begun_batch: dict[int, float] = {}
        self._free: list[Token] = []
        self._free += [Token(self, self._free)] * self._size


class Token(msgspec.Struct, eq=False):
    """What stands for each slot, which is in one list at a time.

    Attributes:
        slots: The semaphore that it belongs to.
        free: The list of its free tokens, another one after a fork.
    """

    slots: Slots
    free: list[Token]


class _Turn:
    """The place of one call in its lane.

    Attributes:
        held: Where its token is put.
        is_batch: Whether the lane is that of batches.
        came: Set when the call has to look.
    """

    def __init__(self, held: list[Token], *, is_batch: bool) -> None:
        self.held, self.is_batch, self.came = held, is_batch, threading.Event()


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
