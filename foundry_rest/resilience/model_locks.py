"""Which models the requests under way run on, so that none is dropped from under them.

Unloading a model under a running answer ends 1.x's whole process (docs/service.md, section 11). Requests on
the model are therefore let end first, and new ones wait until it is dropped: requests share a model's lock,
an unload takes it alone. This knows the requests of one client and its views; those of other clients and
processes it cannot know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from foundry_rest.errors import DeadlineExceeded
from foundry_rest.transport.cancellation import CancelToken, wait_for
from foundry_rest.transport.fork import renew_after_fork


class SharedLock:
    """One request's share in a model; ``release`` ends it, once, whoever calls it how often."""

    __slots__ = ("_held", "model")

    def __init__(self, locks: ModelLocks, model: str) -> None:
        self.model = model
        self._held = [locks]  # a list: of two threads that release at once, one pops it

    def release(self) -> None:
        """End the share."""
        with suppress(IndexError):
            self._held.pop().end(self)


class _ExclusiveLock:
    """One model's way out of memory: which names mean it, and who waits for what."""

    def __init__(self, covers: Callable[[str], bool]) -> None:
        self.covers = covers
        self.free = threading.Event()  # no request runs on it any more
        self.waiting: list[threading.Event] = []  # requests that begin when it is over


class ModelLocks:
    """Locks by model, shared by requests and exclusive for an unload."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def shared(
        self, model: str, until: float = float("inf"), cancels: Iterable[CancelToken] = ()
    ) -> SharedLock:
        """Return a share in a model; waits while the model is being dropped.

        Raises:
            DeadlineExceeded: It was still being dropped at ``until``.
            Cancelled: A token was cancelled.
        """
        lock = SharedLock(self, model)
        while True:
            turn = self._enter(lock)
            if turn is None:
                return lock
            wait_for(turn, until, cancels, "a model that is being unloaded")

    def end(self, lock: SharedLock) -> None:
        """Forget a share; in a forked child the parent's are unknown already."""
        with self._lock:
            self._shared.discard(lock)
            for exclusive in self._exclusive:
                self._look(exclusive)

    @contextmanager
    def exclusive(
        self, covers: Callable[[str], bool], until: float, cancels: Iterable[CancelToken] = ()
    ) -> Iterator[None]:
        """Wait until no request runs on a model, and let none begin within the block.

        Args:
            covers: Tells whether a name means the model.
            until: Monotonic instant at which waiting ends.
            cancels: Any of these ends the wait.

        Raises:
            DeadlineExceeded: Requests were still under way at ``until``; ``limit`` is ``"in use"``.
            Cancelled: A token was cancelled.
        """
        lock = _ExclusiveLock(covers)
        with self._lock:
            self._exclusive.append(lock)
            self._look(lock)
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
            error.advice = "Close open streams on the model first, or give a larger deadline=."
            raise

    def _enter(self, lock: SharedLock) -> threading.Event | None:
        """Count a share; or return what is set when the model has been dropped."""
        with self._lock:
            exclusive = next((each for each in self._exclusive if each.covers(lock.model)), None)
            if exclusive is None:
                self._shared.add(lock)
                return None
            turn = threading.Event()
            exclusive.waiting.append(turn)
            return turn

    def _look(self, lock: _ExclusiveLock) -> None:
        if not any(lock.covers(each.model) for each in self._shared):
            lock.free.set()

    def renew(self) -> None:
        """Begin anew in a forked child: the parent's requests are not ours."""
        # Reentrant: a stream that is dropped unread ends its share from within the garbage collector.
        self._lock = threading.RLock()
        self._shared: set[SharedLock] = set()
        self._exclusive: list[_ExclusiveLock] = []
