"""Locks by model, so that no model is unloaded while a request runs on it.

Unloading a model during an answer ends 1.x's whole process (docs/reference/service.md, section 11). So an
unload waits until the requests on the model have ended, and new ones wait for the unload: requests share a
model's lock, an unload has it exclusively. The locks cover the requests of one client and its views, not
those of other clients and processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from foundry_rest.errors import DeadlineExceeded
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.transport.cancellation import CancelToken, wait_for
from foundry_rest.transport.fork import renew_after_fork


class SharedLock:
    """One request's shared lock on a model; of several calls of ``release`` the first one counts.

    A lock that is dropped is released, too: a signal that raises may strike before anybody else knows of it.
    """

    __slots__ = ("_held", "model")

    def __init__(self, locks: ModelLocks, model: str) -> None:
        self.model = model
        self._held = [locks]  # a list: of two threads that release at once, one gets the item

    def release(self) -> None:
        """Release the lock; the first call counts."""
        with suppress(IndexError):
            self._held[0].end(self)
            self._held.clear()

    def __del__(self) -> None:
        if self._held:
            self.release()


class _ExclusiveLock:
    """One unload: the names that mean its model, and the threads that wait."""

    def __init__(self, covers: Callable[[str], bool]) -> None:
        self.covers = covers
        self.free = threading.Event()  # set when no request runs on the model any more
        self.waiting: list[threading.Event] = []  # set for requests that wait for the unload


class ModelLocks:
    """Locks by model, shared by requests and exclusive for an unload."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def shared(
        self, model: str, until: float = float("inf"), cancels: Iterable[CancelToken] = ()
    ) -> SharedLock:
        """Return a shared lock on a model; wait while the model is being unloaded.

        Raises:
            DeadlineExceeded: The model was still being unloaded at ``until``.
            Cancelled: A token was cancelled.
        """
        lock = SharedLock(self, model)
        while True:
            turn = self._enter(lock)
            if turn is None:
                return lock
            wait_for(turn, until, cancels, "a model that is being unloaded")

    def end(self, lock: SharedLock) -> None:
        """Remove a shared lock; in a forked child ignore the parent's."""
        with self._lock:
            self._shared.pop(id(lock), None)
            for exclusive in self._exclusive:
                self._check_free(exclusive)

    @contextmanager
    def exclusive(
        self, covers: Callable[[str], bool], until: float, cancels: Iterable[CancelToken] = ()
    ) -> Iterator[None]:
        """Wait until no request runs on a model, and let none begin within the block.

        Args:
            covers: Returns whether a name means the model.
            until: Monotonic instant at which waiting ends.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: Requests were still under way at ``until``; ``limit`` is ``"in use"``.
            Cancelled: A token was cancelled.
        """
        lock = _ExclusiveLock(covers)
        with self._lock:
            self._exclusive.append(lock)
            self._check_free(lock)
        try:
            self._wait(lock, until, cancels)
            yield
        finally:
            with self._lock:
                self._exclusive.remove(lock)
            for turn in lock.waiting:
                turn.set()

    def _wait(self, lock: _ExclusiveLock, until: float, cancels: Iterable[CancelToken]) -> None:
        try:
            wait_for(lock.free, until, cancels, "requests that still run on the model")
        except DeadlineExceeded as error:
            error.limit = "in use"
            error.advice = Advice(
                Words(
                    "Close open streams on the model first, or give a larger deadline=.",
                    "Give a larger --deadline (FOUNDRY_DEADLINE).",
                )
            )
            raise

    def _enter(self, lock: SharedLock) -> threading.Event | None:
        """Add a shared lock; or return the event that is set after the model's unload."""
        with self._lock:
            exclusive = next((each for each in self._exclusive if each.covers(lock.model)), None)
            if exclusive is None:
                self._shared[id(lock)] = lock.model
                return None
            turn = threading.Event()
            exclusive.waiting.append(turn)
            return turn

    def _check_free(self, lock: _ExclusiveLock) -> None:
        if not any(lock.covers(model) for model in self._shared.values()):
            lock.free.set()

    def renew(self) -> None:
        """Remove all locks in a forked child: the parent's requests do not run there."""
        # Reentrant: the garbage collector may run in this thread while it holds the lock, and a stream
        # dropped unread then releases its lock.
        self._lock = threading.RLock()
        self._shared: dict[int, str] = {}  # by the lock's id: a lock that is dropped is released
        self._exclusive: list[_ExclusiveLock] = []
