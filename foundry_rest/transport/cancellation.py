"""CancelToken, and the one wait of this package, which ends by an event, a token, or its time-out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded


class CancelToken:
    """A token that ends calls from another thread.

    Give it as ``cancel=`` to any number of calls: ``cancel()`` ends all their waits at once, and they raise
    ``Cancelled``. A cancelled token stays cancelled.
    """

    def __init__(self) -> None:
        # No lock: each operation on this dict is atomic. A lock would hang a signal handler that cancels,
        # the garbage collector that ends a dropped stream, and a child forked while it was held.
        self._watchers: dict[object, Callable[[], object]] = {}
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Return whether ``cancel()`` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End every call that was given this token; idempotent, from any thread."""
        self._cancelled = True
        while True:
            try:
                _, wake = self._watchers.popitem()
            except KeyError:
                return
            wake()

    @contextmanager
    def watched(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call ``wake`` when the token is cancelled within the block, or at once if it was before."""
        key = self.watch(wake)
        try:
            yield
        finally:
            self.unwatch(key)

    def watch(self, wake: Callable[[], object]) -> object:
        """Call ``wake`` when the token is cancelled, or at once if it was; return a key for ``unwatch``."""
        key = object()
        self._watchers[key] = wake
        if self._cancelled and self._watchers.pop(key, None) is not None:
            wake()
        return key

    def unwatch(self, key: object) -> None:
        """Forget a watcher."""
        self._watchers.pop(key, None)


def wait_watched(event: threading.Event, seconds: float, tokens: Iterable[CancelToken]) -> bool:
    """Wait for an event, which any token sets, too; return whether it was set.

    Nothing else may wait for the same event, because a token that ends this wait sets it.
    """
    with ExitStack() as watching:
        for token in tokens:
            watching.enter_context(token.watched(event.set))
        return event.is_set() or clock.wait(event, max(0.0, seconds))


def wait_for(event: threading.Event, until: float, tokens: Iterable[CancelToken], what: str) -> None:
    """Wait until an event is set.

    Args:
        event: Set by the code that is waited for, and by a token; nothing else may wait for it.
        until: Monotonic instant at which waiting ends.
        tokens: Any of these ends the wait.
        what: The subject of the wait, for the error's message.

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
    """Wait for so many seconds.

    Raises:
        Cancelled: A token was cancelled; ``what`` is the purpose of the wait, for the message.
    """
    if wait_watched(threading.Event(), seconds, tokens):
        raise Cancelled(f"the call was ended from elsewhere while it waited {what}")
