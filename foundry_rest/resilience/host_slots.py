"""Slots of the machine: the bound on the calls of several processes that are under way at once.

Several cron jobs on one service would each send as many calls as if they were alone. A slot is a lock file in
a folder of the user, and whoever has its lock has the slot. The system frees the lock when its process ends,
however it ends, so there is nothing to tidy up and no process to trust.

A lock is polled for, because a thread that waits for one in the system can be ended by nobody. Who only
polled would starve beside a process that takes its slots again within microseconds. So there is a queue of
lock files, too. Within a process the calls wait in a queue of its own, and only the first of them goes on: it
enters the queue of the machine at the last place, moves up whenever the place before it is free, and takes a
slot from the first place. So up to eight processes that wait are served in the order in which they came, and
each has one call in the queue, however many wait behind it. Where more wait, the rest polls for the last
place.

A process in the queue may be stopped (Ctrl-Z), or may use fewer slots than others. Who finds a slot free for
a while takes it from any place.

The pauses between two looks grow with the wait, to 25 ms: a slot is idle for some hundredths of the time for
which it was waited for. A process that gives a slot back looks at once.
"""

from __future__ import annotations

import math
import os
import random
import re
import socket
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.file_lock import LockFile
from foundry_rest.transport.cancellation import CancelToken, wait_watched
from foundry_rest.transport.fork import renew_after_fork

if TYPE_CHECKING:
    from typing_extensions import Self

#: Most slots; each is an open file.
MOST = 256
#: Places of the queue.
_PLACES = 8
#: Shortest and longest pause in seconds between two looks, and the part of the wait so far that lies between.
_SHORTEST, _LONGEST, _PART = 0.001, 0.025, 1 / 16
#: Seconds for which a slot lies free before those who are not the first take it: many looks of the first.
_LEFT_LYING = 0.2
#: Seconds of waiting that are worth a word to people.
_A_WHILE = 1.0

_MORE_TIME = Advice(Words("Give a larger deadline=.", "Give a larger --deadline (FOUNDRY_DEADLINE)."))


def default_directory() -> Path:
    """Return this user's folder of slots on this machine.

    It does not depend on whether the user is logged in, as the runtime directory does, nor on the temporary
    directory, which a job may have for itself. The machine's name is in it because its parents may be shared
    with other machines.
    """
    import platformdirs

    machine = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())
    return Path(platformdirs.user_state_dir("foundry_rest", appauthor=False), f"host-slots-{machine}")


class HostSlots:
    """At most ``size`` holders among all processes of this user on this machine that use the same folder.

    Processes with different sizes use the same first slots, so all together hold no more than the largest. It
    pickles as its arguments: on another machine it is that machine's.

    Args:
        size: Holders at a time.
        directory: Folder of the lock files; default ``default_directory()``.

    Raises:
        ConfigError: ``size`` is not a whole number from 1 to 256, or no files can be locked in the folder.

    Attributes:
        size: Holders at a time.
        directory: Folder of the lock files.
    """

    def __init__(self, size: int, directory: str | os.PathLike[str] | None = None) -> None:
        self.size = whole_number("host_slots", size, 1, MOST)
        self._given = directory
        place = default_directory() if directory is None else Path(directory).expanduser()
        self.directory = place.absolute()
        self._queue: list[LockFile] = []
        self._slots: list[LockFile] = []
        self.renew()
        probe = object()
        try:
            for file in (*self._queue, *self._slots):
                file.open()  # now, and not when a fork may strike
            self._queue[-1].take(probe)
            self._queue[-1].give_back(probe)
        except OSError as error:
            is_named = str(self.directory) in f"{error.filename} {error}"
            where = "" if is_named else f" in {self.directory}"
            raise ConfigError(
                f"the slots of the machine cannot be kept{where}: {error}",
                advice="They need a folder of this user's own, where files can be made and locked.",
            ) from error
        renew_after_fork(self)

    def __reduce__(self) -> tuple[type[HostSlots], tuple[object, ...]]:
        return HostSlots, (self.size, self._given)

    @property
    def held(self) -> int:
        """Return how many slots this process holds."""
        return sum(file.key is not None for file in self._slots)

    @property
    def is_kept_waiting(self) -> bool:
        """Return whether a call has waited for a while, and this process holds no slot itself."""
        with suppress(IndexError):
            return clock.monotonic() - self._turns[0].began > _A_WHILE and not self.held
        return False

    def acquire(self, until: float = math.inf, cancels: Iterable[CancelToken] = ()) -> HostSlot:
        """Return a slot; wait for it if necessary.

        Args:
            until: Monotonic instant at which waiting ends.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: No slot became free in time; ``limit`` is ``"slot"``.
            Cancelled: A token was cancelled.
            OSError: The files can be used no longer.
        """
        slot, tokens = HostSlot(self), tuple(cancels)
        try:
            self._turns.append(slot.turn)
            while not self._advance(slot):
                self._wait(slot.turn, until, tokens)
            self.leave(slot.turn)
        except BaseException:  # Ctrl-C too
            slot.release()
            raise
        return slot

    def wake(self) -> None:
        """Let the first call of this process look for a slot now."""
        with suppress(IndexError):
            self._turns[0].came.set()

    def leave(self, turn: _Turn) -> None:
        """Take a call out of the queues, and let the next one of this process look."""
        for file in self._queue:
            file.give_back(turn)
        with suppress(ValueError):
            self._turns.remove(turn)
        turn.is_over = True
        self.wake()

    def renew(self) -> None:
        """Begin anew in a forked child, where nothing is held: the parent's locks are left to the parent."""
        for file in (*self._queue, *self._slots):
            file.leave_to_parent()
        self._turns: deque[_Turn] = deque()
        self._queue = [LockFile(self.directory / f"place-{number}") for number in range(_PLACES)]
        self._slots = [LockFile(self.directory / f"slot-{number}") for number in range(self.size)]

    # ---------------------------------------------------------------- waiting

    def _advance(self, slot: HostSlot) -> bool:
        """Return whether the slot could be taken; only the first call of this process looks for one."""
        if self._turns[0] is not slot.turn:
            return False
        try:
            return self._look(slot)
        except OSError as error:
            what = f"the slots of the machine in {self.directory} cannot be used: {error.strerror or error}"
            raise OSError(error.errno, what) from error

    def _look(self, slot: HostSlot) -> bool:
        """Move up in the queue, and take a slot from its first place, or one that is left lying."""
        turn = slot.turn
        is_first = self._move_up(turn)
        if not self._take(slot):
            turn.free_since = math.inf
            return False
        now = clock.monotonic()
        turn.free_since = min(turn.free_since, now)
        if is_first or now - turn.free_since >= _LEFT_LYING:
            return True
        slot.give_back()
        return False

    def _move_up(self, turn: _Turn) -> bool:
        """Take every place that is free up to the next one that is not; return whether it is the first."""
        while turn.place and self._queue[turn.place - 1].take(turn):
            behind, turn.place = turn.place, turn.place - 1
            if behind < _PLACES:
                self._queue[behind].give_back(turn)
        return not turn.place

    def _take(self, slot: HostSlot) -> bool:
        """Take any slot; from a random one on, because the first ones are sought by all."""
        start = random.randrange(self.size)  # noqa: S311 (no secret)
        return any(slot.take(file) for file in (*self._slots[start:], *self._slots[:start]))

    def _wait(self, turn: _Turn, until: float, tokens: tuple[CancelToken, ...]) -> None:
        """Wait for the next look, which only the first call of this process takes."""
        now = clock.monotonic()
        pause = math.inf
        if self._turns[0] is turn:
            longest = min(max((now - turn.began) * _PART, _SHORTEST), _LONGEST)
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 (so that processes do not keep step)
        wait_watched(turn.came, min(pause, until - now), tokens)
        turn.came.clear()
        if any(token.cancelled for token in tokens):
            raise Cancelled("the call was ended from elsewhere while it waited for a slot of the machine")
        if clock.monotonic() >= until:
            what = f"the deadline passed while waiting for one of the {self.size} slots of the machine"
            raise DeadlineExceeded(what, limit="slot", advice=_MORE_TIME)


class HostSlot:
    """One slot of the machine, or none yet; of several calls of ``release`` the first one counts.

    It is a context manager that releases at its end. A slot that is dropped is released, too.

    Attributes:
        turn: Its place in the queues; what its file is held for.
    """

    __slots__ = ("_file", "_slots", "turn")

    def __init__(self, slots: HostSlots) -> None:
        # Files and queues refer to the turn, and not to the slot, which could not be dropped then.
        self.turn = _Turn()
        self._slots = slots
        self._file: LockFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Release the slot, or leave the queues; from any thread."""
        if not self.turn.is_over:
            self._slots.leave(self.turn)
        if self.give_back():
            self._slots.wake()

    def take(self, file: LockFile) -> bool:
        """Take a file as this slot, and return whether that succeeded."""
        self._file = file  # first, so that who is interrupted after the lock gives it back
        return file.take(self.turn)

    def give_back(self) -> bool:
        """Give the file back without a word to those who wait; return whether it was held."""
        return self._file is not None and self._file.give_back(self.turn)


class _Turn:
    """One call in the queues.

    Attributes:
        place: Its place in the queue of the machine; ``_PLACES`` for none.
        came: Set when it is to look again.
        began: Monotonic instant of its beginning.
        free_since: Monotonic instant since when it has found a slot free.
        is_over: Whether it has left the queues.
    """

    def __init__(self) -> None:
        self.place, self.came, self.is_over = _PLACES, threading.Event(), False
        self.began, self.free_since = clock.monotonic(), math.inf
