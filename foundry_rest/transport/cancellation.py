"""CancelToken, and the one wait: every pause of this package ends by an event, a token, or its time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded


class CancelToken:
    """End calls from another thread.

    Give it as ``cancel=`` to any number of calls: ``cancel()`` ends every wait of theirs at once, and
    ``Cancelled`` is raised there. A cancelled token stays cancelled.
    """

    def __init__(self) -> None:
        # No lock: each step on this dict is one piece. A lock would hang a signal handler that cancels,
        # the garbage collector that ends a dropped stream, and a child forked while it was held.
        self._watchers: dict[object, Callable[[], object]] = {}
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Tell whether ``cancel()`` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End every call that holds this token; idempotent, from any thread."""
        self._cancelled = True
        while True:
            try:
                _, wake = self._watchers.popitem()
            except KeyError:
                return
            wake()

    @contextmanager
    def watched(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call ``wake`` when cancelled within the block; at once when it was cancelled before."""
        key = self.watch(wake)
        try:
            yield
        finally:
            self.unwatch(key)

    def watch(self, wake: Callable[[], object]) -> object:
        """Call ``wake`` when cancelled, now if that has happened; return what ``unwatch`` takes."""
        key = object()
        self._watchers[key] = wake
        if self._cancelled and self._watchers.pop(key, None) is not None:
            wake()
        return key

    def unwatch(self, key: object) -> None:
        """Forget a watcher."""
        self._watchers.pop(key, None)


def wait_watched(event: threading.Event, seconds: float, tokens: Iterable[CancelToken]) -> bool:
    """Wait for an event of the waiter's own, which any token sets, too; tell whether it was set."""
    with ExitStack() as watching:
        for token in tokens:
            watching.enter_context(token.watched(event.set))
        return event.is_set() or clock.wait(event, max(0.0, seconds))


def wait_for(event: threading.Event, until: float, tokens: Iterable[CancelToken], what: str) -> None:
    """Wait until an event of the waiter's own is set.

    Args:
        event: Set by whoever is waited for; a token sets it too.
        until: Monotonic instant at which waiting ends.
        tokens: Any of these ends the wait.
        what: What is waited for, for the error.

    Raises:
        Cancelled: A token was cancelled.
        DeadlineExceeded: ``until`` passed.
    """
    held = tuple(tokens)
    in_time = wait_watched(event, until - clock.monotonic(), held)
    if any(token.cancelled for token in held):
        raise Cancelled(f"the call was ended from elsewhere while it waited for {what}")
    if not in_time:
        raise DeadlineExceeded(f"the time passed while waiting for {what}")


def sleep(seconds: float, tokens: Iterable[CancelToken], what: str) -> None:
    """Let so many seconds pass.

    Raises:
        Cancelled: A token was cancelled; ``what`` tells what the time was for.
    """
    if wait_watched(threading.Event(), seconds, tokens):
        raise Cancelled(f"the call was ended from elsewhere while it waited {what}")
