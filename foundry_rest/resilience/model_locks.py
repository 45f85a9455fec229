"""Which models the requests under way run on, so that none is dropped from under them.

Unloading a model under a running answer ends 1.x's whole process (native-runtime-measured.md section 13).
Requests on the model are therefore let end first, and new ones wait until it is dropped. This knows the
requests of one client and its views; those of other clients and processes it cannot know.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from foundry_rest.errors import DeadlineExceeded
from foundry_rest.transport.call import CancelToken
from foundry_rest.transport.cancellation import wait_for


class ModelLock:
    """Stand for one request on a model; ``release`` ends it, once, whoever calls it how often."""

    __slots__ = ("_held", "model")

    def __init__(self, uses: ModelLocks, model: str) -> None:
        self.model = model
        self._held = [uses]  # a list: of two threads that release at once, one pops it

    def release(self) -> None:
        """End the use."""
        with suppress(IndexError):
            self._held.pop().end(self)


class _Exclusive:
    """Hold one model's way out of memory: which names mean it, and who waits for what."""

    def __init__(self, covers: Callable[[str], bool]) -> None:
        self.covers = covers
        self.free = threading.Event()  # no request runs on it any more
        self.waiting: list[threading.Event] = []  # requests that begin when it is over


class ModelLocks:
    """Count requests by model, and keep them apart from the moment in which one is dropped."""

    def __init__(self) -> None:
        self._renew()

    def begin(
        self, model: str, until: float = float("inf"), cancels: Iterable[CancelToken] = ()
    ) -> ModelLock:
        """Return a use of a model; waits while the model is being dropped.

        Raises:
            DeadlineExceeded: It was still being dropped at ``until``.
            Cancelled: A token was cancelled.
        """
        self._renew_after_fork()
        use = ModelLock(self, model)
        while True:
            turn = self._enter(use)
            if turn is None:
                return use
            wait_for(turn, until, cancels, "a model that is being unloaded")

    def end(self, use: ModelLock) -> None:
        """Forget a use; in a forked child the parent's are unknown already."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._running.discard(use)
            for drop in self._drops:
                self._look(drop)

    @contextmanager
    def kept_away(
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
        self._renew_after_fork()
        drop = _Exclusive(covers)
        with self._lock:
            self._drops.append(drop)
            self._look(drop)
        try:
            self._wait(drop, until, cancels)
            yield
        finally:
            with self._lock:
                self._drops.remove(drop)
            for turn in drop.waiting:
                turn.set()

    def _wait(self, drop: _Exclusive, until: float, cancels: Iterable[CancelToken]) -> None:
        try:
            wait_for(drop.free, until, cancels, "requests that still run on the model")
        except DeadlineExceeded as error:
            error.limit = "in use"
            error.advice = "Close open streams on the model first, or give a larger deadline=."
            raise

    def _enter(self, use: ModelLock) -> threading.Event | None:
        """Count a use; or return what is set when the model has been dropped."""
        with self._lock:
            drop = next((drop for drop in self._drops if drop.covers(use.model)), None)
            if drop is None:
                self._running.add(use)
                return None
            turn = threading.Event()
            drop.waiting.append(turn)
            return turn

    def _look(self, drop: _Exclusive) -> None:
        if not any(drop.covers(use.model) for use in self._running):
            drop.free.set()

    def _renew_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._renew()

    def _renew(self) -> None:
        """Begin anew in a forked child: the parent's requests are not ours, its lock may be held."""
        self._pid = os.getpid()
        # Reentrant: a stream that is dropped unread ends its use from within the garbage collector.
        self._lock = threading.RLock()
        self._running: set[ModelLock] = set()
        self._drops: list[_Exclusive] = []
